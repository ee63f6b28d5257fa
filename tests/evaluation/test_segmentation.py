"""Segmentation metrics against geometry that can be worked out by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import distance

from shared.evaluation.segmentation import best_dice, ranking_metrics, segmentation_metrics

ISOTROPIC = (1.0, 1.0, 1.0)


def box(start, size, shape=(24, 24, 24)):
    volume = np.zeros(shape, dtype=bool)
    volume[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = True
    return volume


def ball(radius_mm, spacing, shape):
    grid = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, spacing, strict=True)), indexing="ij"
    )
    return sum(axis**2 for axis in grid) <= radius_mm**2


def test_identical_masks_are_perfect():
    cube = box((4, 5, 6), (3, 4, 5))
    metrics = segmentation_metrics(cube, cube, (1.0, 2.0, 0.5))
    for key in ("dice", "iou", "precision", "recall", "lesion_precision", "lesion_recall", "lesion_f1"):
        assert metrics[key] == 1
    assert metrics["hd95_mm"] == metrics["assd_mm"] == metrics["false_positive_ml"] == 0
    assert metrics["volume_ml"] == metrics["label_ml"] == pytest.approx(0.060)


def test_overlap_of_shifted_cubes():
    # Cubes of 4x4x4, shifted by one voxel: 48 of 64 voxels in common.
    metrics = segmentation_metrics(box((5, 4, 4), (4, 4, 4)), box((4, 4, 4), (4, 4, 4)), (2.0, 2.0, 2.0))
    assert metrics["dice"] == metrics["precision"] == metrics["recall"] == 0.75
    assert metrics["iou"] == pytest.approx(0.6)
    assert metrics["false_positive_ml"] == pytest.approx(16 * 8 / 1000)


def test_precision_and_recall_are_not_swapped():
    metrics = segmentation_metrics(box((4, 4, 4), (2, 4, 4)), box((4, 4, 4), (4, 4, 4)), ISOTROPIC)
    assert metrics["precision"] == 1 and metrics["recall"] == 0.5
    assert metrics["dice"] == pytest.approx(2 / 3)
    assert metrics["volume_ml"] == pytest.approx(0.032) and metrics["label_ml"] == pytest.approx(0.064)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parallel_planes_are_their_distance_apart_in_mm(axis):
    spacing = (0.5, 1.0, 3.0)
    size, start = [24, 24, 24], [0, 0, 0]
    size[axis], start[axis] = 1, 4
    plane = box(start, size)
    metrics = segmentation_metrics(np.roll(plane, 5, axis=axis), plane, spacing)
    assert metrics["hd95_mm"] == metrics["assd_mm"] == pytest.approx(5 * spacing[axis])


def test_assd_of_shifted_cubes_is_worked_out_by_hand():
    # Cubes of 3x3x3 voxels, one shifted along x: surfaces of 26 voxels (all but the centre). Of the shifted one's
    # voxels, 9 lie one step outside the other, 1 is the other's centre, one face step away along the nearest axis
    # (0.5 mm), and 16 lie on its surface. By symmetry the other direction is the same.
    spacing = (2.0, 0.5, 1.0)
    metrics = segmentation_metrics(box((5, 4, 4), (3, 3, 3)), box((4, 4, 4), (3, 3, 3)), spacing)
    assert metrics["assd_mm"] == pytest.approx((9 * 2.0 + 1 * 0.5) / 26)
    assert metrics["hd95_mm"] == pytest.approx(2.0)


def test_concentric_balls_on_an_anisotropic_grid():
    spacing, shape = (1.0, 1.0, 2.0), (60, 60, 30)
    metrics = segmentation_metrics(ball(24, spacing, shape), ball(16, spacing, shape), spacing)
    assert metrics["assd_mm"] == pytest.approx(8, abs=0.5)
    assert metrics["hd95_mm"] == pytest.approx(8, abs=1.2)
    assert metrics["dice"] == pytest.approx(2 * 16**3 / (16**3 + 24**3), abs=0.01)


def test_surface_distances_equal_brute_force_over_all_pairs_of_surface_voxels():
    spacing = (0.9, 1.1, 3.0)
    generator = np.random.default_rng(0)
    mask, label = (ndimage.gaussian_filter(generator.normal(size=(20, 20, 20)), 2) > 0.05 for _ in range(2))

    def surface(volume):
        return np.argwhere(volume & ~ndimage.binary_erosion(volume)) * spacing

    pairs = distance.cdist(surface(mask), surface(label))
    from_mask, from_label = pairs.min(axis=1), pairs.min(axis=0)
    expected_hd95 = max(np.percentile(from_mask, 95), np.percentile(from_label, 95))
    for metrics in (segmentation_metrics(mask, label, spacing), segmentation_metrics(label, mask, spacing)):
        assert metrics["assd_mm"] == pytest.approx(np.concatenate([from_mask, from_label]).mean(), rel=1e-5)
        assert metrics["hd95_mm"] == pytest.approx(expected_hd95, rel=1e-5)


def test_assd_is_an_average_over_surfaces_not_volumes():
    # A cube of 10 grown by 2 along x. ITK's average Hausdorff distance is 100 * (1 + 2) / 1200 one way and 0 the other,
    # 0.125 on average. Of the large surface (560 voxels) 100 are 2 and 36 are 1 away from the small one; of the small
    # surface (488) 28 are 1 and 36 are 2 away from the large one, those of the face that the growth has covered.
    small, large = box((4, 4, 4), (10, 10, 10)), box((4, 4, 4), (12, 10, 10))
    expected = (100 * 2 + 36 * 1 + 28 * 1 + 36 * 2) / (560 + 488)
    assert segmentation_metrics(large, small, ISOTROPIC)["assd_mm"] == pytest.approx(expected)


def test_surface_distances_at_the_edge_of_the_volume():
    metrics = segmentation_metrics(box((0, 0, 0), (1, 24, 24)), box((23, 0, 0), (1, 24, 24)), ISOTROPIC)
    assert metrics["hd95_mm"] == metrics["assd_mm"] == 23


def test_lesion_is_found_from_a_tenth_of_it():
    lesion = box((2, 2, 2), (10, 1, 1))
    assert segmentation_metrics(box((2, 2, 2), (1, 1, 1)), lesion, ISOTROPIC)["lesion_recall"] == 1
    longer = box((2, 2, 2), (11, 1, 1))
    metrics = segmentation_metrics(box((2, 2, 2), (1, 1, 1)), longer, ISOTROPIC)
    assert metrics["lesion_recall"] == 0 and metrics["lesion_f1"] == 0
    assert metrics["lesion_precision"] == 1  # one common voxel makes the component a true positive


def test_lesion_counts():
    label = box((2, 2, 2), (3, 3, 3)) | box((10, 10, 10), (3, 3, 3)) | box((18, 2, 2), (2, 2, 2))
    mask = (
        box((2, 2, 2), (3, 3, 3))
        | box((10, 10, 10), (1, 3, 3))
        | box((2, 18, 2), (2, 2, 2))
        | box((2, 2, 18), (1, 1, 1))
    )
    metrics = segmentation_metrics(mask, label, ISOTROPIC)
    assert metrics["lesion_recall"] == pytest.approx(2 / 3)
    assert metrics["lesion_precision"] == pytest.approx(2 / 4)
    assert metrics["lesion_f1"] == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))


def test_voxels_that_share_a_corner_are_one_lesion():
    label = box((2, 2, 2), (1, 1, 1)) | box((3, 3, 3), (1, 1, 1))
    assert segmentation_metrics(box((2, 2, 2), (1, 1, 1)), label, ISOTROPIC)["lesion_recall"] == 1  # half of one


NOTHING, SOMETHING = box((0, 0, 0), (0, 0, 0)), box((4, 4, 4), (2, 2, 2))


@pytest.mark.parametrize(
    ("mask", "label", "expected"),
    [
        (NOTHING, NOTHING, {"dice": 1, "iou": 1, "volume_ml": 0, "label_ml": 0, "false_positive_ml": 0}),
        (
            SOMETHING,
            NOTHING,
            {
                "dice": 0,
                "iou": 0,
                "precision": 0,
                "lesion_precision": 0,
                "volume_ml": 0.008,
                "label_ml": 0,
                "false_positive_ml": 0.008,
            },
        ),
        (
            NOTHING,
            SOMETHING,
            {
                "dice": 0,
                "iou": 0,
                "recall": 0,
                "lesion_recall": 0,
                "lesion_f1": 0,
                "volume_ml": 0,
                "label_ml": 0.008,
                "false_positive_ml": 0,
            },
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_empty_rules(mask, label, expected):
    metrics = segmentation_metrics(mask, label, ISOTROPIC)
    assert {key: value for key, value in metrics.items() if not np.isnan(value)} == pytest.approx(expected)
    assert len(metrics) == 12


def test_a_label_of_the_whole_brain():
    everything = np.ones(SOMETHING.shape, bool)
    assert segmentation_metrics(everything, everything, ISOTROPIC)["dice"] == 1
    share = SOMETHING.mean()
    assert segmentation_metrics(SOMETHING, everything, ISOTROPIC)["dice"] == pytest.approx(2 * share / (1 + share))
    assert segmentation_metrics(NOTHING, everything, ISOTROPIC)["dice"] == 0
    metrics = ranking_metrics(np.random.default_rng(0).random(everything.shape), everything, everything)
    assert np.isnan(metrics["auroc"])


def test_values_above_zero_are_the_mask():
    label = SOMETHING.astype(np.uint8) * 255
    assert segmentation_metrics(SOMETHING.astype(np.float32), label, ISOTROPIC)["dice"] == 1


def test_grid_mismatch_and_bad_spacing_are_refused():
    with pytest.raises(ValueError, match="one grid"):
        segmentation_metrics(np.zeros((4, 4, 4)), np.zeros((4, 4, 5)), ISOTROPIC)
    for spacing in ((1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, np.nan)):
        with pytest.raises(ValueError, match="spacing"):
            segmentation_metrics(NOTHING, NOTHING, spacing)


def test_whole_brain_volume_takes_seconds_at_most():
    shape = (182, 218, 182)
    label = ball(30, ISOTROPIC, shape)
    mask = np.roll(label, 3, axis=0) | (np.random.default_rng(0).random(shape) < 0.001)
    start = time.perf_counter()
    segmentation_metrics(mask, label, ISOTROPIC)
    assert time.perf_counter() - start < 10  # well under 3 s alone; the margin is for a busy machine


def test_ranking_is_in_the_brain_only():
    anomaly_map = np.array([[[0.1, 0.4, 0.35, 0.8]]])
    label = np.array([[[0, 0, 1, 1]]])
    metrics = ranking_metrics(anomaly_map, label, np.ones_like(label))
    assert metrics["auroc"] == pytest.approx(0.75)  # three of four pairs in order
    assert metrics["auprc"] == pytest.approx((1 + 2 / 3) / 2)
    # A background of zeros would lift the AUROC towards 1; it is not read, not even where it is NaN.
    padded = [np.pad(volume, ((0, 5),) * 3) for volume in (anomaly_map, label, np.ones_like(label))]
    padded[0][padded[2] == 0] = np.nan
    assert ranking_metrics(*padded) == metrics


def test_ranking_without_lesion_is_nan():
    metrics = ranking_metrics(np.random.default_rng(0).random((3, 3, 3)), np.zeros((3, 3, 3)), np.ones((3, 3, 3)))
    assert np.isnan(metrics["auroc"]) and np.isnan(metrics["auprc"])


def test_ranking_refuses_an_empty_brain_other_grids_and_nan():
    volume = np.zeros((3, 3, 3))
    with pytest.raises(ValueError, match="brain_mask is empty"):
        ranking_metrics(volume, volume, volume)
    with pytest.raises(ValueError, match="one grid"):
        ranking_metrics(volume, volume, np.ones((3, 3, 2)))
    with pytest.raises(ValueError, match="NaN"):
        ranking_metrics(volume + np.nan, volume, volume + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("seed", range(5))
def test_best_dice_equals_brute_force(dtype, seed):
    generator = np.random.default_rng(seed)
    label = generator.random((6, 6, 6)) < 0.1
    brain = generator.random((6, 6, 6)) < 0.8  # some of the label is outside, and missed
    anomaly_map = (generator.integers(-20, 20, size=(6, 6, 6)) + 8 * label).astype(dtype)
    dice, threshold = best_dice(anomaly_map, label, brain)
    masks = [(anomaly_map >= value) & brain for value in np.unique(anomaly_map)]
    highest = max(segmentation_metrics(mask, label, ISOTROPIC)["dice"] for mask in masks)
    assert dice == pytest.approx(highest, abs=1e-12)
    reached = segmentation_metrics((anomaly_map > threshold) & brain, label, ISOTROPIC)["dice"]
    assert reached == pytest.approx(dice, abs=1e-12)


def test_best_dice_of_a_perfect_map_and_of_a_healthy_case():
    label = box((4, 4, 4), (3, 3, 3))
    dice, threshold = best_dice(label.astype(np.float32), label, np.ones_like(label))
    assert dice == 1 and 0 < threshold < 1
    assert np.isnan(best_dice(label.astype(np.float32), NOTHING, np.ones_like(label))).all()
