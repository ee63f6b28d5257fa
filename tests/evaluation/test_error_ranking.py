"""AUROC of error by uncertainty against values worked out by hand and in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation.error_ranking import closeness_to_threshold, error_metrics, error_ranking

SHAPE = (40, 8, 8)
BRAIN = np.ones(SHAPE, bool)
SPACING = (2.0, 1.0, 1.0)


def slab(low: int, high: int) -> np.ndarray:
    """Bool, the voxels from ``low`` to ``high`` along X."""
    out = np.zeros(SHAPE, bool)
    out[low:high] = True
    return out


MASK, LABEL = slab(10, 16), slab(12, 18)
WRONG = MASK != LABEL  # 4 of 40 slabs; within 10 mm, which are 5 slabs, lie the slabs 5 to 22, 18 of them


@pytest.mark.parametrize(("sign", "auroc"), [(1, 1), (-1, 0), (0, 0.5)])
def test_doubt_where_the_mask_is_wrong_where_it_is_right_and_everywhere(sign, auroc):
    assert error_ranking(sign * WRONG.astype(float), MASK, LABEL, BRAIN, SPACING) == (auroc, auroc)


def test_far_background_makes_any_map_of_the_lesion_look_informative():
    # Doubt is 1 on mask and label and 0 elsewhere: 4 of the 8 slabs are right. P(above) + P(equal) / 2.
    doubt = (MASK | LABEL).astype(float)
    in_brain, near = error_ranking(doubt, MASK, LABEL, BRAIN, SPACING)
    assert in_brain == pytest.approx((32 + 4 / 2) / 36)
    assert near == pytest.approx((10 + 4 / 2) / 14)


def test_distance_is_in_mm():
    doubt = (MASK | LABEL).astype(float)
    _, near = error_ranking(doubt, MASK, LABEL, BRAIN, (5.0, 1.0, 1.0))  # two slabs each way
    assert near == pytest.approx((4 + 4 / 2) / 8)


def test_what_lies_outside_the_brain_does_not_count():
    brain = slab(0, 16)  # in it 10, 11 are wrong, and 12 to 15 right
    doubt = np.where(brain, WRONG, np.nan)
    assert error_ranking(doubt, MASK, LABEL, brain, SPACING) == (1, 1)


def test_two_shifted_normals_have_the_closed_form_auroc():
    # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2) = 0.76025, whatever region.
    shape = (80, 80, 40)
    generator = np.random.default_rng(0)
    mask, label = generator.random((2, *shape)) < 0.2
    doubt = generator.normal(size=shape) + (mask != label)
    assert error_ranking(doubt, mask, label, np.ones(shape), (1, 1, 1)) == pytest.approx((0.76025, 0.76025), abs=0.005)


@pytest.mark.parametrize(("mask", "label"), [(MASK, MASK), (slab(0, 0), slab(0, 0)), (BRAIN, slab(0, 0))])
def test_nothing_wrong_or_nothing_right_is_nan(mask, label):
    assert np.isnan(error_ranking(np.zeros(SHAPE), mask, label, BRAIN, SPACING)).all()


def test_a_lesion_outside_the_brain_has_no_neighbourhood_in_it():
    in_brain, near = error_ranking(np.zeros(SHAPE), slab(30, 32), slab(0, 0), slab(0, 20), SPACING)
    assert np.isnan([in_brain, near]).all()


def test_closeness_is_equal_for_the_same_factor_above_and_below_the_threshold():
    values = closeness_to_threshold(np.array([1.0, 2.0, 0.5, 4.0, 0.0, -1.0]))
    np.testing.assert_allclose(values, [0, -np.log(2), -np.log(2), -np.log(4), -np.inf, -np.inf])


def test_uncertainty_stands_beside_what_the_map_alone_tells():
    anomaly_map = np.where(MASK, 3.0, 0.1)
    anomaly_map[WRONG] = 0.9  # all errors at the threshold, where they are expected; uncertainty says the contrary
    metrics = error_metrics(1.0 - WRONG, anomaly_map, MASK, LABEL, BRAIN, SPACING)
    assert metrics == {
        "error_auroc_by_uncertainty": 0,
        "error_auroc_by_uncertainty_nearby": 0,
        "error_auroc_by_threshold": 1,
        "error_auroc_by_threshold_nearby": 1,
    }


@pytest.mark.parametrize(
    ("doubt", "brain", "said"),
    [
        (np.zeros((2, 2, 2)), BRAIN, "on one grid"),
        (np.zeros(SHAPE), slab(0, 0), "brain_mask is empty"),
        (np.full(SHAPE, np.nan), BRAIN, "NaN"),
    ],
)
def test_bad_input_is_refused(doubt, brain, said):
    with pytest.raises(ValueError, match=said):
        error_ranking(doubt, MASK, LABEL, brain, SPACING)
