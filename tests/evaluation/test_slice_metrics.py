"""Slice metrics of boxes that are counted by hand, along every axis and in both directions."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation.slice_metrics import TENTHS, free_voxels_by_height, hd95_in_plane, slice_metrics

SHAPE = (12, 10, 30)


def box(x: tuple[int, int], y: tuple[int, int], z: tuple[int, int]) -> np.ndarray:
    """``X Y Z`` uint8, slices along Z."""
    volume = np.zeros(SHAPE, dtype=np.uint8)
    volume[slice(*x), slice(*y), slice(*z)] = 1
    return volume


def rates_by_height(*arguments) -> np.ndarray:
    marked, counted = free_voxels_by_height(*arguments)
    return np.divide(marked, counted, out=np.full(TENTHS, np.nan), where=counted > 0)


NOTHING = np.zeros(SHAPE, np.uint8)
BRAIN = box((1, 11), (0, 10), (5, 25))  # 20 slices of 100 voxels: two in each tenth


class TestSliceMetrics:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_counted_by_hand(self, axis: int):
        label = box((2, 6), (2, 4), (10, 14))  # 8 voxels in each of 4 slices
        # Slice 10 whole, 11 half, 12 not at all, 13 whole and as much again beside it; 3 voxels in each of 2 free ones.
        mask = box((2, 6), (2, 4), (10, 11)) | box((2, 6), (2, 3), (11, 12)) | box((2, 6), (2, 6), (13, 14))
        mask |= box((3, 6), (3, 4), (20, 22))
        turned = [np.moveaxis(volume, 2, axis) for volume in (mask, label, BRAIN)]
        metrics = slice_metrics(*turned, axis)
        assert metrics["dice_lesion_slices"] == pytest.approx((1 + 2 * 4 / 12 + 0 + 2 * 8 / 24) / 4)
        assert metrics["false_positive_rate_free_slices"] == pytest.approx(6 / 1600)
        assert metrics["lesion_slices"] == 4 and len(metrics) == 3

    def test_rate_is_pooled_over_slices_of_any_size(self):
        brain = BRAIN | box((0, 12), (0, 10), (15, 16))  # 19 slices of 100 voxels, one of 120
        mask = box((0, 12), (0, 10), (15, 16))
        assert slice_metrics(mask, NOTHING, brain, 2)["false_positive_rate_free_slices"] == pytest.approx(120 / 2020)

    def test_outside_the_brain_is_no_false_positive_of_free_slices(self):
        mask = box((0, 12), (0, 10), (6, 7)) | box((0, 12), (0, 10), (0, 3))
        assert slice_metrics(mask, NOTHING, BRAIN, 2)["false_positive_rate_free_slices"] == pytest.approx(100 / 2000)

    @pytest.mark.filterwarnings("error")
    def test_without_lesion_or_without_free_slices_is_nan(self):
        healthy = slice_metrics(BRAIN, NOTHING, BRAIN, 2)
        assert np.isnan(healthy["dice_lesion_slices"]) and healthy["false_positive_rate_free_slices"] == 1
        everywhere = slice_metrics(NOTHING, BRAIN, BRAIN, 2)
        assert everywhere["dice_lesion_slices"] == 0 and np.isnan(everywhere["false_positive_rate_free_slices"])

    def test_other_grids_are_refused(self):
        for volumes in ((NOTHING, NOTHING, NOTHING[:, :, 1:]), (NOTHING[..., 0],) * 3):
            with pytest.raises(ValueError, match="3D on one grid"):
                slice_metrics(*volumes, 0)


class TestByHeight:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("direction", [1, -1])
    def test_counted_by_hand(self, axis: int, direction: int):
        label = box((2, 4), (2, 4), (9, 12))  # slices 9 to 11: all of the third tenth and half of the fourth
        mask = box((1, 11), (0, 10), (5, 6)) | box((1, 6), (0, 1), (12, 13)) | box((1, 3), (0, 10), (23, 25)) | label
        turned = [np.moveaxis(volume, 2, axis) for volume in (mask, label, BRAIN)]
        turned = [np.flip(volume, axis) if direction == -1 else volume for volume in turned]
        expected = [100 / 200, 0, np.nan, 5 / 100, 0, 0, 0, 0, 0, 40 / 200]
        np.testing.assert_allclose(rates_by_height(*turned, axis, direction), expected)
        counts = free_voxels_by_height(*turned, axis, direction)
        assert counts.tolist() == [[100, 0, 0, 5, 0, 0, 0, 0, 0, 40], [200, 200, 0, 100, *[200] * 6]]

    @pytest.mark.parametrize(
        ("slices", "tenths"),
        [(1, [5]), (2, [2, 7]), (5, [1, 3, 5, 7, 9]), (10, list(range(10))), (4, [1, 3, 6, 8])],
    )
    def test_few_slices_lie_where_their_centres_are(self, slices: int, tenths: list[int]):
        brain = box((0, 12), (0, 10), (7, 7 + slices))
        counts = free_voxels_by_height(brain, NOTHING, brain, 2)
        assert np.flatnonzero(counts[1]).tolist() == tenths and (counts[0] == counts[1]).all()

    def test_gap_in_the_brain_does_not_shift_the_heights(self):
        brain = BRAIN.copy()
        brain[:, :, 12:18] = 0
        rates = rates_by_height(box((1, 11), (0, 10), (23, 25)), NOTHING, brain, 2)
        assert rates[9] == 1 and np.isnan(rates[4:6]).all() and (rates[[0, 1, 2, 7, 8]] == 0).all()

    def test_counts_are_those_of_the_free_slices(self):
        generator = np.random.default_rng(0)
        mask, brain = (generator.random(SHAPE) < share for share in (0.3, 0.7))
        label = (generator.random(SHAPE) < 0.5) & (generator.random(SHAPE[2]) < 0.4)
        marked, counted = free_voxels_by_height(mask, label, brain, 2).sum(axis=1)
        rate = slice_metrics(mask, label, brain, 2)["false_positive_rate_free_slices"]
        assert marked / counted == pytest.approx(rate)

    @pytest.mark.filterwarnings("error")
    def test_empty_brain(self):
        assert np.isnan(rates_by_height(BRAIN, NOTHING, NOTHING, 2)).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hausdorff_distance_is_that_of_the_slices_whatever_their_distance(axis: int):
    label = box((2, 6), (2, 4), (10, 13))
    mask = box((4, 8), (2, 4), (10, 11)) | box((2, 6), (5, 7), (11, 12)) | box((0, 2), (0, 2), (20, 21))
    volumes = [np.moveaxis(volume, 2, axis) for volume in (mask, label)]
    spacing = np.insert([2.0, 3.0], axis, 50.0)
    # Moved by 2 voxels of 2 mm along X in one slice, by 3 of 3 mm along Y in another; slice 12 is missed.
    assert hd95_in_plane(*volumes, spacing, axis) == pytest.approx((4 + 9) / 2)
    assert np.isnan(hd95_in_plane(NOTHING, label, (1, 1, 1), 2))
