"""The door: every fault a file can have, as a real file; good files of every kind; whole heads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from shared.brains.door import Door, check_case
from shared.brains.nifti import read_volume
from shared.brains.volume import Volume
from shared.brains.whole_head import skull_fraction, why_not_a_brain
from shared.cases.datalists import gather_cases
from shared.runs.errors import InputError, NoUsableCaseError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, case_of, head, radius, save
from tests.helpers.real_data import DATA, needs_data


def patched(path: Path, **fields: object) -> Path:
    """A good file whose header fields are overwritten as they stand, without nibabel's mending."""
    raw = bytearray(save(path).read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(raw)
    return path


def pixdim(*spacing: float) -> list[float]:
    return [1, *spacing, 0, 0, 0, 0]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def truncated(path: Path, keep: float) -> Path:
    content = save(path).read_bytes()
    return written(path, content[: int(keep * len(content))])


def flipped_byte(path: Path) -> Path:
    content = bytearray(save(path).read_bytes())
    content[-6] ^= 1  # in the checksum at the end
    return written(path, bytes(content))


def png(path: Path) -> Path:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path.with_suffix(".png"))
    return path.with_suffix(".png").rename(path)


def with_voxels(path: Path, value: float, count: int = 3) -> Path:
    data = BRAIN.copy()
    data[32, 32, :count] = value
    return save(path, data)


