"""The door of a method that takes any of several sequences: files on one grid, and 4D files volume by volume."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains.door import Door, check_case
from shared.brains.nifti import read_channels
from shared.cases.sequence_cases import gather_sequence_cases
from shared.runs.errors import DataListError, InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, SPACING, case_of, save

SEQUENCES = ["t1", "t1ce", "flair"]
CHANNELS = ["flair", "t1", "t2"]
T1 = BRAIN  # white matter brighter
FLAIR = np.where(BRAIN != 0, 150 - BRAIN, 0).astype(np.float32)
T2 = 2 * T1
STACK = np.stack([FLAIR, T1, T2], -1)
NAMED = """--channels "['flair','t1','t1ce','t2']\""""


def four_d(path: Path, *volumes: np.ndarray) -> dict[str, str]:
    """A case of a 4D file."""
    return {"case_id": path.name[0], "image": str(save(path, np.stack(volumes, -1))), "sequence": "image"}


def door(*cases: dict[str, str], channels: list[str] | None = CHANNELS) -> Door:
    return Door(cases, known_sequences=SEQUENCES, channels=channels)


def test_sequences_of_a_case_are_all_checked(tmp_path):
    save(tmp_path / "a_flair.nii.gz", FLAIR)
    save(tmp_path / "a_t1.nii.gz", T1)
    save(tmp_path / "a_t1ce.nii.gz", T1)
    save(tmp_path / "b_t1.nii.gz", T1[:32])
    save(tmp_path / "b_flair.nii.gz", FLAIR)
    save(tmp_path / "c_t2.nii.gz")
    cases = gather_sequence_cases(SEQUENCES, dataset_dir=str(tmp_path))
    checked = door(*cases, channels=[])
    assert checked.cases == [{**cases[0], "warnings": []}]
    b, c = checked.failures
    assert (b["case_id"], b["key"], b["file"]) == ("b", "t1", str(tmp_path / "b_t1.nii.gz"))
    assert "shows 50 % of the brain of" in b["error"] and "leave it out" in b["remedy"]
    assert (c["case_id"], c["key"]) == ("c", "t1 or t1ce or flair")
    assert c["error"] == "has none of t1, t1ce, flair (it has t2)" and "its t1 or t1ce or flair" in c["remedy"]


def test_another_affine_of_a_given_file_is_said(tmp_path):
    moved = AFFINE + np.eye(4)[:, [1]] * [[0, 0, 0, 3]]
    files = {"flair": str(save(tmp_path / "f.nii", FLAIR)), "t1ce": str(save(tmp_path / "ce.nii", T1, moved))}
    (case,) = gather_sequence_cases(SEQUENCES, files=files)
    assert "t1ce: resampled from 2.5 x 2.5 x 2.5 mm to the grid of flair" in check_case(case, channels=[]).notes[0]


@pytest.mark.parametrize("channels", [CHANNELS, ["t1", "flair", "t2"], ["t2", "t1ce", "t1"]])
def test_a_4d_file_with_a_name_for_each_volume_goes_on_unchanged(tmp_path, channels):
    contrasts = {"flair": FLAIR, "t1": T1}
    case = four_d(tmp_path / "x.nii.gz", *(contrasts.get(name, T2) for name in channels))
    (checked,) = Door([case], known_sequences=[*channels], channels=channels).cases
    assert checked == {**case, "warnings": []}


def test_volumes_are_read_in_their_order(tmp_path):
    four_d(tmp_path / "x.nii.gz", FLAIR, T1, T2)
    volumes = read_channels(str(tmp_path / "x.nii.gz"), "image", CHANNELS)
    assert [volume.key for volume in volumes] == CHANNELS
    for volume, expected in zip(volumes, (FLAIR, T1, T2), strict=True):
        np.testing.assert_array_equal(volume.data, expected)
        np.testing.assert_array_equal(volume.affine, AFFINE)


@pytest.mark.parametrize(
    ("volumes", "key", "message"),
    [
        ((FLAIR * 0, T1, T2), "flair", "is 0 everywhere"),
        ((FLAIR, T1 * 0, T2), "t1", "is 0 in the brain"),
        ((FLAIR, T1, (T2 != 0).astype(np.float32)), "t2", "is constant in the brain"),
        ((-FLAIR, T1, T2), "flair", "below its background"),
        ((FLAIR, np.where(FLAIR, np.nan, 0), T2), "image", "NaN or infinite"),
    ],
)
def test_every_volume_is_checked_and_named_by_its_sequence(tmp_path, volumes, key, message):
    case = four_d(tmp_path / "x.nii.gz", *volumes)
    (failure,) = door(case).failures
    assert failure["key"] == key and message in failure["error"] and failure["file"] == case["image"]


