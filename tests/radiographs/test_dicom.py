"""One picture stored in every way that DICOM knows is one radiograph; what is none is refused with the true reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from shared.radiographs.dicom import read_dicom
from shared.radiographs.reading import read_radiograph
from shared.radiographs.transforms import RadiographUnitsd, ReadRadiographd
from shared.runs.errors import InputError
from tests.helpers.paths import ROOT
from tests.helpers.radiograph_files import PICTURE, Tags, png, written
from tests.helpers.real_data import DATA

LOW, HIGH = int(PICTURE.min()), int(PICTURE.max())
GREY12 = (PICTURE // 2).astype(np.uint16)  # 0 ... 3110
BRIGHT = np.indices(PICTURE.shape)[1] > 30  # a bar of padding at the right edge


def table(entries: np.ndarray, first: int, bits: int, kind: str = "US", count: int | None = None) -> pydicom.Sequence:
    """A modality or VOI table whose first entry is for a stored value of ``first``; of kind OW as bytes."""
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [count or len(entries), first, bits])
    of_words = entries.astype("<u2" if entries.dtype != np.uint8 else np.uint8).tobytes()
    item.add_new("LUTData", kind, of_words if kind == "OW" else entries.tolist())
    return pydicom.Sequence([item])


def window(center: float | list[float], width: float | list[float], function: str = "LINEAR") -> Tags:
    return {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}


MONO1 = {"PhotometricInterpretation": "MONOCHROME1"}
TWELVE = {"BitsStored": 12, "HighBit": 11}
SIGNED12 = GREY12.astype(np.int16) - 1500  # -1500 ... 1610
SHIFTED = {"RescaleSlope": "1", "RescaleIntercept": "1500"}
OVERLAY = np.where(np.indices(GREY12.shape).sum(0) % 2, 0xF000, 0).astype(np.uint16)  # in the bits that are not stored
UPSIDE = np.arange(4096)[::-1]
SAME: dict[str, tuple[np.ndarray, Tags]] = {
    "16_bits": (PICTURE, {}),
    "16_bits_low_is_bright": (65535 - PICTURE, MONO1),
    "low_is_bright_twice_said": (65535 - PICTURE, {**MONO1, "PresentationLUTShape": "INVERSE"}),
    "identity": (PICTURE, {"PresentationLUTShape": "IDENTITY"}),
    "inverse": (65535 - PICTURE, {"PresentationLUTShape": "INVERSE"}),
    "low_is_bright_and_identity": (65535 - PICTURE, {**MONO1, "PresentationLUTShape": "IDENTITY"}),
    "12_of_16_bits": (GREY12, TWELVE),
    "12_of_16_bits_low_is_bright": (4095 - GREY12, {**TWELVE, **MONO1}),
    "overlay_in_the_upper_bits": (GREY12 | OVERLAY, TWELVE),
    "upper_12_of_16_bits": (GREY12 << 4, {"BitsStored": 12, "HighBit": 15}),
    "signed": (PICTURE.astype(np.int16), {}),
    "signed_and_intercept": ((PICTURE - 6000).astype(np.int16), {"RescaleSlope": "1", "RescaleIntercept": "6000"}),
    "signed_12_bits": (SIGNED12, {**TWELVE, **SHIFTED}),
    "signed_12_bits_without_their_sign": (SIGNED12 & 0x0FFF, {**TWELVE, **SHIFTED}),
    "signed_12_bits_low_is_bright": (-1 - SIGNED12, {**TWELVE, **SHIFTED, **MONO1}),
    "slope": (PICTURE, {"RescaleSlope": "0.5", "RescaleIntercept": "-7"}),
    "slope_and_no_intercept": (65535 - PICTURE, {"RescaleSlope": "-2"}),
    "neither_slope_nor_intercept": (PICTURE, {"RescaleSlope": None, "RescaleIntercept": None}),
    "slope_below_0": (65535 - PICTURE, {"RescaleSlope": "-2", "RescaleIntercept": "0"}),
    "window": (PICTURE, window(3000, 2000)),
    "windows": (PICTURE, window([3000, 200], [2000, 100])),
    "exact_window": (PICTURE, window(3000, 2000, "LINEAR_EXACT")),
    "window_elsewhere": (GREY12, {**TWELVE, **window(30000, 2000)}),
    "modality_table": (4095 - GREY12, {**TWELVE, "ModalityLUTSequence": table(UPSIDE, 0, 12)}),
    "modality_table_below_0": (SIGNED12, {**TWELVE, "ModalityLUTSequence": table(np.arange(4096), -2048, 16)}),
    "voi_table": (4095 - GREY12, {**TWELVE, "VOILUTSequence": table(UPSIDE, 0, 12)}),
    "voi_table_and_window": (4095 - GREY12, {**TWELVE, **window(1, 2), "VOILUTSequence": table(UPSIDE, 0, 16)}),
    "sigmoid_window_without_width": (PICTURE, window(3000, 0, "SIGMOID")),
    "voi_table_of_words": (GREY12, {**TWELVE, "VOILUTSequence": table(np.arange(4096), 0, 16, "OW")}),
    "voi_table_below_0": (SIGNED12, {**TWELVE, "VOILUTSequence": table(np.arange(4096), -2048, 16)}),
    "voi_table_below_0_stated_above": (SIGNED12, {**TWELVE, "VOILUTSequence": table(np.arange(4096), 63488, 16)}),
    "modality_table_below_0_stated_above": (
        SIGNED12,
        {**TWELVE, "ModalityLUTSequence": table(np.arange(4096), 63488, 16)},
    ),
    "voi_table_after_intercept": (SIGNED12, {**TWELVE, **SHIFTED, "VOILUTSequence": table(np.arange(4096), 0, 12)}),
}  # fmt: skip


def units(path: Path) -> np.ndarray:
    return np.asarray(RadiographUnitsd("image")(ReadRadiographd("image")({"image": str(path)}))["image"][0])


@pytest.mark.parametrize("kind", SAME)
def test_one_picture_in_every_way_is_one_radiograph(tmp_path: Path, kind: str):
    stored, tags = SAME[kind]
    path = written(tmp_path / "x.dcm", stored, tags)
    expected = (GREY12 if "BitsStored" in tags else PICTURE).astype(float)
    data = read_radiograph(str(path), "image").data.astype(float)
    scale = np.ptp(data) / np.ptp(expected)
    assert scale > 0 and np.allclose(data - data.min(), scale * (expected - expected.min()), atol=1e-3)
    assert np.allclose(units(path), units(png(tmp_path / "x.png")), atol=2e-3)


def test_the_values_are_those_after_slope_and_intercept(tmp_path: Path):
    path = written(tmp_path / "x.dcm", PICTURE, {"RescaleSlope": "0.5", "RescaleIntercept": "-7"})
    assert np.array_equal(read_dicom(str(path), "image").pixels, PICTURE / 2 - 7)
    path = written(tmp_path / "y.dcm", PICTURE, MONO1)
    assert np.array_equal(read_dicom(str(path), "image").pixels, float(LOW + HIGH) - PICTURE), "the same range"


def test_a_table_of_8_bits_is_looked_up_with_12(tmp_path: Path):
    path = written(tmp_path / "x.dcm", GREY12, {**TWELVE, "VOILUTSequence": table(np.arange(4096) // 16, 0, 8)})
    assert np.array_equal(read_dicom(str(path), "image").pixels, GREY12 // 16)


@pytest.mark.parametrize("kind", ["US", "OW"])
def test_two_entries_of_8_bits_may_share_a_word(tmp_path: Path, kind: str):
    eight = (PICTURE // 25).astype(np.uint8)
    upside = np.arange(256)[::-1].astype(np.uint8)
    entries = upside if kind == "OW" else upside.view("<u2")
    path = written(tmp_path / "x.dcm", eight, {"VOILUTSequence": table(entries, 0, 8, kind, count=256)})
    assert np.array_equal(read_dicom(str(path), "image").pixels, 255 - eight)


def test_a_sigmoid_window_is_applied(tmp_path: Path):
    path = written(tmp_path / "x.dcm", GREY12, {**TWELVE, **window(1500, 800, "SIGMOID")})
    expected = 4095 / (1 + np.exp(-4 * (GREY12.astype(float) - 1500) / 800))
    assert np.allclose(read_dicom(str(path), "image").pixels, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("tags", "value"),
    [
        ({"PixelPaddingValue": 4095}, 4095),
        ({"PixelPaddingValue": 0, **MONO1}, 0),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 3900}, 4000),
        ({"PixelPaddingValue": 3900, "PixelPaddingRangeLimit": 4095}, 4000),
    ],
)
def test_padding_is_as_dark_as_the_darkest_pixel_of_the_image(tmp_path: Path, tags: Tags, value: int):
    stored = np.where(BRIGHT, value, 100 + GREY12).astype(np.uint16)
    pixels = read_dicom(str(written(tmp_path / "x.dcm", stored, {**TWELVE, **tags})), "image").pixels
    within = (100 + GREY12)[~BRIGHT].astype(float)
    expected = within if "PhotometricInterpretation" not in tags else within.min() + within.max() - within
    assert np.array_equal(pixels[~BRIGHT], expected) and (pixels[BRIGHT] == expected.min()).all()


def test_unsigned_padding_stated_with_a_sign(tmp_path: Path):
    path = written(tmp_path / "x.dcm", np.where(BRIGHT, 2**16 - 2000, PICTURE).astype(np.uint16))
    file = pydicom.dcmread(path)
    file.add_new("PixelPaddingValue", "SS", -2000)
    file.add_new("PixelPaddingRangeLimit", "US", None)
    file.save_as(path)
    pixels = read_dicom(str(path), "image").pixels
    assert (pixels[BRIGHT] == PICTURE[~BRIGHT].min()).all() and np.array_equal(pixels[~BRIGHT], PICTURE[~BRIGHT])


@pytest.mark.parametrize("vr", ["SS", "US"])
def test_signed_padding_whatever_its_type(tmp_path: Path, vr: str):
    path = written(tmp_path / "x.dcm", np.where(BRIGHT, -2000, SIGNED12).astype(np.int16))
    file = pydicom.dcmread(path)
    file.add_new("PixelPaddingValue", vr, -2000 if vr == "SS" else 2**16 - 2000)
    file.save_as(path)
    pixels = read_dicom(str(path), "image").pixels
    assert (pixels[BRIGHT] == SIGNED12[~BRIGHT].min()).all() and np.array_equal(pixels[~BRIGHT], SIGNED12[~BRIGHT])


def test_what_has_the_value_of_padding_within_the_image_stays(tmp_path: Path):
    """Such as metal, where the detector is saturated."""
    stored = np.where(BRIGHT, 4095, GREY12).astype(np.uint16)
    stored[20:24, 10:14] = 4095
    path = written(tmp_path / "x.dcm", stored, {**TWELVE, "PixelPaddingValue": 4095})
    pixels = read_dicom(str(path), "image").pixels
    assert (pixels[20:24, 10:14] == 4095).all() and (pixels[BRIGHT] == 0).all()


COMPRESSIONS = {"JPEG": 0, "JPEG2000": 1}  # of ITK's writer, both lossless


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_compressions(tmp_path: Path, compression: str, dtype: type):
    picture = (PICTURE // 25).astype(dtype) if dtype is np.uint8 else PICTURE
    path = str(tmp_path / "x.dcm")
    coder = itk.GDCMImageIO.New()
    coder.SetCompressionType(COMPRESSIONS[compression])
    itk.ImageFileWriter.New(itk.image_from_array(picture), FileName=path, ImageIO=coder, UseCompression=True).Update()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(read_dicom(path, "image").pixels, picture)


def test_rle_of_the_upper_bits(tmp_path: Path):
    path = written(tmp_path / "x.dcm", GREY12 << 4, {"BitsStored": 12, "HighBit": 15})
    file = pydicom.dcmread(path)
    file.compress(RLELossless)
    file.save_as(path)
    assert np.array_equal(read_dicom(str(path), "image").pixels, GREY12)


def test_a_file_without_preamble(tmp_path: Path):
    path = written(tmp_path / "x.dcm", PICTURE)
    file = pydicom.dcmread(path)
    del file.file_meta
    file.preamble = None
    file.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert np.array_equal(read_dicom(str(path), "image").pixels, PICTURE)


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({}, None),
        ({"ImagerPixelSpacing": [0.3, 0.2]}, (0.3, 0.2)),
        ({"ImagerPixelSpacing": [0.3, 0.2], "PixelSpacing": [0.27, 0.18]}, (0.27, 0.18)),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"ImagerPixelSpacing": [0.3, 0.2], "PixelSpacing": None}, (0.3, 0.2)),
        ({"PixelSpacing": [0, 0]}, None),
    ],
)
def test_spacing_down_and_right_is_that_of_the_object_where_it_is_stated(tmp_path: Path, tags: Tags, spacing: Any):
    assert read_dicom(str(written(tmp_path / "x.dcm", PICTURE, tags)), "image").spacing == spacing


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        (
            {**MONO1, "PresentationLUTShape": "IDENTITY"},
            "image: Presentation LUT Shape IDENTITY contradicts MONOCHROME1",
        ),
        ({"PresentationLUTShape": "INVERSE"}, "image: Presentation LUT Shape INVERSE contradicts MONOCHROME2"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "image: unprocessed values of the detector"),
        ({"VOILUTSequence": [*table(np.arange(4096), 0, 16)] * 2}, "image: the first of 2 VOI tables applied"),
        ({"PixelAspectRatio": [2, 1]}, "image: pixels that are not square (Pixel Aspect Ratio 2:1) and no spacing"),
        ({"PixelAspectRatio": [2, 1], "PixelSpacing": [0.2, 0.1]}, ""),
        ({"PixelAspectRatio": [1, 1]}, ""),
        (window(1, 0, "SIGMOID"), "image: its sigmoid window has no width above 0"),
        ({**MONO1, "PresentationLUTShape": "INVERSE", **window(1, 2)}, ""),
    ],
)
def test_what_is_unusual_is_said(tmp_path: Path, tags: Tags, note: str):
    notes = read_radiograph(str(written(tmp_path / "x.dcm", PICTURE, tags)), "image").warnings
    assert len(notes) == bool(note) and "".join(notes).startswith(note)


def of_another_syntax(path: Path) -> Path:
    file = pydicom.dcmread(written(path, PICTURE))
    file.PixelData = pydicom.encaps.encapsulate([b"\0" * 100])
    file.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    file["PixelData"].is_undefined_length = True
    file.save_as(path)
    return path


def of_12_bits(path: Path) -> Path:
    """JPEG Extended, which the installed decoders know with 8 bits only."""
    file = pydicom.dcmread(written(path, GREY12, TWELVE))
    file.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + b"\0" * 98])
    file.file_meta.TransferSyntaxUID = pydicom.uid.JPEGExtended12Bit
    file["PixelData"].is_undefined_length = True
    file.save_as(path)
    return path


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "padding": (lambda p: written(p, PICTURE, {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 65535}), "is padding"),
    "film": (of_another_syntax, r"is compressed .MPEG2.* nothing is installed that decodes it\. Save it uncompressed"),
    "12_bits": (of_12_bits, r"is compressed .JPEG Extended .*12 bits., and nothing is .*\. Save it uncompressed"),
    "table": (
        lambda p: written(p, PICTURE, {"VOILUTSequence": table(np.arange(99), 0, 16, count=300)}),
        "has a table of grey values with 99 entries, where it states 300",
    ),
    "short": (lambda p: written(p, PICTURE, {"Rows": 500}), "is damaged or no image"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_file_key_and_remedy(tmp_path: Path, fault: str):
    make, message = FAULTS[fault]
    path = make(tmp_path / "x.dcm")
    with pytest.raises(InputError, match=message) as caught:
        read_radiograph(str(path), "image")
    assert (caught.value.file, caught.value.key) == (str(path), "image") and caught.value.remedy


def test_where_no_decoder_is_installed_it_is_named(tmp_path: Path):
    path = str(tmp_path / "x.dcm")
    coder = itk.GDCMImageIO.New()
    coder.SetCompressionType(COMPRESSIONS["JPEG2000"])
    itk.ImageFileWriter.New(itk.image_from_array(PICTURE), FileName=path, ImageIO=coder, UseCompression=True).Update()
    code = "import sys\nfor name in ('gdcm', 'PIL', 'openjpeg', 'pylibjpeg'): sys.modules[name] = None\n"
    code += "from shared.radiographs.dicom import read_dicom\nread_dicom(sys.argv[1], 'image')"
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True)
    said = (
        "is compressed (JPEG 2000 Image Compression (Lossless Only), 16 bits), and nothing is installed that decodes it"
    )
    assert done.returncode and said in done.stderr and "Install python-gdcm" in done.stderr


@pytest.mark.real_data
def test_variants_of_one_ankle_are_one_radiograph():
    folder = DATA / "odd_files" / "06_dicom"
    files = {file.name.split("_")[0]: units(file) for file in folder.iterdir()}
    whole = {name: files[name] for name in "abcghjk"}
    assert all(np.allclose(file, files["0"], atol=2e-3) for file in whole.values())
    padded = [files[name] for name in "def"]
    assert all(np.allclose(file, padded[0], atol=0.02) for file in padded)
    assert all(file[0].max() == file[-1].max() == -1 for file in padded), "padding is dark"
