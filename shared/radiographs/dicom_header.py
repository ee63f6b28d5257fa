"""What a DICOM file states of its pixels, completed where it may be left out, and refused where it cannot be read."""

from __future__ import annotations

import pydicom
from pydicom.uid import ImplicitVRLittleEndian

from ..runs.errors import InputError

_NEEDED = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PhotometricInterpretation",
)
_CODES = ("PhotometricInterpretation", "PresentationLUTShape", "VOILUTFunction")
SAVE_AGAIN = "Save it again as one grey image (MONOCHROME2), for example as a 16-bit PNG"


def complete_header(header: pydicom.Dataset, file: str, key: str) -> None:
    """Add what a header leaves out and still means, and check that one grey or RGB image can be read by it.

    No slope is 1, no intercept 0, and the stored bits are the lowest. A file without a transfer syntax, as without a
    preamble, is implicit little endian. Codes are written in capitals.

    Args:
        header: of the file, with its pixels; changed in place.
        file: path of the DICOM file, for error messages.
        key: of the file in its case, for error messages.

    Raises:
        InputError: no pixels, or fractions; several frames, colours by a palette or as YBR, a presentation table,
            impossible bits; an attribute is missing without which no pixel can be read.
    """
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        raise InputError(file, key, "holds its pixels as fractions (Float Pixel Data)", SAVE_AGAIN)
    if "PixelData" not in header:
        kind = header.SOPClassUID.name if header.get("SOPClassUID") else "no image, or damaged"
        raise InputError(file, key, f"holds no pixels ({kind})", "Pass the file of the radiograph itself")
    if missing := [name for name in _NEEDED if header.get(name) in (None, "")]:
        problem = f"does not state {', '.join(missing)}, without which its pixels cannot be read"
        raise InputError(file, key, problem, "Export it again from the software that made it")
    if header.get("HighBit") is None:
        header.HighBit = header.BitsStored - 1
    for name, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0)):
        if header.get(name) is None:
            setattr(header, name, neutral)
    for name in _CODES:
        if name in header:
            setattr(header, name, str(header.get(name) or "").strip().upper())
    _check_kind(header, file, key)
    if "TransferSyntaxUID" not in header.file_meta:  # without a preamble
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def _check_kind(header: pydicom.Dataset, file: str, key: str) -> None:
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise InputError(file, key, f"holds {frames} frames, not one", "Save the one you mean as a file of its own")
    if (kind := header.PhotometricInterpretation) not in ("MONOCHROME1", "MONOCHROME2", "RGB"):
        raise InputError(file, key, f"is a colour image ({kind})", SAVE_AGAIN)
    if "PresentationLUTSequence" in header:
        raise InputError(file, key, "states a Presentation LUT as a table, which is not applied here", SAVE_AGAIN)
    if not 1 <= header.BitsStored <= header.HighBit + 1 <= header.BitsAllocated:
        bits = f"{header.BitsStored} bits up to bit {header.HighBit} of {header.BitsAllocated}"
        raise InputError(file, key, f"states impossible bits ({bits})", SAVE_AGAIN)
