"""A whole head gets its brain mask where no door has given it one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate

from shared.brains import extraction_transform
from shared.brains.extraction_transform import ExtractBraind, whole_heads
from shared.brains.transforms import BrainMaskd
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, head


def image_of(data: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(data[None]), affine=torch.from_numpy(AFFINE), meta={"filename_or_obj": "x.nii"})


def test_a_head_becomes_its_brain():
    seen = {"image": image_of(head()), "stack": image_of(head())}
    data = BrainMaskd("image")(ExtractBraind(["image", "stack"])(seen))
    found, true = np.asarray(data["brain_mask"][0]) > 0, np.pad(BRAIN != 0, 8)
    assert 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true)) > 0.96
    np.testing.assert_array_equal(np.asarray(data["image"][0]), np.where(found, head(), 0))
    assert torch.equal(data["brain_mask"].affine, data["image"].affine)
    assert whole_heads(data["image"][None]) == whole_heads(data["stack"][None]) == [True]


@pytest.mark.parametrize(
    "data",
    [
        {"image": image_of(BRAIN)},
        {"image": image_of(head()), "brain_mask": image_of(np.pad(BRAIN, 8))},
        {"image": image_of(head()), "case_id": "the door has checked it"},
    ],
)
def test_nothing_is_done_where_nothing_is_to_do(data, monkeypatch):
    monkeypatch.setattr(extraction_transform, "brain_of_head", None)
    after = ExtractBraind("image")(data)
    assert after.keys() == data.keys() and all(after[key] is data[key] for key in data)


def test_only_the_first_says_where_the_brain_is():
    """The others may be sequences of which the first of the stack is absent."""
    data = {"image": image_of(BRAIN), "stack": image_of(np.full(BRAIN.shape, np.nan))}
    after = ExtractBraind(["image", "stack"])(data)
    assert after.keys() == data.keys() and whole_heads(after["stack"][None]) == [False]


def test_what_the_door_extracted_is_known_in_a_batch():
    """Through MONAI's own collation, since the Inferers see batches."""
    cases = [
        {"image": image_of(BRAIN), "case_id": "prepared", "brain_mask": image_of(BRAIN), "whole_head": False},
        {"image": image_of(BRAIN), "case_id": "head", "brain_mask": image_of(BRAIN), "whole_head": True},
    ]
    done = [ExtractBraind("image")(case)["image"] for case in cases]
    assert whole_heads(list_data_collate(done)) == [False, True]
    assert whole_heads(list_data_collate(done[1:])) == [True]
    assert whole_heads(torch.zeros(2, 1, 3, 3, 3)) == [False, False]


def test_a_head_is_refused_as_by_the_door():
    with pytest.raises(InputError, match="x.nii .*run with --extract_brain auto"):
        ExtractBraind("image", mode="never")({"image": image_of(head())})
    with pytest.raises(InputError, match="in the whole volume these slices are from"):
        ExtractBraind("image", slices=True)({"image": image_of(head()[:, :, 38:42])})
