"""The door: values and sizes that are no brain's, as real files; good files of every kind; masks and labels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains.door import Door, check_case
from shared.cases.datalists import gather_cases
from shared.runs.errors import InputError, NoUsableCaseError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, case_of, head, radius, save
from tests.helpers.nifti_files import assert_refused, patched, pixdim, truncated, with_voxels
from tests.helpers.real_data import DATA, needs_data

FAULTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "all_zero": ("x.nii.gz", lambda p: save(p, BRAIN * 0), "is 0 everywhere"),
    "constant": ("x.nii.gz", lambda p: save(p, BRAIN * 0 + 7), r"constant everywhere \(7\)"),
    "constant_brain": (
        "x.nii.gz",
        lambda p: save(p, (BRAIN != 0).astype(np.uint8)),
        r"is a mask or label map, no scan: it holds 2 diff",
    ),
    "negative_brain": ("x.nii.gz", lambda p: save(p, -BRAIN), "below its background in over 90 %"),
    "no_background": ("x.nii.gz", lambda p: save(p, BRAIN + np.indices(BRAIN.shape)[0]), "background is not one value"),
    "too_little": ("x.nii.gz", lambda p: save(p, BRAIN * (radius((20, 20, 20)) < 1)), "ml of brain, too little"),
    "whole_head": ("x.nii.gz", lambda p: save(p, head()), "skull and scalp.*hd-bet -i .*mri_synthstrip -i "),
    "large_head": ("x.nii.gz", lambda p: save(p, head(), np.diag([3, 3, 3, 1])), "l of it are non-zero"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_file_key_and_remedy(tmp_path, fault):
    name, make, message = FAULTS[fault]
    make(tmp_path / name)
    assert_refused(lambda path: check_case(case_of(path)), tmp_path / name, message)


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
    checked = check_case(case_of(tmp_path / "x.nii.gz"))
    assert np.array_equal(checked.image.data, np.round(BRAIN)) and not checked.notes


def test_scl_slope_is_applied(tmp_path):
    image = nib.Nifti1Image(np.round(BRAIN).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 0)
    nib.save(image, tmp_path / "x.nii.gz")
    expected = nib.load(tmp_path / "x.nii.gz").get_fdata()
    assert np.allclose(check_case(case_of(tmp_path / "x.nii.gz")).image.data, expected, rtol=1e-6)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPI", "PSR", "SAL"])
def test_every_orientation_passes(tmp_path, codes):
    nib.save(reoriented(codes), tmp_path / "x.nii.gz")
    assert not check_case(case_of(tmp_path / "x.nii.gz")).notes


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
        assert not check_case(case_of(tmp_path / name)).notes, name


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
        (lambda p: save(p, BRAIN - 5), "background is -5, a padding value"),
        (lambda p: save(p, np.where(BRAIN != 0, BRAIN - 95, 0)), "changed in the brain alone"),
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
OTHER = np.random.default_rng(0).uniform(3, 4, BRAIN.shape).astype(np.float32)


@pytest.mark.parametrize("mask", [MASK * 255, MASK * np.float32(0.3), MASK.astype(np.float64)[..., None]])
def test_mask_of_a_whole_head_makes_it_usable(tmp_path, mask):
    padded = np.pad(mask, [(8, 8)] * 3 + [(0, 0)] * (mask.ndim - 3))
    save(tmp_path / "x.nii.gz", head() + 20)
    case = case_of(tmp_path / "x.nii.gz", brain_mask=save(tmp_path / "m.nii.gz", padded))
    assert [note for note in check_case(case).notes if "4D" not in note] == ["its background is 20, not 0: subtracted"]


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
        (np.where(MASK, 0, OTHER), MASK, "x.nii.gz .*is 0 in the brain"),
        (np.where(MASK, 9, OTHER), MASK, "x.nii.gz .*is constant in the brain"),
    ],
)
def test_mask_that_is_none(tmp_path, image, mask, message):
    case = case_of(save(tmp_path / "x.nii.gz", image), brain_mask=save(tmp_path / "m.nii.gz", mask))
    with pytest.raises(InputError, match=message):
        check_case(case)


def test_mask_that_lies_beside_the_brain_is_a_warning(tmp_path):
    shifted = np.roll(MASK, 25, axis=0)
    case = case_of(save(tmp_path / "x.nii.gz"), brain_mask=save(tmp_path / "m.nii.gz", shifted))
    assert "of the brain mask is 0 in the image" in check_case(case).notes[0]


def test_a_healthy_case_may_have_an_empty_label(tmp_path):
    case = case_of(save(tmp_path / "x.nii.gz"), label=save(tmp_path / "l.nii.gz", MASK * 0))
    assert check_case(case).notes == []


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
    with pytest.raises(NoUsableCaseError, match="^[^ ]*y.nii.gz"):
        none.require_some()


def test_what_is_known_of_the_brain_goes_to_the_report(tmp_path):
    image, mask = save(tmp_path / "x.nii.gz"), save(tmp_path / "m.nii.gz", MASK)
    door = Door([case_of(image), {**case_of(image, brain_mask=mask), "case_id": "masked"}])
    litres = pytest.approx(1.04, abs=0.01)
    assert door.brains["c"] == {"brain_litres": litres, "brain_from": "non-zero voxels"}
    assert door.brains["masked"] == {"brain_litres": litres, "brain_from": "mask given"}


@pytest.mark.real_data
@needs_data
def test_whole_heads_of_ixi_are_refused_where_nothing_extracts_their_brain():
    for file in sorted((DATA / "ixi_t1_raw").glob("*.nii.gz")):
        with pytest.raises(InputError, match="whole head.*hd-bet"):
            check_case(case_of(file))


@pytest.mark.parametrize(
    ("name", "sequence", "notes"),
    [
        (
            "a_flair_brain",
            "t1",
            ["a_flair_brain.nii.gz is taken as t1, but its name says flair: is it the right file?"],
        ),
        ("a_T1w", "t1", []),
        ("a", "t1", []),
        ("t1_in_flair", "t1", []),
        ("a_flair", "image", []),
    ],
)
def test_a_file_whose_name_states_another_sequence_is_a_warning(tmp_path, name, sequence, notes):
    case = {"case_id": "a", "image": str(save(tmp_path / f"{name}.nii.gz")), "sequence": sequence}
    assert Door([case]).cases[0]["warnings"] == notes
