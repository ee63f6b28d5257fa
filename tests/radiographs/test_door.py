"""The door of radiographs: what each task needs is checked, contradictions are refused, the exit code tells."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose
from scipy import ndimage

from shared.cases.radiograph_cases import gather_radiographs
from shared.radiographs.door import RadiographDoor, check_radiograph_case
from shared.radiographs.reading import read_mask
from shared.radiographs.transforms import RadiographUnitsd, ReadRadiographd, SquareResized
from shared.runs.errors import DataListError, InputError, NoUsableCaseError
from tests.helpers.radiograph_files import PICTURE, dicom, png
from tests.helpers.real_data import DATA, needs_data

ALL = ("tibia_mask", "lesion_mask", "class_label")
TIBIA = np.zeros(PICTURE.shape, np.uint8)
TIBIA[10:40, 8:30] = 1
LESION = np.zeros_like(TIBIA)
LESION[35:38, 10:14] = 1
CHESTS = DATA / "chest_xray_montgomery"
GREY = np.stack([PICTURE // 25] * 3, -1).astype(np.uint8)


def case_of(folder: Path, class_label: object = 1, **files: np.ndarray | None) -> dict[str, object]:
    """A sound fracture, but for the given files; None leaves one out."""
    pixels = {"image": PICTURE, "tibia_mask": TIBIA, "lesion_mask": LESION, **files}
    paths = {key: str(png(folder / f"{key}.png", p)) for key, p in pixels.items() if p is not None}
    return {"case_id": "c", **paths, **({"class_label": class_label} if class_label is not None else {})}


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
    case = {**case_of(tmp_path, class_label="no"), "tibia_mask": "absent.png", "lesion_mask": "absent.png"}
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
        ({"class_label": None}, "class_label", "has no class"),
        ({"class_label": 2}, "class_label", "its class_label is 2"),
        ({"class_label": "1"}, "class_label", "its class_label is '1'"),
        ({"class_label": "fracture"}, "class_label", "its class_label is 'fracture'"),
        ({"class_label": [1]}, "class_label", r"its class_label is \[1\]"),
        ({"image": 0 * PICTURE}, "image", "is constant everywhere"),
        (
            {"tibia_mask": TIBIA[:-1]},
            "tibia_mask",
            "has 47 rows of 40 pixels, but the image .*image.png has 48 rows of",
        ),
        ({"lesion_mask": LESION.T}, "lesion_mask", "has 40 rows of 48 pixels"),
        ({"tibia_mask": 0 * TIBIA}, "tibia_mask", "is empty"),
        ({"tibia_mask": TIBIA + LESION}, "tibia_mask", "is not binary"),
        ({"lesion_mask": 0 * LESION}, "lesion_mask", r"is empty, but the class_label is 1 \(fracture\)"),
        ({"class_label": 0}, "lesion_mask", r"shows a lesion of 12 pixels, but the class_label is 0 \(normal\)"),
    ],
)
def test_the_first_problem_is_named(tmp_path, change, key, problem):
    error = refused(case_of(tmp_path, **change))
    assert error.key == key and re.match(problem, error.problem)


def test_without_a_class_every_case_needs_its_lesion_mask_which_may_be_empty(tmp_path):
    needs = ("tibia_mask", "lesion_mask")
    assert refused(case_of(tmp_path, 0, lesion_mask=None), needs).key == "lesion_mask"
    good, _ = check_radiograph_case(case_of(tmp_path, 1, lesion_mask=0 * LESION), needs)
    assert set(good) == {"case_id", "image", *needs}


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        ({"tibia_mask": 100 * TIBIA}, ["tibia_mask: levels 0 and 100 taken as 0 and 1"]),
        ({"tibia_mask": 255 * TIBIA}, []),
        ({"image": GREY}, ["image: colour image with equal channels, one of them taken"]),
        ({"lesion_mask": np.roll(LESION, 4, 0)}, ["67 % of lesion_mask lies outside tibia_mask"]),
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
    door = RadiographDoor([sound, {"case_id": "bad", "image": "absent.png", "class_label": 0}], ("class_label",))
    door.require_some()
    (good,) = door.cases
    assert good.pop("warnings")[0] in caplog.text
    assert good == {key: sound[key] for key in ("case_id", "image", "class_label")}
    assert [(failure["case_id"], failure["file"]) for failure in door.failures] == [("bad", "absent.png")]
    with pytest.raises(SystemExit) as stopped:
        door.conclude()
    assert stopped.value.code == 2 and "1 of 2 cases done" in caplog.text
    with pytest.raises(NoUsableCaseError, match="absent.png"):
        RadiographDoor([{"case_id": "bad", "image": "absent.png"}]).require_some()


@pytest.mark.parametrize("label", [0, 1])
def test_both_classes_where_both_are_needed(tmp_path, label):
    one = case_of(tmp_path, label)
    RadiographDoor([one, {**one, "class_label": 1 - label}], ("class_label",), both_classes=True).require_some()
    RadiographDoor([one], ("class_label",)).require_some()
    bad = {**one, "class_label": 1 - label, "image": "absent.png"}
    name, other = ("normal", "fracture")[:: 1 - 2 * label]
    with pytest.raises(DataListError, match=rf"1 usable .* class {label} \({name}\); .* {1 - label} \({other}\)"):
        RadiographDoor([one, bad], ("class_label",), both_classes=True).require_some()


def test_every_process_needs_a_case(tmp_path):
    case = case_of(tmp_path)
    door = RadiographDoor([case, {**case, "image": "absent.png"}, {**case, "class_label": 0}], ("class_label",))
    door.require_some(2)
    with pytest.raises(DataListError, match="3 processes for 2 cases; start at most 2"):
        door.require_some(3)
    with pytest.raises(NoUsableCaseError, match="absent.png"):
        RadiographDoor([{**case, "image": "absent.png"}]).require_some(3)
    one_class = RadiographDoor([case, case], ("class_label",), both_classes=True)
    with pytest.raises(DataListError, match="all 2 usable cases are of class 1"):
        one_class.require_some(2)


def test_other_anatomy_has_other_names(tmp_path):
    names = ("clear", "nodule")
    contradictions = [({"lesion_mask": 0 * LESION}, r"class_label is 1 \(nodule\)"), ({}, r"label is 0 \(clear\)")]
    for label, (change, problem) in zip((1, 0), contradictions):
        with pytest.raises(InputError, match=problem):
            check_radiograph_case(case_of(tmp_path, label, **change), ALL, names)
    with pytest.raises(InputError, match=r"Say 0 \(clear\) or 1 \(nodule\)"):
        check_radiograph_case(case_of(tmp_path, 2), ALL, names)
    healthy = case_of(tmp_path, 0, lesion_mask=None)
    door = RadiographDoor([healthy, case_of(tmp_path, 2)], ALL, both_classes=True, class_names=names)
    assert "or 1 (nodule)" in door.failures[0]["remedy"]
    with pytest.raises(DataListError, match=r"class 0 \(clear\); .* 1 \(nodule\)"):
        door.require_some()


def test_without_any_lesion_masks_class_1_passes_and_is_read_with_an_empty_one(tmp_path):
    needs = ("tibia_mask", "class_label")
    good, _ = check_radiograph_case(case_of(tmp_path, 1), needs)
    assert "lesion_mask" not in good and good["class_label"] == 1
    read = ReadRadiographd("image", ("tibia_mask", "lesion_mask"))(good)
    assert read["lesion_mask"].shape == (1, *PICTURE.shape) and not read["lesion_mask"].any()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="not brain_mask"):
        RadiographDoor([], ("brain_mask",))
    with pytest.raises(ValueError, match="add class_label to needs"):
        RadiographDoor([], ("tibia_mask",), both_classes=True)


@pytest.mark.real_data
@needs_data
def test_chest_radiographs_with_grey_edged_lung_masks_pass_the_door_and_the_transforms(tmp_path):
    with open(CHESTS / "split.csv", newline="") as file:
        listed = list(csv.DictReader(file))[:8]
    cases = [
        {
            "case_id": row["file"].removesuffix(".png"),
            "image": str(CHESTS / "cxr" / row["file"]),
            "tibia_mask": str(CHESTS / "masks" / row["file"]),
            "class_label": int(row["class"] == "abnormal"),
        }
        for row in listed
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": cases}))
    needs = ("tibia_mask", "class_label")
    door = RadiographDoor(gather_radiographs(str(tmp_path / "list.json"), "training"), needs, both_classes=True)
    door.require_some()
    assert len(door.cases) == 8 and not door.failures
    assert all("pixels between its levels 0 and 255" in case["warnings"][0] for case in door.cases)
    prepare = Compose(
        [ReadRadiographd("image", "tibia_mask"), RadiographUnitsd("image"), SquareResized("image", 64, "tibia_mask")]
    )
    for case in door.cases:
        drawn = read_mask(case["tibia_mask"], "tibia_mask").data
        d = prepare(case)
        image, lungs = np.asarray(d["image"][0]), np.asarray(d["tibia_mask"][0]) > 0
        assert image.shape == lungs.shape == (64, 64) and image.min() == -1 and 0.9 < image.max() <= 1
        assert lungs.mean() == pytest.approx(drawn.mean(), rel=0.03)
        around = ndimage.binary_dilation(lungs, iterations=4) & ~lungs
        assert image[lungs].mean() < image[around].mean() - 0.3, "air is dark, and the mask lies on it"
