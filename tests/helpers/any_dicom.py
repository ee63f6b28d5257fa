"""DICOM files of a small radiograph with any pixel format, and the picture that a viewer shows of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)
ROWS, COLUMNS = 48, 40
SHADE = np.add.outer(np.arange(ROWS), 1.5 * np.arange(COLUMNS)) / (ROWS + 1.5 * COLUMNS)  # 0 is dark
PADDED = np.zeros((ROWS, COLUMNS), bool)
PADDED[:, :6] = True  # a strip beside the collimated field, on its dark side


@dataclass(frozen=True)
class AnyDicom:
    """How the pixels are stored, and what the file says of them.

    Attributes:
        bits: allocated and stored.
        signed: two's complement.
        inverted: MONOCHROME1.
        shape: of the presentation LUT.
        padding: ``PixelPaddingValue``, as "lowest" or "highest" of what can be stored; empty: none.
        states_padding: the padding is in the file; otherwise there is a strip of that value, and no word on it.
        overlay: the bits above those that are stored hold something else.
        fault: name in :data:`FAULTS`; empty: there is none.
    """

    bits: tuple[int, int] = (16, 12)
    signed: bool = False
    inverted: bool = False
    slope: float | None = None
    intercept: float | None = None
    shape: str = ""
    padding: str = ""
    states_padding: bool = True
    window: bool = False
    syntax: str = ExplicitVRLittleEndian
    overlay: bool = False
    fault: str = ""

    @property
    def is_negative(self) -> bool:
        """Whether high values are shown dark; MONOCHROME1 with IDENTITY contradicts itself."""
        return self.inverted or self.shape == "INVERSE"


def stored(recipe: AnyDicom) -> np.ndarray:
    """The pixel values, ``rows columns``, without anything in the bits above."""
    low, high = _range(recipe)
    picture = 1 - SHADE if recipe.is_negative else SHADE
    values = np.round(low + (0.1 + 0.8 * picture) * (high - low)).astype(np.int64)
    if recipe.padding:
        values[PADDED] = low if recipe.padding == "lowest" else high
    return values


def write(recipe: AnyDicom, path: Path) -> Path:
    """Write the file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = recipe.syntax if recipe.syntax != RLELossless else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    implicit, little = recipe.syntax == ImplicitVRLittleEndian, recipe.syntax != ExplicitVRBigEndian
    data = FileDataset(str(path), {}, bytes(128), meta, is_implicit_VR=implicit, is_little_endian=little)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.SamplesPerPixel = ROWS, COLUMNS, 1
    data.PhotometricInterpretation = "MONOCHROME1" if recipe.inverted else "MONOCHROME2"
    data.BitsAllocated, data.BitsStored = recipe.bits
    data.HighBit, data.PixelRepresentation = recipe.bits[1] - 1, int(recipe.signed)
    values = stored(recipe)
    if recipe.padding and recipe.states_padding:
        data.PixelPaddingValue = int(values[PADDED][0])
    if recipe.slope is not None:
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = recipe.slope, recipe.intercept or 0, "US"
    if recipe.shape:
        data.PresentationLUTShape = recipe.shape
    if recipe.window:
        low, high = _range(recipe)
        data.WindowCenter, data.WindowWidth = (low + high) / 2, (high - low) / 2
    pixels = values & (2 ** recipe.bits[1] - 1)
    if recipe.overlay:
        pixels |= (np.indices(pixels.shape).sum(axis=0) % 2) << recipe.bits[1]
    order = "<" if little else ">"
    content = (pixels & (2 ** recipe.bits[0] - 1)).astype(f"{order}u{recipe.bits[0] // 8}").tobytes()
    data.PixelData = content + bytes(len(content) % 2)
    data["PixelData"].VR = "OB" if recipe.bits[0] == 8 and not implicit else "OW"
    if recipe.syntax == RLELossless and recipe.bits != (16, 8):  # which pydicom writes with half of the bytes
        data.compress(RLELossless, encoding_plugin="pydicom")
    if recipe.fault in FAULTS:
        FAULTS[recipe.fault](data)
    data.save_as(path, enforce_file_format=True)
    if recipe.fault == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    return path


def _set(**tags: Any) -> Callable[[FileDataset], None]:
    return lambda data: [setattr(data, name, value) for name, value in tags.items()] and None


def _without(*tags: str) -> Callable[[FileDataset], None]:
    return lambda data: [delattr(data, name) for name in tags] and None


FAULTS: dict[str, Callable[[FileDataset], None]] = {
    "cut": lambda data: None,
    "no pixels": _without("PixelData"),
    "no rows": _without("Rows"),
    "no bits": _without("BitsStored", "HighBit"),
    "no photometric interpretation": _without("PhotometricInterpretation"),
    "more rows than there are": _set(Rows=500),
    "no columns": _set(Columns=0),
    "two frames": _set(NumberOfFrames=2),
    "three samples": _set(SamplesPerPixel=3),
    "colours": _set(PhotometricInterpretation="YBR_FULL"),
    "palette": _set(PhotometricInterpretation="PALETTE COLOR"),
    "more bits stored than allocated": _set(BitsStored=20, HighBit=19),
    "12 bits allocated": _set(BitsAllocated=12),
    "high bit 0": _set(HighBit=0),
    "slope 0": _set(RescaleSlope=0, RescaleIntercept=5),
    "slope below 0": _set(RescaleSlope=-1, RescaleIntercept=5),
    "slope as no number": _set(RescaleSlope=None, RescaleIntercept=None),
    "padding out of range": _set(PixelPaddingValue=30000, PixelPaddingRangeLimit=31000),
    "pixels of 0 mm": _set(ImagerPixelSpacing=[0, 0]),
    "pixels as no number": _set(PixelSpacing=None),
    "pixels of another shape": _set(PixelAspectRatio=[2, 1]),
    "no class": _without("SOPClassUID"),
}


def any_dicom() -> st.SearchStrategy[AnyDicom]:
    """All pixel formats of one grey channel."""
    return st.builds(
        AnyDicom,
        bits=st.sampled_from(((8, 8), (16, 8), (16, 10), (16, 12), (16, 14), (16, 15), (16, 16))),
        signed=st.booleans(),
        inverted=st.booleans(),
        slope=st.sampled_from((None, 1, 0.5, 2, 0.001)),
        intercept=st.sampled_from((None, 0, -1024, 100, -0.5)),
        shape=st.sampled_from(("", "", "IDENTITY", "INVERSE")),
        padding=st.sampled_from(("", "lowest", "highest")),
        states_padding=st.booleans(),
        window=st.booleans(),
        syntax=st.sampled_from(SYNTAXES),
        overlay=st.booleans(),
        fault=st.one_of(st.just(""), st.sampled_from(sorted(FAULTS))),
    )


def _range(recipe: AnyDicom) -> tuple[int, int]:
    levels = 2 ** recipe.bits[1]
    return (-levels // 2, levels // 2 - 1) if recipe.signed else (0, levels - 1)
