"""Radiographs from every format show the same picture the same way up; faults are named with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from shared.radiographs.reading import read_mask, read_radiograph
from shared.runs.errors import InputError
from tests.helpers.radiograph_files import DOWN_MM, PICTURE, RIGHT_MM, dicom, png

GREY8 = (PICTURE // 25).astype(np.uint8)
INVERTED = (b"MONOCHROME2 ", b"MONOCHROME1 ")
SLOPE = (b"\x28\x00\x53\x10\x02\x00\x00\x001 ", b"\x28\x00\x53\x10\x02\x00\x00\x00.5")
INTERCEPT = (b"\x28\x00\x52\x10\x02\x00\x00\x000 ", b"\x28\x00\x52\x10\x02\x00\x00\x00-7")
NO_SPACING = (b"\x18\x00\x64\x11", b"\x18\x00\x65\x11")  # another tag
NO_RESCALE = "1.1"  # SOP class of digital radiography, without rescale tags


def read(path: Path) -> np.ndarray:
    return read_radiograph(str(path), "image").data


def nifti(path: Path, pixels: np.ndarray = PICTURE, codes: str = "LPS", **header: object) -> Path:
    """Rows and columns of a picture as a NIfTI file whose axes (right, down, across on the screen) are ``codes``."""
    directions = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.diag([0.0, 0, 0, 1])
    for axis, (code, size) in enumerate(zip(codes, (RIGHT_MM, DOWN_MM, 5.0))):
        affine[directions[code][0], axis] = size * directions[code][1]
    image = nib.Nifti1Image(pixels.swapaxes(0, 1).reshape(*pixels.shape[1::-1], *pixels.shape[2:] or (1,)), affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def paletted(path: Path, *palette: int) -> Path:
    picture = Image.fromarray(GREY8, "P")
    picture.putpalette(palette)
    picture.save(path, "PNG")
    return path


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (png, PICTURE),
        (lambda p: png(p, GREY8), GREY8),
        (lambda p: paletted(p, *np.repeat(255 - np.arange(256), 3).tolist()), 255 - GREY8.astype(int)),
        (lambda p: png(p, np.stack([GREY8] * 3, -1)), GREY8),
        (lambda p: png(p, np.stack([GREY8] * 3 + [GREY8 * 0 + 255], -1)), GREY8),
        (lambda p: png(p, np.stack([GREY8, GREY8 * 0 + 255], -1), "LA"), GREY8),
        (dicom, PICTURE),
        (lambda p: dicom(p, PICTURE.astype(np.int16) - 3000, sop=NO_RESCALE), PICTURE - 3000.0),
        (lambda p: dicom(p, PICTURE, SLOPE, INTERCEPT), PICTURE / 2 - 7),
        (lambda p: dicom(p, PICTURE, INVERTED), 6221.0 - PICTURE),  # in the range that it has
        (lambda p: dicom(p, GREY8, INVERTED), 248.0 - GREY8),
        (lambda p: dicom(p, PICTURE, INVERTED, SLOPE, INTERCEPT), (6221.0 - PICTURE) / 2 - 7),
    ],
)
def test_png_is_taken_as_stored_and_dicom_as_shown_rows_down(tmp_path, make, expected):
    data = read(make(tmp_path / "name says nothing"))
    assert data.dtype == np.float32 and np.array_equal(data, expected)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f4", ">f8"])
def test_nifti_of_every_dtype(tmp_path, dtype):
    path = nifti(tmp_path / "x.nii.gz", GREY8.astype(dtype))
    assert np.array_equal(read(path), GREY8)


def test_the_slope_of_nifti_is_applied(tmp_path):
    image = nib.Nifti1Image(GREY8.T, np.diag([-1, -1, 1, 1]))
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "y.nii")  # values are kept, what is stored is not
    stored = np.asarray(nib.load(tmp_path / "y.nii").dataobj.get_unscaled())
    assert np.array_equal(read(tmp_path / "y.nii"), 0.5 * stored.T + 10)


@pytest.mark.parametrize("codes", ["LPS", "LIA", "PIR"])
@pytest.mark.parametrize("stored", ["as it is", "closest canonical", "turned"])
def test_nifti_of_every_plane_and_orientation_is_upright(tmp_path, codes, stored):
    path = nifti(tmp_path / "x.nii.gz", codes=codes)
    turn = {"as it is": codes, "closest canonical": "RAS", "turned": "SRA"}[stored]
    image = nib.load(path)
    start, end = nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(turn)
    nib.save(image.as_reoriented(nib.orientations.ornt_transform(start, end)), path)
    image = read_radiograph(str(path), "image")
    assert np.array_equal(image.data, PICTURE) and not image.warnings
    assert image.spacing == pytest.approx((DOWN_MM, RIGHT_MM))


def test_a_nifti_that_itk_made_of_a_png_stays_upright(tmp_path):
    itk.imwrite(itk.imread(str(png(tmp_path / "x.png"))), str(tmp_path / "x.nii"))
    assert np.array_equal(read(tmp_path / "x.nii"), PICTURE)


def test_a_2d_nifti_need_not_state_its_thickness(tmp_path):
    image = nib.Nifti1Image(PICTURE.T, None)
    image.header["pixdim"][1:3] = (RIGHT_MM, DOWN_MM)
    raw = bytearray(nib.Nifti1Image(PICTURE.T, None, image.header).to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    header["pixdim"][3] = header["qform_code"] = header["sform_code"] = 0
    (tmp_path / "x.nii").write_bytes(header.binaryblock + bytes(raw[348:]))
    read = read_radiograph(str(tmp_path / "x.nii"), "image")
    assert read.data.shape == PICTURE.shape and read.spacing == pytest.approx((DOWN_MM, RIGHT_MM))
    assert read.warnings == ["image: no orientation in the NIfTI header, so it may be turned"]


def test_pixel_spacing_where_the_file_states_it(tmp_path):
    def spacing(path: Path) -> tuple[float, float] | None:
        return read_radiograph(str(path), "image").spacing

    assert spacing(dicom(tmp_path / "detector.dcm")) == pytest.approx((DOWN_MM, RIGHT_MM))
    assert spacing(dicom(tmp_path / "ct.dcm", sop="2")) == pytest.approx((DOWN_MM, RIGHT_MM))
    assert spacing(dicom(tmp_path / "unknown.dcm", PICTURE, NO_SPACING)) is None
    assert spacing(png(tmp_path / "x.png")) is None


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def truncated(path: Path) -> Path:
    return written(path, path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path, at: int) -> Path:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    return written(path, bytes(content))


def with_pixel(path: Path, value: float) -> Path:
    pixels = PICTURE.astype(np.float32)
    pixels[3, 4] = value
    return nifti(path, pixels)


def film(path: Path) -> Path:
    frames = [Image.fromarray(GREY8), Image.fromarray(GREY8.T.copy().reshape(GREY8.shape))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def singular(path: Path) -> Path:
    image = nib.Nifti1Image(PICTURE[..., None], np.eye(4))
    raw = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    header["srow_x"] = 0
    return written(path, header.binaryblock + bytes(raw[348:]))


COLOURS = np.stack([GREY8, GREY8, 255 - GREY8], -1)
STEPPED_ALPHA = np.stack([GREY8, GREY8 // 128], -1)
RGB = np.zeros((40, 48, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
FAULTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "missing": ("x.png", lambda p: p, "file not found"),
    "folder": ("x.png", lambda p: p.mkdir() or p, "is a folder"),
    "zero_bytes": ("x.png", lambda p: written(p, b""), "is empty"),
    "text": ("x.png", lambda p: written(p, b"hello " * 99), "no PNG, DICOM or NIfTI.*losslessly"),
    "jpeg": ("x.jpg", lambda p: Image.fromarray(GREY8).save(p) or p, "no PNG, DICOM or NIfTI.*losslessly"),
    "truncated_png": ("x.png", lambda p: truncated(png(p)), "is damaged"),
    "png_checksum": ("x.png", lambda p: flipped(png(p), 30), "is damaged"),
    "truncated_dicom": ("x.dcm", lambda p: truncated(dicom(p)), "is damaged"),
    "short_dicom": ("x.dcm", lambda p: written(p, dicom(p).read_bytes()[:-9]), "is damaged"),
    "text_dicom": ("x.dcm", lambda p: written(p, b"hello " * 99), "holds no pixels .no image, or damaged"),
    "text_nifti": ("x.nii", lambda p: written(p, b"hello " * 99), "is damaged or no image"),
    "truncated_nifti": ("x.nii", lambda p: truncated(nifti(p)), "is damaged"),
    "truncated_gz": ("x.nii.gz", lambda p: truncated(nifti(p)), "is damaged"),
    "gz_checksum": ("x.nii.gz", lambda p: flipped(nifti(p), -6), "is damaged"),
    "colour_png": ("x.png", lambda p: png(p, COLOURS), "is a colour image.*grey"),
    "colour_palette": ("x.png", lambda p: paletted(p, 0, 0, 0, 128, 0, 0), "is a colour image"),
    "colour_dicom": ("x.dcm", lambda p: itk.imwrite(itk.image_from_array(COLOURS, is_vector=True), str(p)) or p, "col"),
    "colour_nifti": ("x.nii", lambda p: nib.save(nib.Nifti1Image(RGB, np.eye(4)), p) or p, "holds colours"),
    "transparent": ("x.png", lambda p: png(p, STEPPED_ALPHA, "LA"), "is transparent in places"),
    "complex": ("x.nii", lambda p: nifti(p, PICTURE.astype(np.complex64)), "complex numbers"),
    "frames_png": ("x.png", film, "holds 2 frames.*file of its own"),
    "frames_dicom": ("x.dcm", lambda p: dicom(p, np.stack([PICTURE] * 3)), "holds 3 frames"),
    "slices": ("x.nii.gz", lambda p: nifti(p, np.stack([PICTURE] * 2, -1)), "holds several images"),
    "series": ("x.nii.gz", lambda p: nifti(p, np.stack([PICTURE] * 2, -1)[:, :, None]), "several images, not one"),
    "metres": ("x.nii.gz", lambda p: nifti(p, xyzt_units=1), "in metres or micrometres"),
    "micrometres": ("x.nii.gz", lambda p: nifti(p, xyzt_units=3), "in metres or micrometres"),
    "singular": ("x.nii", singular, "affine is singular"),
    "tiny": ("x.png", lambda p: png(p, PICTURE[:31]), "has only 31 x 40 pixels"),
    "nan": ("x.nii.gz", lambda p: with_pixel(p, np.nan), "has 1 pixels that are NaN or infinite"),
    "inf": ("x.nii.gz", lambda p: with_pixel(p, -np.inf), "has 1 pixels that are NaN or infinite"),
    "constant": ("x.png", lambda p: png(p, GREY8 * 0 + 7), r"constant everywhere \(7\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fault_is_named_with_file_key_and_remedy(tmp_path, fault):
    name, make, message = FAULTS[fault]
    path = make(tmp_path / name) or tmp_path / name
    with pytest.raises(InputError, match=message) as caught:
        read_radiograph(str(path), "image")
    assert (caught.value.file, caught.value.key) == (str(path), "image")
    assert caught.value.problem and caught.value.remedy


def test_equal_channels_are_noted_and_grey_is_not(tmp_path):
    three = read_radiograph(str(png(tmp_path / "c.png", np.stack([GREY8] * 3, -1))), "image")
    assert three.warnings == ["image: colour image with equal channels, one of them taken"]
    assert not read_radiograph(str(png(tmp_path / "g.png")), "image").warnings
    assert not read_radiograph(str(dicom(tmp_path / "g.dcm")), "image").warnings


MASK = (GREY8 > 99).astype(np.uint8)


@pytest.mark.parametrize("scale", [1, 100, 255])
def test_masks_of_two_levels_are_0_and_1(tmp_path, scale):
    mask = read_mask(str(png(tmp_path / "m.png", scale * MASK)), "tibia_mask")
    assert np.array_equal(mask.data, MASK) and mask.data.dtype == np.float32
    assert mask.warnings == (["tibia_mask: levels 0 and 100 taken as 0 and 1"] if scale == 100 else [])


def test_a_mask_of_minus_one_and_one_and_an_empty_one(tmp_path):
    mask = read_mask(str(nifti(tmp_path / "m.nii.gz", 2 * MASK.astype(np.float32) - 1)), "lesion_mask")
    assert np.array_equal(mask.data, MASK) and mask.warnings
    empty = read_mask(str(png(tmp_path / "e.png", 0 * MASK)), "lesion_mask")
    assert not empty.data.any() and not empty.warnings


DISTANCE = np.hypot(*(np.indices((256, 200)) - [[[150]], [[80]]]))
DISC = (DISTANCE < 20).astype(np.float32)


def soft(sigma: float) -> np.ndarray:
    return np.rint(255 * ndimage.gaussian_filter(DISC, sigma)).astype(np.uint8)


def test_grey_edges_are_cut_in_the_middle(tmp_path):
    pixels = soft(0.5)
    mask = read_mask(str(png(tmp_path / "m.png", pixels)), "tibia_mask")
    assert np.array_equal(mask.data, DISC) and mask.data.dtype == np.float32
    between = ((pixels > 0) & (pixels < 255)).sum()
    assert mask.warnings == [f"tibia_mask: {between} pixels between its levels 0 and 255, taken as the nearer one"]
    below = np.where((DISC > 0) | (pixels == 0), pixels, 127)
    assert np.array_equal(read_mask(str(png(tmp_path / "b.png", below)), "tibia_mask").data, DISC)
    noisy = 255 * DISC + 12 * np.sign(0.5 - DISC) * (np.indices(DISC.shape).sum(0) % 2)  # as JPEG leaves it
    assert np.array_equal(read_mask(str(png(tmp_path / "j.png", noisy.astype(np.uint8))), "tibia_mask").data, DISC)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (MASK + (GREY8 > 200), "not binary: .* pixels lie between its levels 0 and 2.*nearest"),
        (soft(2), "not binary"),  # 2 % are grey
        ((1 + (DISTANCE > 8)) * (DISTANCE < 60), "not binary: 197 pixels"),  # labels 1 and 2, few pixels of the one
        ((DISTANCE < 60) * 255 - 100 * (DISTANCE < 8), "not binary: 193 pixels"),
        ((1 + (DISTANCE > 8)) * (DISTANCE < 60) * (np.arange(200) > 79), "not binary: 107 pixels"),  # one at the edge
        (
            np.tile(np.repeat([0, 128, 255, 128, 0], [3, 1, 6, 1, 3]), (64, 4)),
            "not binary: 512 pixels",
        ),  # edges everywhere
        (MASK + 1, "no background"),
        (0 * MASK + 255, "no background"),
    ],
)
def test_masks_that_are_none(tmp_path, pixels, message):
    with pytest.raises(InputError, match=message) as caught:
        read_mask(str(png(tmp_path / "m.png", pixels.astype(np.uint8))), "tibia_mask")
    assert caught.value.key == "tibia_mask"
