"""One radiograph in a DICOM file as a viewer shows it, by pydicom: air is dark, and what is no image is as dark."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.uid import ImplicitVRLittleEndian, RLELossless
from scipy import ndimage

from ..runs.errors import InputError

try:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut
except ImportError:  # pydicom 2, which MONAI Label asks for
    from pydicom.pixel_data_handlers import apply_modality_lut, apply_voi_lut  # type: ignore[no-redef]

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # object, detector, scanner of a film
_AGAIN = "Save it again as one grey image (MONOCHROME2), for example as a 16-bit PNG"


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
        InputError: no pixels, several frames, colours by a palette or as YBR, a presentation table, all padding, or no
            decoder for the compression.
        Exception: of any kind, from pydicom and its decoders, on a damaged file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break the standard in what is not used here
        header = pydicom.dcmread(file, force=True)
        _check_kind(header, file, key)
        stored = _stored(header, file, key)
        spacing = _spacing(header)
        if header.SamplesPerPixel > 1:
            return DicomImage(stored.astype(np.float32), spacing, [])
        stored = stored.astype(np.int64)
        padding = _padding(stored, header)
        if padding.all():
            raise InputError(file, key, "is padding everywhere (Pixel Padding Value)", "Pass the original radiograph")
        shown = _contrast(stored, header)
    darkest, brightest = float(shown[~padding].min()), float(shown[~padding].max())
    if _is_inverted(header):
        shown = darkest + brightest - shown
    shown[padding] = darkest
    return DicomImage(shown.astype(np.float32), spacing, [f"{key}: {note}" for note in _notes(header)])


def _check_kind(header: pydicom.Dataset, file: str, key: str) -> None:
    if "PixelData" not in header:
        kind = header.SOPClassUID.name if "SOPClassUID" in header else "no image, or damaged"
        raise InputError(file, key, f"holds no pixels ({kind})", "Pass the file of the radiograph itself")
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise InputError(file, key, f"holds {frames} frames, not one", "Save the one you mean as a file of its own")
    kind = str(header.get("PhotometricInterpretation", "unknown"))
    if kind not in ("MONOCHROME1", "MONOCHROME2", "RGB"):
        raise InputError(file, key, f"is a colour image ({kind})", _AGAIN)
    if "PresentationLUTSequence" in header:
        raise InputError(file, key, "states a Presentation LUT as a table, which is not applied here", _AGAIN)
    if not 1 <= header.BitsStored <= header.HighBit + 1 <= header.BitsAllocated:
        bits = f"{header.BitsStored} bits up to bit {header.HighBit} of {header.BitsAllocated}"
        raise InputError(file, key, f"states impossible bits ({bits})", _AGAIN)
    if "TransferSyntaxUID" not in header.file_meta:  # without a preamble
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


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
        if not isinstance(error, NotImplementedError) and "missing" not in str(error):
            raise  # a decoder is there, and the file is damaged
        problem = f"is compressed ({syntax.name}), and nothing is installed that decodes it"
        raise InputError(file, key, problem, "Install python-gdcm, or save it uncompressed") from error
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
    ends = np.array([value, header.get("PixelPaddingRangeLimit", value)], np.int64)
    if header.PixelRepresentation:  # their type is often stated as unsigned all the same
        ends = ends.astype(f"uint{header.BitsAllocated}").astype(f"int{header.BitsAllocated}")
    padding = (stored >= ends.min()) & (stored <= ends.max())
    areas, _ = ndimage.label(np.pad(padding, 1, constant_values=True))
    return (areas == areas[0, 0])[1:-1, 1:-1]


def _contrast(stored: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Grey values as they are shown, before any inversion, float64."""
    for table in (*header.get("ModalityLUTSequence", ()), *header.get("VOILUTSequence", ())):
        table.LUTDescriptor = [*table.LUTDescriptor[:2], 16]  # pydicom counts and looks up in a type of so many bits
    values = apply_modality_lut(stored, header)
    if header.get("VOILUTSequence"):
        values = apply_voi_lut(np.rint(values).astype(np.int64), header)
    elif header.get("VOILUTFunction") == "SIGMOID" and "WindowWidth" in header:
        values = apply_voi_lut(values, header)
    return np.array(values, np.float64)


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
    if header.get("PresentationIntentType") == "FOR PROCESSING":
        notes.append("unprocessed values of the detector (FOR PROCESSING), which differ from those that are shown")
    return notes


def _spacing(header: pydicom.Dataset) -> tuple[float, float] | None:
    for name in _SPACINGS:
        stated = [float(side) for side in header.get(name) or ()]
        if len(stated) == 2 and min(stated) > 0:
            return stated[0], stated[1]
    return None
