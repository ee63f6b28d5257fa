"""Comparison of training sets: tables of a few cases whose means, differences and intervals are known."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from shared.evaluation.ranking import area_under_roc, counts_at_thresholds
from shared.evaluation.statistics import mean_interval, paired_difference
from shared.evaluation.training_sets import (
    MEASURES,
    Measure,
    auc_by_seed,
    compare_training_sets,
    evenly_by_size,
    over_seeds,
    resampled_counts,
)

CLASSES = ["normal", "fracture"]


def rows(labels: list[int], **columns: list) -> list[dict]:
    """Cases c0, c1, ... of one run."""
    return [
        {"case_id": f"c{n}", "class": CLASSES[label], **{key: column[n] for key, column in columns.items()}}
        for n, label in enumerate(labels)
    ]


def by_name(table: list[dict]) -> dict[tuple[str, str], dict]:
    return {(row["arm"], row["measure"]): row for row in table}


def classified(labels: list[int], probabilities: list[float]) -> list[dict]:
    correct = [(p >= 0.5) == label for p, label in zip(probabilities, labels)]
    return rows(labels, probability=probabilities, correct=correct)


class TestBySeed:
    def test_cases_have_their_mean_over_seeds(self):
        values = np.random.default_rng(0).random((3, 7))
        np.testing.assert_allclose(over_seeds(values), values.mean(axis=0))

    def test_a_seed_without_some_of_the_cases_has_the_mean_of_its_own(self):
        values = np.array([[1.0, 2.0, np.nan, np.nan], [4.0, np.nan, 8.0, np.nan], [np.nan] * 4])
        found = over_seeds(values)
        assert np.isfinite(found).tolist() == [True, True, True, False]
        assert np.nanmean(found) == pytest.approx((1.5 + 6) / 2)
        assert np.isnan(over_seeds(values[2:])).all()

    def test_auc_is_that_of_the_resampled_cases(self):
        generator = np.random.default_rng(0)
        probabilities = generator.integers(0, 6, (2, 12)) / 6  # many ties
        is_positive = np.arange(12) < 5
        counts = resampled_counts(is_positive, 20, 1)
        found = auc_by_seed(probabilities, is_positive, counts)
        for seed in range(2):
            for n, count in enumerate(counts.astype(int)):
                drawn = np.repeat(np.arange(12), count)
                _, *positives = counts_at_thresholds(probabilities[seed, drawn], is_positive[drawn])
                assert found[seed, n] == pytest.approx(area_under_roc(*positives))

    def test_auc_of_one_class_is_unknown(self):
        assert np.isnan(auc_by_seed(np.ones((1, 3)), np.ones(3, bool), np.ones((1, 3)))).all()


class TestResampling:
    def test_classes_are_drawn_apart(self):
        is_positive = np.array([True, False, True, False, False])
        counts = resampled_counts(is_positive, 4000, 0)
        assert counts.shape == (4001, 5) and (counts[0] == 1).all()
        assert (counts[:, is_positive].sum(axis=1) == 2).all() and (counts[:, ~is_positive].sum(axis=1) == 3).all()
        np.testing.assert_allclose(counts[1:].mean(axis=0), 1, atol=0.05)
        np.testing.assert_allclose(counts[1:, ~is_positive].var(axis=0), 2 / 3, atol=0.06)

    def test_the_seed_decides(self):
        is_positive = np.arange(6) < 3
        first, same, other = (resampled_counts(is_positive, 50, seed) for seed in (1, 1, 2))
        assert np.array_equal(first, same) and not np.array_equal(first, other)


class TestComparison:
    def test_classifier(self):
        labels = [1, 1, 0, 0, 0]
        reference = [classified(labels, [0.9, 0.2, 0.1, 0.3, 0.6]), classified(labels, [0.8, 0.7, 0.1, 0.2, 0.3])]
        more = [classified(labels, [0.9, 0.7, 0.1, 0.3, 0.6]), classified(labels, [0.4, 0.7, 0.1, 0.2, 0.3])]
        found = by_name(compare_training_sets(MEASURES["resnet34"], {"reference": reference, "more": more}))
        expected = {"accuracy": (0.8, 0.6, 1), "sensitivity": (0.75, 0.5, 1), "specificity": (5 / 6, 2 / 3, 1)}
        expected["AUC"] = ((4 / 6 + 1) / 2, 4 / 6, 1)
        for measure, values in expected.items():
            row = found["reference", measure]
            assert (row["estimate"], row["lowest_seed"], row["highest_seed"]) == pytest.approx(values), measure
        assert found["more", "accuracy"]["difference"] == pytest.approx((0.8 + 0.8) / 2 - 0.8)
        assert found["more", "AUC"]["difference"] == pytest.approx(1 - 5 / 6)
        assert isnan(found["more", "sensitivity"]["difference"])
        assert [found["more", m]["possible_values"] for m in expected] == [10, 4, 6, 10]

    def test_segmenter(self):
        run = rows(
            [1, 1, 1, 0, 0],
            lesion_dice=[0.5, 0.7, 0, None, None],
            lesion_hd95_pixels=[2.0, 4.0, None, None, None],
            lesion_found=[1.0, 1.0, 0.0, None, None],
            false_positive_pixels=[None, None, None, 0.0, 9.0],
            tibia_dice=[0.9, 0.8, 0.7, 0.6, 0.5],
        )
        other = [{**row, "lesion_hd95_pixels": 10.0 if row["case_id"] == "c0" else None} for row in run]
        found = {row["measure"]: row for row in compare_training_sets(MEASURES["unet"], {"reference": [run, other]})}
        expected = {"lesion Dice": 0.4, "lesion HD95, pixels": (3 + 10) / 2, "lesion recall": 2 / 3}
        expected |= {"lesion pixels marked in a normal": 4.5, "tibia Dice": 0.7}
        assert {name: row["estimate"] for name, row in found.items()} == pytest.approx(expected)
        assert [row["values"] for row in found.values()] == [6, 3, 6, 4, 10]
        assert [row["possible_values"] for row in found.values()] == [6, 6, 6, 4, 10]
        assert found["lesion HD95, pixels"]["highest_seed"] == 10

    def test_means_over_seeds_have_students_t(self):
        dice = np.random.default_rng(3).random((2, 3, 60))  # arms, seeds, fractures
        arms = [[rows([1] * 60, lesion_dice=list(run)) for run in arm] for arm in dice]
        measure = Measure("lesion Dice", "lesion_dice", of_class=1, is_compared=True)
        _, row = compare_training_sets([measure], dict(zip("ab", arms)))
        a, b = dice.mean(axis=1)
        assert [row["estimate"], row["low"], row["high"]] == pytest.approx(mean_interval(b))
        found = [row["difference"], row["difference_low"], row["difference_high"]]
        assert found == pytest.approx(paired_difference(b, a))

    def test_a_shift_of_every_case_is_a_certain_difference_in_any_order_of_rows(self):
        dice = np.linspace(0.1, 0.6, 9)
        measure = Measure("Dice", "dice", is_compared=True)
        arms = {"a": [rows([0, 1, 1] * 3, dice=list(dice))], "b": [rows([0, 1, 1] * 3, dice=list(dice + 0.2))[::-1]]}
        _, row = compare_training_sets([measure], arms)
        assert [row[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx([0.2] * 3)
        assert row["high"] - row["low"] > 0.1

    def test_missing_values(self):
        measure = Measure("x", "x", of_class=1, is_compared=True)
        (nothing,) = compare_training_sets([measure], {"a": [rows([0, 1, 1], x=[1.0, None, None])] * 2})
        assert all(isnan(nothing[key]) for key in ("estimate", "low", "lowest_seed", "difference"))
        assert (nothing["values"], nothing["possible_values"]) == (0, 4)
        (one,) = compare_training_sets([measure], {"a": [rows([0, 1, 1], x=[1.0, 3.0, None])]})
        assert one["estimate"] == 3 and isnan(one["low"]) and isnan(one["high"])
        seeds = [rows([0, 1, 1], x=[1.0, None, None]), rows([0, 1, 1], x=[1.0, 2.0, 4.0])]
        (half,) = compare_training_sets([measure], {"a": seeds})
        assert (half["estimate"], half["lowest_seed"], half["highest_seed"]) == (3, 3, 3)

    def test_different_cases(self):
        few, many = rows([0, 1], x=[1.0, 1.0]), rows([0, 1, 1], x=[1.0, 1.0, 1.0])
        with pytest.raises(ValueError, match=r"b \(run 1\) and a \(run 0\) are of different cases \(c2\)"):
            compare_training_sets([Measure("x", "x")], {"a": [few, few], "b": [few, many]})


def test_cases_are_chosen_evenly_by_size():
    sizes = np.array([50, 10, 40, 20, 30, 0])
    assert sizes[evenly_by_size(sizes, 3)].tolist() in ([0, 20, 50], [0, 30, 50])
    assert sizes[evenly_by_size(sizes, 9)].tolist() == [0, 10, 20, 30, 40, 50]
    assert evenly_by_size(np.array([7]), 8).tolist() == [0]
