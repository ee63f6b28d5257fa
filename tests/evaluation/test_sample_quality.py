"""Measures of generated radiographs against closed forms and against sets whose answer was built in."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation.kernel_distance import kernel_distance
from shared.evaluation.real_or_generated import real_or_generated_auc
from shared.evaluation.sample_quality import (
    class_agreement,
    class_matched,
    feature_metrics,
    mask_agreement,
    memorisation_metrics,
    nearest_training,
    refuse_copies,
)
from shared.runs.errors import DataListError
from tests.helpers.described_sets import described

NAMES = ("normal", "fracture")


def labels(normals: int, fractures: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat([0, 1], [normals, fractures]))


@pytest.mark.parametrize(
    "there, like, expected",
    [
        ((60, 60), (50, 20), (60, 24)),
        ((100, 10), (50, 20), (25, 10)),
        ((9, 8), (5, 0), (9, 0)),
        ((7, 7), (3, 3), (7, 7)),
    ],
)
def test_as_many_cases_as_have_the_class_mix_are_chosen(there, like, expected):
    of = labels(*there)
    chosen = class_matched(of, labels(*like))
    assert np.bincount(of[chosen], minlength=2).tolist() == list(expected)
    assert (np.diff(chosen) > 0).all()
    if expected != there and 0 not in expected:
        assert not np.array_equal(chosen, class_matched(of, labels(*like), seed=1))
        assert np.array_equal(chosen, class_matched(of, labels(*like), seed=0))


def test_a_class_that_is_missing_cannot_be_matched():
    for missing, there in ((1, (5, 0)), (0, (0, 5))):
        with pytest.raises(ValueError, match=f"no case of class {missing} to match.*match_classes false"):
            class_matched(labels(*there), labels(2, 2))


def test_agreement_is_that_of_the_compared_samples_and_of_each_class():
    samples = described(0, [0, 0, 0, 1, 1], probabilities=np.array([0.1, 0.2, 0.9, 0.5, 0.4]))
    held_out = described(1, [0, 1, 1], probabilities=np.array([0.6, 0.7, 0.8]))
    found = class_agreement(samples, held_out, np.array([0, 1, 3, 4]), NAMES)
    assert {name: interval.estimate for name, interval in found.items()} == pytest.approx(
        {
            "agreement": 3 / 4,
            "agreement_normal": 2 / 3,
            "agreement_fracture": 1 / 2,
            "held_out_agreement": 2 / 3,
            "held_out_agreement_normal": 0,
            "held_out_agreement_fracture": 1,
        }
    )


def test_dice_is_of_the_compared_samples_and_of_all_lesions():
    samples = described(0, [0, 1, 1], dice=np.array([[0.9, np.nan], [0.5, 0.2], [0.1, 0.6]]))
    held_out = described(1, [1, 0, 0], dice=np.array([[0.8, 0.1], [0.6, np.nan], [0.4, np.nan]]))
    found = mask_agreement(samples, held_out, np.array([0, 1]))
    assert {name: interval.estimate for name, interval in found.items()} == pytest.approx(
        {
            "dice_tibia": 0.7,
            "held_out_dice_tibia": 0.6,
            "dice_tibia_difference": 0.1,
            "dice_lesion": 0.4,
            "held_out_dice_lesion": 0.1,
            "dice_lesion_difference": 0.3,
        }
    )
    assert found["dice_tibia"].low < 0.7 < found["dice_tibia"].high


def test_the_nearest_training_image_may_be_mirrored_across_and_not_upside_down():
    training = described(0, [0] * 5).radiographs
    queries = np.stack([training[3] + 0.01, training[0, :, ::-1] - 0.02, training[2, ::-1]])
    distances, indices, mirrored = nearest_training(queries, training)
    assert indices[:2].tolist() == [3, 0] and mirrored[:2].tolist() == [False, True]
    assert distances[:2] == pytest.approx([0.01 * 32, 0.02 * 32], rel=1e-3)  # of a constant over 32 x 32 pixels
    assert distances[2] > 1


def test_copies_of_training_images_are_near_and_independent_images_are_not():
    generator = np.random.default_rng(0)
    held_out, copies = generator.uniform(4, 8, 400), np.full(300, 0.5)
    found = memorisation_metrics(copies, held_out)
    assert found["nearest_distance"] == (0.5, 0.5, 0.5) and found["near_share"].estimate == 1
    assert found["held_out_nearest_distance"].estimate == np.median(held_out)
    assert found["nearest_distance_ratio"].estimate == pytest.approx(0.5 / np.median(held_out))
    alike = memorisation_metrics(generator.uniform(4, 8, 300), held_out)
    assert alike["nearest_distance_ratio"].low < 1 < alike["nearest_distance_ratio"].high
    assert alike["near_share"].low < 0.05 < alike["near_share"].high < 0.15
    assert memorisation_metrics(copies, held_out, seed=1) != found


def test_a_held_out_radiograph_among_the_training_images_is_leakage():
    with pytest.raises(DataListError, match=r"1 held-out .* training images \(b\): leakage"):
        refuse_copies(np.array([0.5, 0.0, 1e-3]), ["a", "b", "c"])
    refuse_copies(np.array([0.5, 1e-9]), ["a", "b"])


def test_features_are_compared_with_the_held_out_ones_and_the_floor_is_that_of_the_training_images():
    generator = np.random.default_rng(0)
    samples, reference, held_out = (generator.normal(mean, 1, (40, 6)) for mean in (2.0, 0.0, 0.0))
    found = feature_metrics(samples, reference, held_out, permutations=10, seed=3)
    assert found["kernel_distance"] == kernel_distance(samples, held_out, seed=3)
    assert found["reference_kernel_distance"] == kernel_distance(reference, held_out, seed=3)
    assert found["reference_kernel_distance"].high < found["kernel_distance"].low
    auc, chance = real_or_generated_auc(held_out, samples, permutations=10, seed=3)
    assert found["real_or_generated_auc"].estimate == auc > 0.99 and np.isnan(found["real_or_generated_auc"][1:]).all()
    assert found["real_or_generated_auc_by_chance"] == chance