def rgb(path: Path) -> Path:
    return save(path, np.zeros((64,) * 3, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def singular(path: Path) -> Path:
    return patched(path, sform_code=1, srow_x=[0, 0, 0, 0])


FAULTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "missing": ("x.nii.gz", lambda p: p, "file not found"),
    "folder": ("x.nii.gz", lambda p: p.mkdir() or p, "is a folder.*--dataset_dir"),
    "zero_bytes": ("x.nii.gz", lambda p: written(p, b""), "empty"),
    "zero_bytes_unpacked": ("x.nii", lambda p: written(p, b""), "empty"),
    "truncated_gz": ("x.nii.gz", lambda p: truncated(p, 0.5), "truncated or damaged"),
    "truncated_gz_header": ("x.nii.gz", lambda p: truncated(p, 0.0005), "truncated or damaged"),
    "truncated_nii": ("x.nii", lambda p: truncated(p, 0.5), "truncated or damaged"),
    "wrong_checksum": ("x.nii.gz", flipped_byte, "truncated or damaged"),
    "text": ("x.nii.gz", lambda p: written(p, b"hello " * 99), "not gzip-compressed"),
    "text_unpacked": ("x.nii", lambda p: written(p, b"hello " * 99), "is not a NIfTI file"),
    "png": ("x.nii.gz", png, "not gzip-compressed"),
    "extension": ("x.mgz", lambda p: written(p, b"x"), r"not named .nii or .nii.gz.*dcm2niix"),
    "rgb": ("x.nii.gz", rgb, "RGB"),
    "complex": ("x.nii.gz", lambda p: save(p, BRAIN.astype(np.complex64)), "complex64"),
    "volumes_4d": ("x.nii.gz", lambda p: save(p, np.stack([BRAIN] * 2, -1)), r"holds 2 volumes.*four_to_three"),
    "vectors_5d": ("x.nii.gz", lambda p: save(p, np.stack([BRAIN] * 3, -1)[..., None, :]), "holds 3 volumes"),
    "image_2d": ("x.nii.gz", lambda p: save(p, BRAIN[:, :, 32]), "2D"),
    "slice_3d": ("x.nii.gz", lambda p: save(p, BRAIN[:, 32:33]), "2D"),
    "huge": ("x.nii", lambda p: patched(p, dim=[3, 600, 600, 600, 1, 1, 1, 1]), r"2.16e\+08 voxels.*8 GiB"),
    "tiny": ("x.nii.gz", lambda p: save(p, BRAIN[27:37, 26:38, 27:37], np.diag([2, 2, 2, 1])), "10 x 12 x 10 voxels"),
    "in_metres": ("x.nii", lambda p: patched(p, xyzt_units=1), "in metres.*mm"),
    "in_micrometres": ("x.nii", lambda p: patched(p, xyzt_units=3), "in micrometres.*mm"),
    "metres_unsaid": ("x.nii.gz", lambda p: save(p, affine=np.diag([0.0025] * 3 + [1])), "too small for a brain"),
    "zero_pixdim": ("x.nii", lambda p: patched(p, pixdim=pixdim(0, 2.5, 2.5)), "voxel sizes of 0 x 2.5 x 2.5 mm"),
    "negative_pixdim": ("x.nii", lambda p: patched(p, pixdim=pixdim(2.5, -2.5, 2.5)), "2.5 x -2.5 x 2.5 mm"),
    "nan_pixdim": ("x.nii", lambda p: patched(p, pixdim=pixdim(np.nan, 2, 2), sform_code=0), "voxel sizes of nan"),
    "singular_affine": ("x.nii", singular, "singular or not finite"),
    "nan_affine": ("x.nii", lambda p: patched(p, sform_code=1, srow_y=[np.nan, 1, 0, 0]), "singular or not finite"),
    "nan": ("x.nii.gz", lambda p: with_voxels(p, np.nan), "has 3 voxels.*NaN or infinite.*nan_to_num"),
    "inf": ("x.nii.gz", lambda p: with_voxels(p, -np.inf), "has 3 voxels"),
    "too_large_for_float32": ("x.nii.gz", lambda p: save(p, np.where(BRAIN, 1e300, 0)), "NaN or infinite"),
    "all_zero": ("x.nii.gz", lambda p: save(p, BRAIN * 0), "is 0 everywhere"),
    "constant": ("x.nii.gz", lambda p: save(p, BRAIN * 0 + 7), r"constant everywhere \(7\)"),
    "constant_brain": ("x.nii.gz", lambda p: save(p, (BRAIN != 0).astype(np.uint8)), r"constant in the brain \(1\)"),
    "negative_brain": ("x.nii.gz", lambda p: save(p, -BRAIN), "negative in over 90 %"),
    "background": ("x.nii.gz", lambda p: save(p, BRAIN - 5), "background is -5, not 0"),
    "no_background": ("x.nii.gz", lambda p: save(p, BRAIN + np.indices(BRAIN.shape)[0]), "no zero background"),
    "too_little": ("x.nii.gz", lambda p: save(p, BRAIN * (radius((20, 20, 20)) < 1)), "ml of brain, too little"),
    "whole_head": ("x.nii.gz", lambda p: save(p, head()), "skull and scalp.*hd-bet -i .*mri_synthstrip -i "),
    "large_head": ("x.nii.gz", lambda p: save(p, head(), np.diag([3, 3, 3, 1])), "l of it are non-zero"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_file_key_and_remedy(tmp_path, fault):
    name, make, message = FAULTS[fault]
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        check_case(case_of(path))
    assert caught.value.file == str(path)
    assert str(caught.value).startswith(f"{path} (key 't1'): ")
    assert caught.value.problem and caught.value.remedy


def reoriented(codes: str) -> nib.Nifti1Image:
    image = nib.Nifti1Image(BRAIN, AFFINE)
    start, end = nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes)
    return image.as_reoriented(nib.orientations.ornt_transform(start, end))


def oblique() -> np.ndarray:
    c, s = np.cos(0.4), np.sin(0.4)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ AFFINE


@pytest.mark.parametrize("dtype", ["u1", "i2", "<f4", ">f4", ">i2", "f8", "u4", "i8"])
def test_every_real_dtype_passes(tmp_path, dtype):
    header = nib.Nifti1Header(endianness="big" if dtype[0] == ">" else "little")
    header.set_data_dtype(np.dtype(dtype))
    image = nib.Nifti1Image(np.round(BRAIN).astype(dtype), AFFINE, header)
    nib.save(image, tmp_path / "x.nii.gz")
    volume, notes = check_case(case_of(tmp_path / "x.nii.gz"))
    assert np.array_equal(volume.data, np.round(BRAIN)) and not notes


def test_scl_slope_is_applied(tmp_path):
    image = nib.Nifti1Image(np.round(BRAIN).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 0)
    nib.save(image, tmp_path / "x.nii.gz")
    expected = nib.load(tmp_path / "x.nii.gz").get_fdata()
    assert np.allclose(check_case(case_of(tmp_path / "x.nii.gz"))[0].data, expected, rtol=1e-6)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPI", "PSR", "SAL"])
def test_every_orientation_passes(tmp_path, codes):
    nib.save(reoriented(codes), tmp_path / "x.nii.gz")
    assert not check_case(case_of(tmp_path / "x.nii.gz"))[1]


def test_unusual_good_files_pass(tmp_path):
    good = {
        "x.nii.gz": lambda p: save(p, BRAIN - 90 * (radius((5, 5, 5)) < 1)),  # negative inside
        "oblique.nii": lambda p: save(p, affine=oblique()),
        "UPPER.NII.GZ": lambda p: save(p.with_suffix(".gz")).rename(p),
        "with space ü.nii.gz": save,
        "nifti2.nii.gz": lambda p: nib.save(nib.Nifti2Image(BRAIN, AFFINE), p),
        "odd.nii.gz": lambda p: save(p, BRAIN[:61, :63, :57]),
        "hot.nii.gz": lambda p: with_voxels(p, 1e6, 1),
    }
    for name, make in good.items():
        make(tmp_path / name)
        assert not check_case(case_of(tmp_path / name))[1], name


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda p: save(p, BRAIN[..., None]), "4D file with one volume"),
        (lambda p: patched(p, sform_code=0, qform_code=0), "no affine in the header"),
        (lambda p: patched(p, qform_code=1, sform_code=1, qoffset_x=5), "sform and qform differ"),
        (lambda p: patched(p, pixdim=pixdim(1, 2.5, 2.5), qform_code=0), "voxel sizes differ"),
        (lambda p: save(p, BRAIN[:, :, ::2], AFFINE @ np.diag([1, 1, 2, 1])), "thick slices"),
        (lambda p: save(p, BRAIN[:, :, ::3], AFFINE @ np.diag([1, 1, 3, 1])), "outside the range of the training"),
        (lambda p: save(p, BRAIN, AFFINE / 1.5 + np.diag([0, 0, 0, 1 / 3])), "only 0.31 l of brain"),
        (lambda p: save(p, np.where(BRAIN != 0, BRAIN - 95, 0)), "negative: standardised"),
    ],
)
def test_warnings_reach_the_case(tmp_path, make, note):
    make(tmp_path / "x.nii")
    door = Door([case_of(tmp_path / "x.nii")])
    (warning,) = door.cases[0]["warnings"]
    assert note in warning and not door.failures


