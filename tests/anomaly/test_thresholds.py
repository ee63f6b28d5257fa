"""Otsu in the brain: a uniform distribution is cut in its middle, half way between the means of the two halves."""

from __future__ import annotations

import numpy as np
import pytest

from shared.anomaly.thresholds import gated_otsu, gated_peak, otsu_by_slice, otsu_in_brain

SHAPE = (40, 40, 40)
BRAIN = np.zeros(SHAPE, dtype=np.uint8)
BRAIN[4:-4, 4:-4, 4:-4] = 1


def uniform_map(low: float, high: float) -> np.ndarray:
    """``X Y Z`` float32, values spread evenly over the brain in random order."""
    values = np.zeros(SHAPE, np.float32)
    spread = np.linspace(low, high, np.count_nonzero(BRAIN), dtype=np.float32)
    values[BRAIN > 0] = np.random.default_rng(0).permutation(spread)
    return values


class TestOtsuInBrain:
    @pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 6.0), (1e-5, 3e-5)])
    def test_uniform_values_are_cut_in_the_middle(self, low: float, high: float):
        threshold = otsu_in_brain(uniform_map(low, high), BRAIN)
        assert threshold == pytest.approx((low + high) / 2, abs=(high - low) / 200), "256 bins"

    def test_values_that_are_not_positive_do_not_count(self):
        # Uniform on (-2, 2): the positive half is cut at 1; all of it would be cut at 0.
        assert otsu_in_brain(uniform_map(-2, 2), BRAIN) == pytest.approx(1, abs=0.01)

    def test_outside_the_brain_does_not_count(self):
        values = uniform_map(0, 1)
        expected = otsu_in_brain(values, BRAIN)
        assert otsu_in_brain(np.where(BRAIN > 0, values, 50).astype(np.float32), BRAIN) == expected

    def test_lesion_is_told_from_tissue(self):
        values = np.where(BRAIN, 1.0, 0.0) + 0.1 * uniform_map(0, 1)
        values[15:20, 15:20, 15:20] += 3
        lesion = values > otsu_in_brain(values, BRAIN)
        assert lesion.sum() == 125 and lesion[15:20, 15:20, 15:20].all()

    def test_two_values_that_float32_can_only_just_tell_apart(self):
        values = BRAIN.astype(np.float32)
        values[10:20][BRAIN[10:20] > 0] = np.nextafter(np.float32(1), np.float32(2))
        assert 1 <= otsu_in_brain(values, BRAIN) < np.nextafter(np.float32(1), np.float32(2))

    @pytest.mark.parametrize("value", [-1.0, 0.0, 2.0])
    def test_fewer_than_two_values_have_no_threshold(self, value: float):
        assert otsu_in_brain(np.full(SHAPE, value, np.float32), BRAIN) == float("inf")

    def test_empty_brain_has_no_threshold(self):
        assert otsu_in_brain(uniform_map(0, 1), np.zeros(SHAPE)) == float("inf")


@pytest.mark.parametrize(("stored", "expected"), [(0.1, 0.5), (0.8, 0.8)])
def test_gate_lifts_but_never_lowers(stored: float, expected: float):
    assert gated_otsu(uniform_map(0, 1), BRAIN, stored) == pytest.approx(expected, abs=0.005)


class TestOtsuBySlice:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_every_slice_is_cut_in_its_own_middle(self, axis: int):
        tops = np.array([1.0, 4.0, 1e-4])
        slices = tops[:, None, None] * np.random.default_rng(0).permutation(np.linspace(0, 1, 3600)).reshape(60, 60)
        volume = np.moveaxis(slices, 0, axis)
        thresholds = otsu_by_slice(volume.astype(np.float32), axis)
        assert thresholds.ravel() == pytest.approx(tops / 2, rel=0.01) and thresholds.shape[axis] == 3
        above = np.moveaxis(volume > thresholds, axis, 0)
        assert above.mean(axis=(1, 2)) == pytest.approx([0.5] * 3, abs=0.005)

    def test_background_counts_as_in_the_code_of_tsgm(self):
        # Background 0, tissue uniform on (1, 2), a few pixels of 3: with the background Otsu parts it from the tissue.
        plane = np.zeros((40, 40, 1))
        plane[10:30, 10:30, 0] = np.linspace(1, 2, 400).reshape(20, 20)
        plane[15:18, 15:18] = 3
        assert 0 < otsu_by_slice(plane, 2).item() <= 1.01
        assert otsu_in_brain(plane, plane > 0) > 1.3

    @pytest.mark.parametrize("value", [-1.0, 0.0, 2.0])
    def test_constant_slices_have_no_threshold_and_an_empty_mask(self, value: float):
        volume = np.full((5, 6, 3), value, np.float32)
        volume[2, 2, 1] += 1
        thresholds = otsu_by_slice(volume, 2)
        assert thresholds.shape == (1, 1, 3) and np.isinf(thresholds).ravel().tolist() == [True, False, True]
        assert np.argwhere(volume > thresholds).tolist() == [[2, 2, 1]]


def test_the_peak_rule_is_a_share_of_the_peak_but_never_below_the_stored_threshold():
    brain = np.zeros((30, 10, 10), np.uint8)
    brain[:20] = 1
    anomaly_map = np.zeros(brain.shape)
    anomaly_map[:2] = 8.0  # a tenth of the brain: the 99.5th percentile is 8
    anomaly_map[20:] = 100.0  # outside the brain
    assert gated_peak(anomaly_map, brain, 0.5, 0.25) == pytest.approx(2.0)
    assert gated_peak(anomaly_map, brain, 0.5, 0.4) == pytest.approx(3.2)
    assert gated_peak(anomaly_map, brain, 3.0, 0.25) == 3.0
    assert gated_peak(np.zeros_like(anomaly_map), brain, 0.5, 0.25) == 0.5
