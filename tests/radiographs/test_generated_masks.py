"""Rough masks are mended, and a sample is rejected for each thing that contradicts its class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from shared.radiographs.generated_masks import Anatomy, GeneratedMasksd, lesion_of, whole_tibia
from shared.runs.facts import with_facts

SIZE = 64
LIMITS = {"min_lesion_pixels": 4, "max_normal_lesion": 6, "margin": 2}


def box(*edges: int) -> torch.Tensor:
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[edges[0] : edges[1], edges[2] : edges[3]] = True
    return mask


TIBIA, LESION, NONE = box(0, 40, 20, 44), box(35, 38, 22, 26), box(0, 0, 0, 0)


def judged(
    class_label: int = 1, tibia: torch.Tensor = TIBIA, lesion: torch.Tensor = LESION, **more: Any
) -> dict[str, Any]:
    """A sample whose mask channels are 0.2 inside and -0.1 outside."""
    radiograph = more.pop("radiograph", torch.linspace(-1.2, 1.1, SIZE * SIZE).reshape(SIZE, SIZE))
    sample = torch.stack([radiograph, *(torch.where(mask, 0.2, -0.1) for mask in (tibia, lesion))])
    name = more.pop("class_name", ("normal", "fracture")[class_label])
    facts = {"class_probability": more.pop("class_probability", 0.95), "guidance": 2.0}
    case = {"case_id": "x", "class_label": torch.tensor(class_label), "class_name": name}
    case["pred"] = with_facts(sample[None], [facts])[0]
    return GeneratedMasksd("pred", **LIMITS, **more.pop("settings", {}))({**case, **more})


def test_a_sound_fracture_is_accepted_as_it_is():
    made = judged()
    assert made["accepted"] is True and made["reason"] == ""
    assert torch.equal(made["pred"][1:], torch.stack([TIBIA, LESION]).float()) and made["pred"].dtype == torch.float32
    expected = torch.linspace(-1.2, 1.1, SIZE * SIZE).clamp(-1, 1).reshape(SIZE, SIZE)
    torch.testing.assert_close(made["pred"][0], expected)
    assert made["facts"] == {"class_probability": 0.95, "guidance": 2.0}


def test_the_tibia_is_the_largest_component_with_its_holes_filled():
    rough = TIBIA & ~box(10, 14, 25, 30) | box(50, 60, 50, 60) | box(40, 42, 44, 46)  # the last at a corner only
    assert torch.equal(whole_tibia(rough), TIBIA)
    assert torch.equal(judged(tibia=rough)["pred"][1] > 0, TIBIA)
    open_above = TIBIA & ~box(0, 5, 30, 34)
    assert torch.equal(whole_tibia(open_above), open_above)
    assert not whole_tibia(NONE).any()


def test_the_lesion_is_what_lies_in_the_tibia_or_close_by_without_specks():
    found = LESION | box(5, 6, 30, 33) | box(38, 48, 40, 42) | box(50, 60, 5, 15)
    assert torch.equal(lesion_of(found, TIBIA, 4, 2), LESION | box(38, 42, 40, 42))  # 2 pixels beyond row 39
    assert torch.equal(lesion_of(found, TIBIA, 3, 0), LESION | box(5, 6, 30, 33) | box(38, 40, 40, 42))
    assert torch.equal(lesion_of(LESION, TIBIA, 12, 2), LESION) and not lesion_of(LESION, TIBIA, 13, 2).any()
    diagonal = torch.eye(SIZE, dtype=torch.bool) & box(20, 30, 20, 30)
    assert torch.equal(lesion_of(diagonal, TIBIA, 10, 2), diagonal)
    corner = lesion_of(torch.ones_like(TIBIA), TIBIA, 1, 2)
    assert corner[41, 43] and corner[40, 44] and not corner[41, 45], "the margin is round"
    assert not lesion_of(LESION, NONE, 0, 2).any() and not lesion_of(NONE, TIBIA, 0, 2).any()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"class_probability": 0.89}, "the classifier gives it 0.89 for fracture"),
        ({"class_probability": float("nan")}, "the classifier gives it nan for fracture"),
        ({"class_probability": 0.2, "class_label": 0, "lesion": NONE}, "the classifier gives it 0.20 for normal"),
        ({"lesion": NONE}, "no lesion, but the class is fracture"),
        ({"lesion": box(5, 6, 30, 33)}, "no lesion, but the class is fracture"),
        ({"lesion": box(50, 60, 5, 15)}, "no lesion, but the class is fracture"),
        ({"class_label": 0}, "12 pixels of lesion, but the class is normal"),
        ({"tibia": box(30, 40, 20, 32)}, "only 2.9 % of the image is tibia"),
        ({"class_label": 0, "tibia": NONE}, "no tibia"),
        ({"tibia": NONE}, "no tibia; no lesion, but the class is fracture"),
        ({"radiograph": torch.full((SIZE, SIZE), 0.3)}, "the radiograph is constant"),
    ],
)
def test_what_contradicts_is_named(given, reason):
    made = judged(**given)
    assert made["accepted"] is False and made["reason"] == reason


@pytest.mark.parametrize("lesion", [NONE, box(35, 38, 22, 24), box(50, 60, 5, 15)])
def test_the_lesion_of_a_normal_is_emptied(lesion):
    made = judged(0, lesion=lesion)
    assert made["accepted"] is True and not made["pred"][2].any() and made["pred"][1].any()
    assert not judged(0)["pred"][2].any(), "of a rejected one too"


def test_without_lesion_masks_to_learn_from_neither_class_shows_a_lesion():
    unseen = {"anatomy": Anatomy(lesion_expected=False)}
    for label in (0, 1):
        made = judged(label, lesion=NONE, settings=unseen)
        assert made["accepted"] is True
        made = judged(label, class_name="abnormal", settings=unseen)
        assert made["reason"] == "12 pixels of lesion, but the class is abnormal" and not made["pred"][2].any()
    assert judged(1, lesion=box(35, 38, 22, 24), settings=unseen)["accepted"], "6 pixels are not counted"


def test_lungs_are_two_parts_and_bear_their_own_name():
    lungs, speck = box(5, 40, 5, 20) | box(8, 15, 40, 55), box(50, 52, 50, 52)
    pair = {"anatomy": Anatomy(parts=2)}
    made = judged(0, tibia=lungs & ~box(20, 25, 10, 15) | speck, lesion=NONE, settings=pair)
    assert torch.equal(made["pred"][1] > 0, lungs)
    for mask, parts, kept in ((lungs, 1, box(5, 40, 5, 20)), (lungs | speck, 3, lungs | speck), (TIBIA, 2, TIBIA)):
        assert torch.equal(whole_tibia(mask, parts), kept)
    settings = {"anatomy": Anatomy(mask_names=("lungs", "nodule"))}
    assert judged(tibia=NONE, lesion=NONE, class_name="abnormal", settings=settings)["reason"] == (
        "no lungs; no nodule, but the class is abnormal"
    )
    assert judged(0, tibia=box(30, 40, 20, 32), lesion=NONE, settings=settings)["reason"] == (
        "only 2.9 % of the image is lungs"
    )
    assert judged(0, settings=settings)["reason"] == "12 pixels of nodule, but the class is normal"


def test_the_limits_belong_to_what_is_accepted():
    assert judged(class_probability=0.9)["accepted"]
    assert judged(tibia=box(27, 40, 20, 30), settings={"anatomy": Anatomy(min_share=130 / SIZE**2)})["accepted"]
    assert not judged(tibia=box(27, 40, 20, 30), settings={"anatomy": Anatomy(min_share=131 / SIZE**2)})["accepted"]


def test_without_a_classifier_none_is_judged():
    case = {"pred": judged()["pred"] - 0.5, "class_label": 1, "class_name": "fracture"}
    unknown = with_facts(case["pred"][None], [{"class_probability": None}])[0]  # as the Inferer says it
    for pred in (case["pred"], unknown):
        made = GeneratedMasksd("pred", min_probability=0)({**case, "pred": pred})
        assert made["accepted"] is True
    for pred in (case["pred"], unknown):
        with pytest.raises(ValueError, match="no classifier has judged the sample: set min_probability to 0"):
            GeneratedMasksd("pred")({**case, "pred": pred})


def test_a_sample_that_diverged_is_rejected_and_can_be_drawn():
    radiograph = torch.zeros(SIZE, SIZE)
    radiograph[3, 4:6] = torch.tensor([float("nan"), float("inf")])
    made = judged(radiograph=radiograph)
    assert made["reason"] == "2 pixels are NaN or infinite" and np.isfinite(made["pred"]).all()
    assert judged(radiograph=torch.full((SIZE, SIZE), float("nan")))["reason"].startswith("4096 pixels are NaN")


@pytest.mark.parametrize("wrong", [-0.1, 90])
def test_a_probability_lies_between_0_and_1(wrong):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {wrong}"):
        GeneratedMasksd("pred", min_probability=wrong)
