"""One radiograph in a DICOM file as a viewer shows it, by pydicom: air is dark, and what is no image is as dark."""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

import numpy as np
import pydicom
from monai.utils import optional_import
from pydicom.uid import RLELossless
from scipy import ndimage

from ..runs.errors import InputError
from .dicom_header import SAVE_AGAIN, complete_header

try:
    from pydicom.pixels import apply_voi_lut
except ImportError:  # pydicom 2, which MONAI Label asks for
    from pydicom.pixel_data_handlers import apply_voi_lut  # type: ignore[no-redef]

_, has_gdcm = optional_import("gdcm")

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # object, detector, scanner of a film


class DicomImage(NamedTuple):
    """``pixels`` X Y float32, of colours X Y C; ``spacing`` mm along X and Y, None if unknown; notes."""

    pixels: np.ndarray
    spacing: tuple[float, float] | None
    notes: list[str]


def read_dicom(file: str, key: str) -> DicomImage:
    """Read one image; pixels and what is stated of them are checked by who calls.

    Applied are rescale slope and intercept or the modality table, then the VOI table or a sigmoid window, which bend
    the grey values (of several the first), then the inversion. A linear window only cuts and stretches, and is not
    applied. Padding, from the edges inwards, becomes as dark as the darkest pixel of the image.

    Args:
        file: path of the DICOM file, also without preamble.
        key: of the file in its case, for error messages.

    Raises:
        InputError: as :func:`~.dicom_header.complete_header`; a table of another length than stated, all padding, or no
            decoder for the compression.
        Exception: of any kind, from pydicom and its decoders, on a damaged file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break the standard in what is not used here
        header = pydicom.dcmread(file, force=True)
        complete_header(header, file, key)
        stored = _stored(header, file, key)
        spacing = _spacing(header)
        if header.SamplesPerPixel > 1:
            return DicomImage(stored.astype(np.float32), spacing, [])
        stored = stored.astype(np.int64)
        padding = _padding(stored, header)
        if padding.all():
            raise InputError(file, key, "is padding everywhere (Pixel Padding Value)", "Pass the original radiograph")
        shown = _contrast(stored, header, file, key)
    darkest, brightest = float(shown[~padding].min()), float(shown[~padding].max())
    if _is_inverted(header):
        shown = darkest + brightest - shown
    shown[padding] = darkest
    return DicomImage(shown.astype(np.float32), spacing, [f"{key}: {note}" for note in _notes(header)])


def _stored(header: pydicom.Dataset, file: str, key: str) -> np.ndarray:
    """Stored values, ``X Y`` or ``X Y C``, of their own type.

    Where they come as written, what lies in the bits around the stored ones, such as overlays, is cut off, and the sign
    is repeated; pydicom leaves such bits, or takes the lowest ones, whatever is stated.
    """
    syntax, bits, high = header.file_meta.TransferSyntaxUID, header.BitsStored, header.HighBit
    as_written = not syntax.is_compressed or syntax == RLELossless
    if as_written:
        header.BitsStored, header.HighBit = header.BitsAllocated, header.BitsAllocated - 1
    try:
        stored = header.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        if not isinstance(error, NotImplementedError) and not re.search("missing|not support", str(error)):
            raise  # a decoder is there, and the file is damaged
        problem = f"is compressed ({syntax.name}, {bits} bits), and nothing is installed that decodes it"
        remedy = "Save it uncompressed" if has_gdcm else "Install python-gdcm, or save it uncompressed"
        raise InputError(file, key, problem, f"{remedy}, with the software that made it") from error
    header.BitsStored, header.HighBit = bits, high
    if as_written:
        stored = np.left_shift(stored, header.BitsAllocated - 1 - high)
        stored = np.right_shift(stored, header.BitsAllocated - bits)
    return stored


def _padding(stored: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Which pixels were added to fill the rectangle, ``X Y`` bool: as stated, and connected with the edges."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = header.get("PixelPaddingRangeLimit")
    ends = np.array([value, value if limit is None else limit], np.int64).astype(f"uint{header.BitsAllocated}")
    if header.PixelRepresentation:  # of the sign of the pixels, whatever that of their own type
        ends = ends.astype(f"int{header.BitsAllocated}")
    padding = (stored >= ends.min()) & (stored <= ends.max())
    areas, _ = ndimage.label(np.pad(padding, 1, constant_values=True))
    return (areas == areas[0, 0])[1:-1, 1:-1]


def _contrast(stored: np.ndarray, header: pydicom.Dataset, file: str, key: str) -> np.ndarray:
    """Grey values as they are shown, before any inversion, float64."""
    if modality := header.get("ModalityLUTSequence"):
        values = _looked_up(stored, modality[0], header, file, key)
    else:
        values = stored * float(header.RescaleSlope) + float(header.RescaleIntercept)
    if voi := header.get("VOILUTSequence"):
        values = _looked_up(values, voi[0], header, file, key)
    elif _has_sigmoid(header):
        values = apply_voi_lut(values, header)
    return np.array(values, np.float64)


def _looked_up(values: np.ndarray, table: pydicom.Dataset, header: pydicom.Dataset, file: str, key: str) -> np.ndarray:
    """Values by a modality or VOI table; beyond its ends stand its first and last entry.

    The entries are words or, of 8 bits, also bytes. The value of the first entry is often stated as unsigned though the
    values have a sign.
    """
    if table.get("LUTDescriptor") is None or table.get("LUTData") is None:
        return values
    count, first, _ = table.LUTDescriptor
    order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
    data = table.LUTData
    entries = np.frombuffer(data, f"{order}u2") if isinstance(data, bytes) else np.atleast_1d(data).astype(np.uint16)
    count = count or 2**16
    if 2 * len(entries) in (count, count + 1) and count > 1:
        entries = entries.astype("<u2").view(np.uint8)[:count]
    if len(entries) != count:
        problem = f"has a table of grey values with {len(entries)} entries, where it states {count}"
        raise InputError(file, key, problem, SAVE_AGAIN)
    first -= 2**16 if first >= 2**15 and values.min() < 0 else 0
    return entries.take(np.rint(values).astype(np.int64) - first, mode="clip")


def _has_sigmoid(header: pydicom.Dataset) -> bool:
    """Whether a sigmoid window is stated whole; one without a width above 0 means nothing."""
    stated = [np.ravel(header.get(name, ())) for name in ("WindowCenter", "WindowWidth")]
    whole = all(values.size and values[0] is not None for values in stated)
    return header.get("VOILUTFunction") == "SIGMOID" and whole and float(stated[1][0]) > 0


def _is_inverted(header: pydicom.Dataset) -> bool:
    """Whether low values are bright."""
    return header.PhotometricInterpretation == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE"


def _notes(header: pydicom.Dataset) -> list[str]:
    notes = []
    kind, shape = header.PhotometricInterpretation, header.get("PresentationLUTShape")
    if (kind, shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        notes.append(f"Presentation LUT Shape {shape} contradicts {kind}: taken with low values bright")
    if (tables := len(header.get("VOILUTSequence", ()))) > 1:
        notes.append(f"the first of {tables} VOI tables applied")
    if header.get("VOILUTFunction") == "SIGMOID" and not _has_sigmoid(header) and not header.get("VOILUTSequence"):
        notes.append("its sigmoid window has no width above 0, or no center, and is not applied")
    ratio = [int(side) for side in header.get("PixelAspectRatio") or (1, 1)]
    if ratio[0] != ratio[1] and not _spacing(header):
        notes.append(
            f"pixels that are not square (Pixel Aspect Ratio {ratio[0]}:{ratio[1]}) and no spacing: taken as square"
        )
    if header.get("PresentationIntentType") == "FOR PROCESSING":
        notes.append("unprocessed values of the detector (FOR PROCESSING), which differ from those that are shown")
    return notes


def _spacing(header: pydicom.Dataset) -> tuple[float, float] | None:
    for name in _SPACINGS:
        stated = [float(side) for side in header.get(name) or ()]
        if len(stated) == 2 and min(stated) > 0:
            return stated[0], stated[1]
    return None
