"""Requests name what is wanted of what; a batch of them reaches the inferer packed as the networks were trained."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor

from shared.methods.macdm.joint_state import JointState
from shared.methods.macdm.sample_requests import RequestPrepareBatch, sample_requests, source_requests

STATE = JointState((1.0, 0.5, 0.25))
SOURCES = [
    {"case_id": "a", "image": "a.png", "tibia_mask": "at.png", "class_label": 0, "warnings": ["odd"]},
    {"case_id": "b", "image": "b.png", "tibia_mask": "bt.png", "lesion_mask": "bl.png", "class_label": 1},
]


def batch_of(requests: list[dict]) -> dict:
    return next(iter(DataLoader(Dataset(requests), batch_size=len(requests))))


def test_from_noise_the_classes_alternate():
    requests = sample_requests(2, seed=7)
    assert [(r["case_id"], r["class_label"]) for r in requests] == [
        ("normal_0001", 0), ("fracture_0001", 1), ("normal_0002", 0), ("fracture_0002", 1)
    ]  # fmt: skip
    assert all(r["seed"] == 7 and r["case_id"].startswith(r["class_name"]) for r in requests)
    for one in ([1], 1):
        assert [r["case_id"] for r in sample_requests(1, classes=one)] == ["fracture_0001"]


def test_from_each_source_to_each_class():
    requests = source_requests(SOURCES, 2)
    assert len({r["case_id"] for r in requests}) == len(requests) == 8
    assert requests[1] == {
        "case_id": "a_as_fracture_01",
        "class_label": 1,
        "class_name": "fracture",
        "source_id": "a",
        "source_class": 0,
        "image": "a.png",
        "tibia_mask": "at.png",
    }
    last = requests[-1]
    assert (last["case_id"], last["source_class"], last["lesion_mask"]) == ("b_as_fracture_02", 1, "bl.png")
    assert [r["case_id"] for r in source_requests(SOURCES, 1, 0)] == ["a_as_normal_01", "b_as_normal_01"]


@pytest.mark.parametrize(
    ("samples", "classes", "message"),
    [(0, (0, 1), "at least 1"), (1, (), "classes"), (1, (0, 2), "classes"), (1, (1, 1), "each once")]
    + [(1, 2, "classes are 2; give 0"), (1, "fracture", "classes are fracture; give 0"), (1, [[0]], "classes")],
)
def test_wrong_requests(samples, classes, message):
    with pytest.raises(ValueError, match=message):
        sample_requests(samples, classes)
    with pytest.raises(ValueError, match=message):
        source_requests(SOURCES, samples, classes)


def test_classes_of_other_data_have_other_names():
    names = ("lesion-free", "glioma")
    assert [(r["case_id"], r["class_name"]) for r in sample_requests(1, class_names=names)] == [
        ("lesion-free_0001", "lesion-free"), ("glioma_0001", "glioma")
    ]  # fmt: skip
    first = source_requests(SOURCES, 1, [1], names)[0]
    assert (first["case_id"], first["class_name"]) == ("a_as_glioma_01", "glioma")
    with pytest.raises(ValueError, match=r"0 \(lesion-free\), 1 \(glioma\)"):
        sample_requests(1, [2], class_names=names)


@pytest.mark.parametrize("names", [("normal",), ("a", "a"), ("normal", "a/b"), ("", "a"), ("a", "b", "c")])
def test_names_that_files_cannot_have(names):
    with pytest.raises(ValueError, match="class_names are"):
        sample_requests(1, class_names=names)
    with pytest.raises(ValueError, match="class_names are"):
        source_requests(SOURCES, 1, class_names=names)


def test_a_batch_from_noise():
    prepare = RequestPrepareBatch(STATE, 32)
    inputs, targets, args, asked = prepare(batch_of(sample_requests(2)), torch.device("cpu"))
    assert torch.equal(inputs, torch.zeros(4, 3, 32, 32)) and targets is None and args == ()
    assert set(asked) == {"class_label", "keys"}
    assert asked["keys"] == ["normal_0001", "fracture_0001", "normal_0002", "fracture_0002"]
    assert asked["class_label"].dtype == torch.int64 and asked["class_label"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("masks_given", [False, True])
def test_a_batch_from_sources_is_packed(masks_given):
    state = JointState((1.0, 0.5, 0.25), masks_given=masks_given)
    generator = torch.Generator().manual_seed(0)
    radiograph = 2 * torch.rand(2, 1, 8, 8, generator=generator) - 1
    tibia, lesion = (torch.rand(2, 1, 8, 8, generator=generator).gt(0.5).float() for _ in range(2))
    requests = [
        {**r, "radiograph": MetaTensor(radiograph[i]), "tibia_mask": tibia[i], "lesion_mask": lesion[i]}
        for i, r in enumerate(source_requests(SOURCES, 1, [1]))
    ]
    inputs, _, _, asked = RequestPrepareBatch(state, 8)(batch_of(requests))
    expected = torch.cat([radiograph, 0.5 * (2 * tibia - 1), 0.25 * (2 * lesion - 1)], dim=1)
    torch.testing.assert_close(inputs, expected)
    assert type(inputs) is torch.Tensor
    assert asked["keys"] == ["a_as_fracture_01", "b_as_fracture_01"] and asked["class_label"].tolist() == [1, 1]


def test_masks_that_are_to_be_given_need_a_source():
    prepare = RequestPrepareBatch(JointState((1.0, 1.0, 1.0), masks_given=True), 32)
    with pytest.raises(ValueError, match="source_requests"):
        prepare(batch_of(sample_requests(1)))
