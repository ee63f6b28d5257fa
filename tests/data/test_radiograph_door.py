"""The door of radiographs: what each task needs is checked, contradictions are refused, the exit code tells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from radiograph_files import PICTURE, dicom, png

from shared.data.errors import DataListError, InputError, NoUsableCaseError
from shared.data.radiograph_door import RadiographDoor, check_radiograph_case, gather_radiographs

ALL = ("tibia_mask", "lesion_mask", "label")
TIBIA = np.zeros(PICTURE.shape, np.uint8)
TIBIA[10:40, 8:30] = 1
LESION = np.zeros_like(TIBIA)
LESION[35:38, 10:14] = 1
GREY = np.stack([PICTURE // 25] * 3, -1).astype(np.uint8)


def case_of(folder: Path, label: object = 1, **files: np.ndarray | None) -> dict[str, object]:
    """A sound fracture, but for the given files; None leaves one out."""
    pixels = {"image": PICTURE, "tibia_mask": TIBIA, "lesion_mask": LESION, **files}
    paths = {key: str(png(folder / f"{key}.png", p)) for key, p in pixels.items() if p is not None}
    return {"case_id": "c", **paths, **({"label": label} if label is not None else {})}


def refused(case: dict[str, object], needs: tuple[str, ...] = ALL) -> InputError:
    with pytest.raises(InputError) as caught:
        check_radiograph_case(case, needs)
    assert caught.value.remedy
    return caught.value


def test_a_sound_fracture_passes_whole_and_without_a_word(tmp_path):
    case = {**case_of(tmp_path), "group": "hospital"}
    assert check_radiograph_case(case, ALL) == (case, [])


@pytest.mark.parametrize("lesion", [None, 0 * LESION])
def test_a_normal_needs_no_lesion_mask_or_an_empty_one(tmp_path, lesion):
    case = case_of(tmp_path, 0, lesion_mask=lesion)
    assert check_radiograph_case(case, ALL) == (case, [])


def test_what_is_not_needed_is_neither_read_nor_handed_on(tmp_path):
    case = {**case_of(tmp_path, label="no"), "tibia_mask": "absent.png", "lesion_mask": "absent.png"}
    good, _ = check_radiograph_case(case, ())
    assert good == {"case_id": "c", "image": case["image"]}
    for key in ALL:
        assert refused(case, (key,)).key == key


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        ({"image": None}, "image", "has no 'image'"),
        ({"tibia_mask": None}, "tibia_mask", "has no 'tibia_mask'"),
        ({"lesion_mask": None}, "lesion_mask", "has no 'lesion_mask'"),
        ({"label": None}, "label", "has no class"),
        ({"label": 2}, "label", "its label is 2"),
        ({"label": "1"}, "label", "its label is '1'"),
        ({"label": [1]}, "label", r"its label is \[1\]"),
        ({"image": 0 * PICTURE}, "image", "is constant everywhere"),
        (
            {"tibia_mask": TIBIA[:-1]},
            "tibia_mask",
            "has 47 rows of 40 pixels, but the image .*image.png has 48 rows of",
        ),
        ({"lesion_mask": LESION.T}, "lesion_mask", "has 40 rows of 48 pixels"),
        ({"tibia_mask": 0 * TIBIA}, "tibia_mask", "is empty"),
        ({"tibia_mask": TIBIA + LESION}, "tibia_mask", "is not binary"),
        ({"lesion_mask": 0 * LESION}, "lesion_mask", r"is empty, but the label is 1 \(fracture\)"),
        ({"label": 0}, "lesion_mask", r"shows a lesion of 12 pixels, but the label is 0 \(normal\)"),
    ],
)
def test_the_first_problem_is_named(tmp_path, change, key, problem):
    error = refused(case_of(tmp_path, **change))
    assert error.key == key and re.match(problem, error.problem)


def test_without_a_label_every_case_needs_its_lesion_mask_which_may_be_empty(tmp_path):
    needs = ("tibia_mask", "lesion_mask")
    assert refused(case_of(tmp_path, 0, lesion_mask=None), needs).key == "lesion_mask"
    good, _ = check_radiograph_case(case_of(tmp_path, 1, lesion_mask=0 * LESION), needs)
    assert set(good) == {"case_id", "image", *needs}


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        ({"tibia_mask": 255 * TIBIA}, ["tibia_mask: levels 0 and 255 taken as 0 and 1"]),
        ({"image": GREY}, ["image: colour image with equal channels, one of them taken"]),
        ({"lesion_mask": np.roll(LESION, 4, 0)}, ["67 % of the lesion lies outside the tibia mask"]),
        ({"lesion_mask": np.roll(LESION, 3, 0)}, []),
    ],
)
def test_what_is_unusual_is_noted(tmp_path, change, notes):
    assert check_radiograph_case(case_of(tmp_path, **change), ALL)[1] == notes


def test_pixels_that_are_not_square_are_noted(tmp_path):
    case = {**case_of(tmp_path), "image": str(dicom(tmp_path / "x.dcm"))}
    assert check_radiograph_case(case, ALL)[1] == ["pixels of 0.3 x 0.2 mm are not square"]


def test_good_cases_go_on_and_the_exit_code_tells(tmp_path, caplog):
    sound = case_of(tmp_path, image=GREY)
    door = RadiographDoor([sound, {"case_id": "bad", "image": "absent.png", "label": 0}], ("label",))
    door.require_some()
    (good,) = door.cases
    assert good.pop("warnings")[0] in caplog.text and good == {key: sound[key] for key in ("case_id", "image", "label")}
    assert [(failure["case_id"], failure["file"]) for failure in door.failures] == [("bad", "absent.png")]
    with pytest.raises(SystemExit) as stopped:
        door.conclude()
    assert stopped.value.code == 2 and "1 of 2 cases done" in caplog.text
    with pytest.raises(NoUsableCaseError, match="absent.png"):
        RadiographDoor([{"case_id": "bad", "image": "absent.png"}]).require_some()


@pytest.mark.parametrize("label", [0, 1])
def test_both_classes_where_both_are_needed(tmp_path, label):
    one = case_of(tmp_path, label)
    RadiographDoor([one, {**one, "label": 1 - label}], ("label",), both_classes=True).require_some()
    RadiographDoor([one], ("label",)).require_some()
    bad = {**one, "label": 1 - label, "image": "absent.png"}
    name, other = ("normal", "fracture")[:: 1 - 2 * label]
    with pytest.raises(DataListError, match=rf"1 usable .* class {label} \({name}\); .* {1 - label} \({other}\)"):
        RadiographDoor([one, bad], ("label",), both_classes=True).require_some()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="not brain_mask"):
        RadiographDoor([], ("brain_mask",))
    with pytest.raises(ValueError, match="add it to needs"):
        RadiographDoor([], ("tibia_mask",), both_classes=True)


def test_a_section_is_listed_with_absolute_paths(tmp_path):
    listed = {"case_id": "a", "image": "a.png", "tibia_mask": "m/a.png", "label": 0, "group": "h", "age": 3}
    sections = {"training": [listed], "test": [{"case_id": "b", "image": str(tmp_path / "b.png"), "lesion_mask": ""}]}
    (tmp_path / "list.json").write_text(json.dumps(sections))
    (case,) = gather_radiographs(str(tmp_path / "list.json"), "training")
    paths = {"image": str(tmp_path / "a.png"), "tibia_mask": str(tmp_path / "m" / "a.png")}
    assert case == {"case_id": "a", **paths, "label": 0, "group": "h"}
    assert gather_radiographs(str(tmp_path / "list.json")) == [{"case_id": "b", "image": str(tmp_path / "b.png")}]
    with pytest.raises(DataListError, match="no section 'validation'"):
        gather_radiographs(str(tmp_path / "list.json"), "validation")
