"""The brain of a case at the door: extracted from the best sequence of a head, refused, or compared with a mask."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains import find_brain, head_masks
from shared.brains.door import Door
from shared.brains.head_masks import HeadMasks
from shared.brains.volume import Volume
from shared.cases.datalists import gather_cases
from shared.runs.errors import InputError, NoUsableCaseError
from tests.helpers.ellipsoid_brain import BRAIN, case_of, head, save
from tests.helpers.real_data import DATA, needs_data

FOUND = np.pad(BRAIN != 0, 8)


@pytest.fixture(autouse=True)
def known_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What deepbet finds is tested in test_extraction and takes seconds."""

    def brain_of_head(volume: Volume, device: object) -> np.ndarray:
        if "bad" in volume.file:
            raise InputError(volume.file, volume.key, "is no head", "Pass one")
        return FOUND

    for module in (head_masks, find_brain):
        monkeypatch.setattr(module, "brain_of_head", brain_of_head)


def door_of(folder: Path, case: dict[str, str], mode: str = "auto", **options: object) -> Door:
    return Door([case], head_masks=HeadMasks(str(folder / "out"), mode), **options)


def test_the_brain_of_a_head_is_extracted_once_and_the_case_goes_on_with_its_mask(tmp_path):
    case = case_of(save(tmp_path / "x.nii.gz", head()))
    door = door_of(tmp_path, case)
    (good,) = door.cases
    assert good["brain_mask"] == str(tmp_path / "out" / "c_brain_mask.nii.gz")
    assert good["whole_head"]
    assert good["warnings"] == ["a whole head: its brain, 1.04 l, was extracted by deepbet 1.0.2 from its t1"]
    assert door.brains["c"] == {"brain_litres": pytest.approx(1.04, abs=0.01), "brain_from": "deepbet 1.0.2"}
    written = Path(good["brain_mask"]).stat().st_mtime_ns
    assert door_of(tmp_path, good).cases == door.cases  # what it wrote is no given mask
    assert Path(good["brain_mask"]).stat().st_mtime_ns == written


def test_the_t1_of_a_case_gives_the_brain_of_its_flair(tmp_path):
    flair = np.where(FOUND, 170 - head(), head()).astype(np.float32)
    case = case_of(save(tmp_path / "f.nii.gz", flair), t1=save(tmp_path / "t.nii.gz", head()))
    (good,) = door_of(tmp_path, {**case, "sequence": "flair"}).cases
    assert "from its t1" in good["warnings"][0]
    mask = nib.load(good["brain_mask"])
    assert b" t1 " in bytes(mask.header["descrip"]) and mask.shape == flair.shape


@pytest.mark.parametrize(("mode", "said"), [("never", "run with --extract_brain auto. Or extract it first")])
def test_a_head_is_refused_where_it_is_not_to_be_extracted(tmp_path, mode, said):
    door = door_of(tmp_path, case_of(save(tmp_path / "x.nii.gz", head())), mode)
    assert said in door.failures[0]["remedy"]
    with pytest.raises(NoUsableCaseError):
        door.require_some()
    assert not (tmp_path / "out").exists()


def test_of_few_slices_of_a_head_nothing_is_extracted(tmp_path):
    case = case_of(save(tmp_path / "x.nii.gz", head()[:, :, 38:42]))
    assert "in the whole volume these slices are from" in door_of(tmp_path, case, slices=True).failures[0]["remedy"]


def test_a_brain_that_cannot_be_one_is_a_failure_of_its_case_and_others_go_on(tmp_path):
    bad, good = (case_of(save(tmp_path / f"{name}.nii.gz", head())) for name in ("bad", "good"))
    door = Door([{**bad, "case_id": "bad"}, good], head_masks=HeadMasks(str(tmp_path / "out")))
    assert [case["case_id"] for case in door.cases] == ["c"]
    assert [(failure["case_id"], failure["error"]) for failure in door.failures] == [("bad", "is no head")]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["c_brain_mask.nii.gz"]


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_a_mask_that_came_with_a_head_is_compared_with_what_is_found(tmp_path, mode):
    image = save(tmp_path / "x.nii.gz", head())
    good, moved = (save(tmp_path / f"{n}.nii.gz", np.roll(FOUND, n, axis=0).astype(np.uint8)) for n in (0, 6))
    notes = [door_of(tmp_path, case_of(image, brain_mask=mask), mode).cases[0]["warnings"] for mask in (good, moved)]
    if mode == "never":
        assert all("was not checked (to have it checked: run with --extract_brain auto)" in note for (note,) in notes)
        return
    assert notes[0] == []
    outside, wide = notes[1]
    assert "of the brain that deepbet 1.0.2 finds is outside the brain mask" in outside
    assert "of the brain mask is outside the brain that deepbet 1.0.2 finds" in wide


def test_brain_beside_a_background_that_is_not_0_is_seen(tmp_path):
    image = save(tmp_path / "x.nii.gz", BRAIN - 5)
    good, moved = (save(tmp_path / f"{n}.nii.gz", np.roll(BRAIN != 0, n, 0).astype(np.uint8)) for n in (0, 6))
    for mask, noted in ((good, False), (moved, True)):
        warnings = door_of(tmp_path, case_of(image, brain_mask=mask)).cases[0]["warnings"]
        assert any("is outside the brain mask and not looked at" in note for note in warnings) == noted


@pytest.mark.real_data
@needs_data
def test_masks_that_do_not_fit_are_told_and_what_is_0_outside_the_brain_is_left_out():
    door = Door(gather_cases(datalist=str(DATA / "odd_files" / "04_mask_fit" / "list.json")))
    brain = 1.83  # litres that are not 0
    assert [door.brains[case["case_id"]]["brain_litres"] for case in door.cases] == [
        pytest.approx(litres, abs=0.01) for litres in (brain, brain, 0.83 * brain)
    ]
    assert all("of the brain mask is 0 in the image" in case["warnings"][0] for case in door.cases)
    assert "17 % of the brain is outside the brain mask" in door.cases[2]["warnings"][1]