def test_unknown_sequence_is_a_warning(tmp_path):
    case = case_of(save(tmp_path / "x.nii"))
    assert Door([case], known_sequences=("t1",)).cases[0]["warnings"] == []
    assert "do not know the sequence 't1', only t2" in Door([case], known_sequences=("t2",)).cases[0]["warnings"][0]
    assert Door([{**case, "sequence": "image"}], known_sequences=("t2",)).cases[0]["warnings"] == []


MASK = (BRAIN != 0).astype(np.uint8)


@pytest.mark.parametrize("mask", [MASK * 255, MASK * np.float32(0.3), MASK.astype(np.float64)[..., None]])
def test_mask_of_a_whole_head_makes_it_usable(tmp_path, mask):
    padded = np.pad(mask, [(8, 8)] * 3 + [(0, 0)] * (mask.ndim - 3))
    save(tmp_path / "x.nii.gz", head() + 20)
    case = case_of(tmp_path / "x.nii.gz", brain_mask=save(tmp_path / "m.nii.gz", padded))
    assert not [note for note in check_case(case)[1] if "4D" not in note]


@pytest.mark.parametrize("key", ["brain_mask", "label"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: save(p, MASK[:-1]), r"has shape \(63, 64, 64\), but .*x.nii.gz has"),
        (
            lambda p: save(p, MASK, AFFINE + np.eye(4)[:, [0]] * [[0, 0, 0, 1]]),
            "affine differs from that of .*x.nii.gz",
        ),
        (lambda p: p, "file not found"),
    ],
)
def test_mask_and_label_on_another_grid(tmp_path, key, make, message):
    case = case_of(save(tmp_path / "x.nii.gz"), **{key: make(tmp_path / "other.nii.gz")})
    with pytest.raises(InputError, match=message) as caught:
        check_case(case)
    assert (caught.value.key, caught.value.file) == (key, str(tmp_path / "other.nii.gz"))


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (BRAIN, MASK * 0, "m.nii.gz .*is empty"),
        (BRAIN, MASK | 1, "covers 4.1 l, more than a brain"),
        (np.where(MASK, 0, BRAIN + 3).astype(np.float32), MASK, "x.nii.gz .*is 0 in the brain"),
        (np.where(MASK, 9, 3).astype(np.float32), MASK, "x.nii.gz .*is constant in the brain"),
    ],
)
def test_mask_that_is_none(tmp_path, image, mask, message):
    case = case_of(save(tmp_path / "x.nii.gz", image), brain_mask=save(tmp_path / "m.nii.gz", mask))
    with pytest.raises(InputError, match=message):
        check_case(case)


