"""Companions: the further sequences a case needs are checked like its image and named by their sequence."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

from shared.brains.door import Door, check_case
from shared.cases.datalists import gather_cases
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, case_of, save

FLAIR = np.where(BRAIN != 0, 150 - BRAIN, 0).astype(np.float32)


def flair_case(folder: Path, t1: Path, **more: Path) -> dict[str, str]:
    return {**case_of(save(folder / "x.nii.gz", FLAIR), t1=t1, **more), "sequence": "flair"}


def test_a_good_companion_goes_on_unchanged(tmp_path):
    case = flair_case(tmp_path, save(tmp_path / "t1.nii.gz", BRAIN))
    assert Door([case]).cases == [{**case, "warnings": []}]


def test_a_companion_may_be_a_whole_head_where_the_image_is_extracted(tmp_path):
    case = flair_case(tmp_path, save(tmp_path / "t1.nii.gz", BRAIN + 30))
    assert Door([case]).cases[0]["warnings"] == ["t1: its background is 30, not 0: subtracted"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p, "file not found"),
        (lambda p: save(p, BRAIN[:, :, :39]), r"shows 7\d % of the brain of .*x.nii.gz, by their affines"),
        (lambda p: save(p, BRAIN, AFFINE + np.eye(4)[:, [0]] * [[0, 0, 0, 500]]), "shows 0 % of the brain"),
        (lambda p: save(p, np.where(BRAIN != 0, np.float32(7), 3)), r"constant in the brain \(7\)"),
        (lambda p: save(p, np.digitize(BRAIN, [1, 90]).astype(np.float32)), "is a mask or label map, no scan"),
        (lambda p: save(p, np.where(BRAIN != 0, np.float32(0), 9)), "is 0 in the brain"),
        (lambda p: save(p, -BRAIN), "below its background in over 90 % of the brain"),
        (lambda p: save(p, np.where(np.indices(BRAIN.shape)[0] == 32, np.nan, BRAIN)), "NaN or infinite"),
        (lambda p: save(p, BRAIN[:, :, 32]), "2D image"),
    ],
)
def test_a_bad_companion_is_named_by_its_sequence(tmp_path, make, message):
    t1 = tmp_path / "t1.nii.gz"
    make(t1)
    with pytest.raises(InputError, match=message) as caught:
        check_case(flair_case(tmp_path, t1))
    assert (caught.value.file, caught.value.key) == (str(t1), "t1") and caught.value.remedy


def test_a_companion_on_another_grid_is_resampled_and_checked_where_it_shows_the_brain(tmp_path):
    """What is beyond its field of view is said; its values count on the grid of the image."""
    moved = AFFINE + np.eye(4)[:, [2]] * [[0, 0, 0, 2.5]]
    case = flair_case(tmp_path, save(tmp_path / "t1.nii.gz", BRAIN[:, :, 1:], moved))
    assert check_case(case).notes == ["t1: resampled from 2.5 x 2.5 x 2.5 mm to the grid of flair, 2.5 x 2.5 x 2.5 mm"]
    case = flair_case(tmp_path, save(tmp_path / "t1.nii.gz", BRAIN[:, :, :42]))
    resampled, absent = check_case(case).notes
    assert "resampled" in resampled and absent.startswith("t1: does not show 1") and "left out" in absent
    case = flair_case(tmp_path, save(tmp_path / "t1.nii.gz", np.where(BRAIN[:, :, 1:] != 0, np.float32(7), 0), moved))
    with pytest.raises(InputError, match="constant in the brain"):
        check_case(case)


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (np.where(np.indices(BRAIN.shape)[0] < 26, 0, BRAIN), "t1: 32 % of the brain is 0 in it"),
        (np.where(BRAIN != 0, BRAIN - 85, 0), "changed in the brain alone"),
        (BRAIN[..., None], "t1: 4D file with one volume"),
    ],
)
def test_notes_on_a_companion_start_with_its_sequence(tmp_path, data, note):
    (warning,) = check_case(flair_case(tmp_path, save(tmp_path / "t1.nii.gz", data.astype(np.float32)))).notes
    assert note in warning and warning.startswith("t1: ")


@pytest.mark.parametrize(
    ("key", "whose"),
    [*itertools.product(["brain_mask", "label"], ["image", "other", "both"]), ("t1", "image")],
)
def test_a_file_that_lies_on_the_image_by_the_qform_alone_is_refused_with_that_cause(tmp_path, key, whose):
    """As ITK writes it, which has read the qform of the image; or the image is what ITK wrote; or the qforms agree."""
    turned = from_matvec(euler2mat(0.2, 0, 0), [5, -9, 14]) @ AFFINE
    forms = {
        "image": ((AFFINE, turned), (turned, turned)),
        "other": ((turned, turned), (AFFINE, turned)),
        "both": ((AFFINE, turned), (turned @ np.diag([1, 1, -1, 1]), turned)),
    }[whose]
    mask = (BRAIN != 0).astype(np.uint8)
    for name, data, (sform, qform) in (("x", FLAIR, forms[0]), ("other", BRAIN if key == "t1" else mask, forms[1])):
        image = nib.Nifti1Image(data, None)
        image.header.set_sform(sform, 4)
        image.header.set_qform(qform, 1)
        nib.save(image, tmp_path / f"{name}.nii.gz")
    case = {**case_of(tmp_path / "x.nii.gz", **{key: tmp_path / "other.nii.gz"}), "sequence": "flair"}
    with pytest.raises(InputError, match="by the qform, but .* mm beside it by the sform.*fslcpgeom") as caught:
        check_case(case)
    assert (caught.value.file, caught.value.key) == (str(tmp_path / "other.nii.gz"), key)


def test_a_sequence_whose_sform_was_moved_onto_the_image_is_resampled(tmp_path):
    """As programs that align sequences leave it: its qform is still that of the image, from the same session."""
    case = flair_case(tmp_path, tmp_path / "t1.nii.gz")
    image = nib.Nifti1Image(BRAIN, None)
    image.header.set_sform(AFFINE + np.eye(4)[:, [0]] * [[0, 0, 0, 3]], 2)
    image.header.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "t1.nii.gz")
    assert any("resampled" in note for note in check_case(case).notes)


def test_two_sequences_under_each_others_name_are_both_noted(tmp_path):
    image, t1 = save(tmp_path / "x.nii.gz", BRAIN), save(tmp_path / "t1.nii.gz", FLAIR)
    first, second = check_case({**case_of(image, t1=t1), "sequence": "flair"}).notes
    assert first.startswith("given as flair, but") and second.startswith("t1: given as t1, but")


def test_the_brain_mask_says_where_a_companion_must_be_usable(tmp_path):
    half = np.where(np.indices(BRAIN.shape)[0] < 32, BRAIN, 0).astype(np.float32)
    mask = save(tmp_path / "m.nii.gz", (half != 0).astype(np.uint8))
    outside, small = check_case(flair_case(tmp_path, save(tmp_path / "t1.nii.gz", half), brain_mask=mask)).notes
    assert outside.startswith("50 % of the brain is outside the brain mask") and "only 0.5" in small


def test_few_slices_may_have_a_companion(tmp_path):
    image, t1 = save(tmp_path / "x.nii.gz", BRAIN[:, :, 32]), save(tmp_path / "t1.nii.gz", BRAIN[:, :, [32]])
    assert len(Door([{**case_of(image, t1=t1), "sequence": "flair"}], slices=True).cases) == 1


def test_a_listed_case_that_lacks_a_companion_is_left_out(tmp_path, caplog):
    save(tmp_path / "f.nii.gz", FLAIR)
    save(tmp_path / "t.nii.gz", BRAIN)
    cases = [
        {"case_id": "both", "flair": "f.nii.gz", "t1": "t.nii.gz"},
        {"case_id": "no_t1", "flair": "f.nii.gz", "t2": "t.nii.gz"},
        {"case_id": "no_flair", "t1": "t.nii.gz"},
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": cases}))
    companions = {"t1": ""}
    listed = gather_cases(
        datalist=str(tmp_path / "list.json"), section="training", sequence="flair", companions=companions
    )
    door = Door(listed)
    assert door.cases == [{**listed[0], "warnings": []}]
    t1, flair = door.failures
    assert (t1["case_id"], t1["key"], t1["error"]) == ("no_t1", "t1", "has no 't1' (it has t2, flair)")
    assert t1["remedy"] == "Add it to the datalist, each case needs its t1"
    assert (flair["key"], flair["error"]) == ("flair", "has no 'flair' (it has t1)")
    assert "--sequence" in flair["remedy"] and "no_t1" in caplog.text
