"""A case most of whose brain is marked is no result."""

from __future__ import annotations

import numpy as np
import pytest

from shared.anomaly.overmarked import RefuseOvermarkedd
from shared.runs.errors import InputError
from tests.helpers.native_cases import meta

SHAPE = (4, 5, 10)


def case_of(marked: int) -> dict:
    """A brain of 100 voxels, of which some are marked, and more outside."""
    brain, mask = np.zeros(SHAPE), np.ones(SHAPE)
    brain[:, :, :5], mask[:, :, :5] = 1, (np.arange(100) < marked).reshape(4, 5, 5)
    image = meta(brain, np.eye(4), filename_or_obj="scan.nii.gz")
    return {"pred": meta(mask, np.eye(4)), "native_brain_mask": meta(brain, np.eye(4)), "native_image": image}


def test_half_of_the_brain_passes_as_it_is():
    case = case_of(50)
    done = RefuseOvermarkedd("pred", 0.5)(case)
    assert done.keys() == case.keys() and done["pred"] is case["pred"]


def test_more_is_refused_with_the_file_and_what_to_look_at():
    with pytest.raises(
        InputError, match="51 % of its brain would be marked, which is no result.*sequence.*threshold"
    ) as caught:
        RefuseOvermarkedd("pred", 0.5)(case_of(51))
    assert (caught.value.file, caught.value.key) == ("scan.nii.gz", "image")