def test_mask_that_lies_beside_the_brain_is_a_warning(tmp_path):
    shifted = np.roll(MASK, 25, axis=0)
    case = case_of(save(tmp_path / "x.nii.gz"), brain_mask=save(tmp_path / "m.nii.gz", shifted))
    assert "of the brain mask is 0 in the image" in check_case(case)[1][0]


def test_a_healthy_case_may_have_an_empty_label(tmp_path):
    case = case_of(save(tmp_path / "x.nii.gz"), label=save(tmp_path / "l.nii.gz", MASK * 0))
    assert check_case(case)[1] == []


def test_good_cases_go_on_and_the_exit_code_tells(tmp_path, caplog):
    save(tmp_path / "good.nii.gz")
    truncated(tmp_path / "bad.nii.gz", 0.5)
    cases = gather_cases(dataset_dir=str(tmp_path)) + [{"case_id": "no_t1", "sequence": "t1", "reason": "has no 't1'"}]
    door = Door(cases)
    door.require_some()
    assert [case["case_id"] for case in door.cases] == ["good"]
    assert [failure["case_id"] for failure in door.failures] == ["bad", "no_t1"]
    assert set(door.failures[0]) == {"case_id", "file", "key", "error", "remedy"}
    caplog.clear()
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as stopped:
        door.conclude()
    assert stopped.value.code == 2
    assert "1 of 3 cases done" in caplog.text and "bad.nii.gz" in caplog.text and "has no 't1'" in caplog.text


def test_no_failure_concludes_silently_and_no_case_stops(tmp_path):
    good, none = Door([case_of(save(tmp_path / "x.nii.gz"))]), Door([case_of(tmp_path / "y.nii.gz")])
    good.require_some()
    good.conclude()
    with pytest.raises(NoUsableCaseError, match="none of the 1 cases.*\n.*y.nii.gz"):
        none.require_some()


@pytest.mark.parametrize("shift", [0, 110])
def test_skull_is_seen_also_in_standardised_images(shift):
    """No ray of the brain meets bone, nearly all of the head's do; also with most of the brain below 0."""
    alone, full = (np.where(v != 0, v - shift, 0).astype(np.float32) for v in (BRAIN, head()))
    assert skull_fraction(Volume("b", "t1", alone, AFFINE)) == 0
    assert skull_fraction(Volume("h", "t1", full, AFFINE)) > 0.9


@pytest.mark.real_data
@needs_data
def test_whole_heads_of_ixi_are_refused():
    for file in sorted((DATA / "ixi_t1_raw").glob("*.nii.gz")):
        with pytest.raises(InputError, match="whole head.*hd-bet"):
            check_case(case_of(file))


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("height_mm", [150, 110, 90])
def test_heads_with_zeroed_background_and_without_face_are_refused(height_mm):
    for file in sorted((DATA / "ixi_t1_raw").glob("*.nii.gz")):
        image = nib.as_closest_canonical(nib.load(file))
        data = image.get_fdata(dtype=np.float32)
        data[data < 25] = 0
        top = np.flatnonzero((data > 50).any(axis=(0, 1))).max()
        data[:, :, : top - height_mm // 2] = 0
        assert "head" in why_not_a_brain(Volume(str(file), "t1", data, image.affine))


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("pattern", ["ixi_t1/*_T1.nii.gz", "lgg2d/*/flair.nii.gz", "ms_mni/*/t[12].nii.gz"])
def test_extracted_brains_pass(pattern):
    for file in sorted(DATA.glob(pattern))[::12]:
        assert why_not_a_brain(read_volume(str(file), "t1")) is None, file
