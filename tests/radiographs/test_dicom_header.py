"""What a DICOM file leaves out is completed where it has one meaning; else it is named and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from shared.radiographs.reading import read_radiograph
from shared.runs.errors import InputError
from tests.helpers.radiograph_files import PICTURE, Tags, written


def without(path: Path, name: str, left: str) -> Path:
    """A file whose attribute is missing or empty."""
    file = pydicom.dcmread(written(path, PICTURE))
    if left == "missing":
        delattr(file, name)
    else:
        setattr(file, name, None)
    file.save_as(path)
    return path


LEFT = pytest.mark.parametrize("left", ["missing", "empty"])


@LEFT
def test_what_has_one_meaning_is_completed(tmp_path: Path, left: str):
    image = read_radiograph(str(without(tmp_path / "x.dcm", "HighBit", left)), "image")
    assert np.array_equal(image.data, PICTURE) and not image.warnings


@LEFT
@pytest.mark.parametrize(
    "name",
    ["Rows", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"],
)
def test_what_has_none_is_named(tmp_path: Path, name: str, left: str):
    with pytest.raises(InputError, match=f"does not state {name}, without which its pixels cannot be read"):
        read_radiograph(str(without(tmp_path / "x.dcm", name, left)), "image")


def test_codes_count_in_small_letters(tmp_path: Path):
    path = written(tmp_path / "x.dcm", 65535 - PICTURE, {"PresentationLUTShape": "inverse"})
    assert np.array_equal(np.diff(read_radiograph(str(path), "image").data), np.diff(PICTURE.astype(float)))


def of_no_pixels(path: Path) -> Path:
    file = pydicom.dcmread(written(path, PICTURE))
    del file.PixelData
    file.save_as(path)
    return path


def of_fractions(path: Path) -> Path:
    file = pydicom.dcmread(of_no_pixels(path))
    file.FloatPixelData = PICTURE.astype("<f4").tobytes()
    file.save_as(path)
    return path


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no_pixels": (of_no_pixels, "holds no pixels .Computed Radiography Image Storage"),
    "fractions": (of_fractions, "holds its pixels as fractions .Float Pixel Data"),
}
TAGS: dict[str, tuple[Tags, str]] = {
    "frames": ({"NumberOfFrames": 3}, "holds 3 frames, not one"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour image .PALETTE"),
    "ybr": ({"PhotometricInterpretation": "YBR_FULL"}, "colour image .YBR_FULL"),
    "bits": ({"BitsStored": 16, "HighBit": 11}, "impossible bits .16 bits up to bit 11"),
    "presentation": ({"PresentationLUTSequence": [pydicom.Dataset()]}, "Presentation LUT as a table"),
}


@pytest.mark.parametrize("fault", [*FAULTS, *TAGS])
def test_fault_is_named_with_file_key_and_remedy(tmp_path: Path, fault: str):
    path = tmp_path / "x.dcm"
    if fault in FAULTS:
        make, message = FAULTS[fault]
        make(path)
    else:
        tags, message = TAGS[fault]
        written(path, PICTURE, tags)
    with pytest.raises(InputError, match=message) as caught:
        read_radiograph(str(path), "image")
    assert (caught.value.file, caught.value.key) == (str(path), "image") and caught.value.remedy