def test_only_the_primary_volume_says_where_the_brain_is(tmp_path):
    """The others may be whole heads, as the files of companions may."""
    case = four_d(tmp_path / "x.nii.gz", T1 + 30 + np.random.default_rng(0).random(T1.shape), FLAIR, T2)
    assert "background is not one value" in door(case).failures[0]["error"]
    assert not door(case, channels=["t1", "flair", "t2"]).failures


def test_notes_on_the_header_come_once_and_those_on_a_volume_with_its_name(tmp_path):
    half = np.where(np.indices(FLAIR.shape)[0] < 26, 0, T1)
    image = nib.Nifti1Image(np.stack([FLAIR, half, T2], -1), None)
    image.header.set_zooms((SPACING, SPACING, SPACING, 1))
    nib.save(image, tmp_path / "x.nii.gz")
    case = {"case_id": "c", "image": str(tmp_path / "x.nii.gz"), "sequence": "image"}
    for channels in (CHANNELS, ["t2", "t1", "t1ce"]):
        header_note, absent, _ = door(case, channels=channels).cases[0]["warnings"]
        assert header_note.startswith("no affine in the header") and absent == "t1: 32 % of the brain is 0 in it"


@pytest.mark.parametrize(
    ("data", "channels", "message"),
    [
        (STACK[..., :2], CHANNELS, r"has shape \(64, 64, 64, 2\), not \(64, 64, 64, 3\) .*\(flair, t1, t2\)"),
        (FLAIR, CHANNELS, r"has shape \(64, 64, 64\), not \(64, 64, 64, 3\)"),
        (STACK[..., None, :2], CHANNELS, r"has shape \(64, 64, 64, 1, 2\), not \(64, 64, 64, 3\)"),
        (STACK, [], r"holds 3 volumes \(shape \(64, 64, 64, 3\)\), not one"),
    ],
)
def test_another_number_of_volumes_shows_how_to_name_them(tmp_path, data, channels, message):
    case = {**case_of(save(tmp_path / "x.nii.gz", data)), "sequence": "image"}
    with pytest.raises(InputError, match=message) as caught:
        check_case(case, channels=channels)
    assert NAMED in caught.value.remedy and caught.value.key == "image"


def test_a_file_of_one_sequence_has_one_volume_whatever_the_channels(tmp_path):
    save(tmp_path / "x.nii.gz", STACK)
    with pytest.raises(InputError, match=r"x.nii.gz \(key 't1'\): holds 3 volumes.*--channels"):
        check_case(case_of(tmp_path / "x.nii.gz"), channels=CHANNELS)
    with pytest.raises(InputError, match=r"x.nii.gz \(key 'flair'\): holds 3 volumes.*four_to_three"):
        check_case(case_of(save(tmp_path / "y.nii.gz"), flair=tmp_path / "x.nii.gz"), channels=CHANNELS)
    assert door(case_of(tmp_path / "y.nii.gz")).cases


def test_a_method_without_the_option_does_not_name_it(tmp_path):
    case = four_d(tmp_path / "x.nii.gz", FLAIR, T1, T2)
    (failure,) = door(case, channels=None).failures
    assert "holds 3 volumes" in failure["error"] and "four_to_three" in failure["remedy"]


def test_few_slices_of_several_sequences(tmp_path):
    few = four_d(tmp_path / "x.nii.gz", *(volume[:, :, 30:34] for volume in (FLAIR, T1, T2)))
    one = four_d(tmp_path / "y.nii.gz", *(volume[:, :, [32]] for volume in (FLAIR, T1, T2)))
    assert len(Door([few, one], known_sequences=SEQUENCES, slices=True, channels=CHANNELS).cases) == 2


@pytest.mark.parametrize(("others", "absent"), [(["t1", "t1ce"], ""), (["t1ce"], "t1"), ([], "t1, t1ce")])
def test_absent_sequences_are_named_for_the_threshold_is_of_all_together(tmp_path, others, absent):
    files = {name: save(tmp_path / f"{name}.nii.gz", T1) for name in others}
    case = {**case_of(save(tmp_path / "x.nii.gz", FLAIR), **files), "sequence": "flair"}
    notes = door(case).cases[0]["warnings"]
    expected = f"no {absent}, but the stored threshold is for t1, t1ce, flair together (--used_sequences names others)"
    assert notes == ([expected] if absent else [])
    assert not Door([case], known_sequences=SEQUENCES).cases[0]["warnings"], "a method of one sequence"


@pytest.mark.parametrize("channels", [["t2", "pd"], "flair", ["flair", "flair"]])
def test_channels_that_fit_no_file_stop_the_run(channels):
    with pytest.raises(DataListError, match="--channels"):
        Door([], known_sequences=SEQUENCES, channels=channels)
