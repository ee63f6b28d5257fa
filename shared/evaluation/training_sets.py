"""What a training set is worth: networks trained on it with several seeds, measured on the same held-out cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..radiographs.door import CLASSES
from .statistics import Interval, percentile_interval

Rows = Sequence[Mapping[str, Any]]  # the cases of a report.json

_UNKNOWN = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Measure:
    """A measure over held-out cases.

    Args:
        title: with its unit.
        column: of the rows, a number per case.
        of_class: 0 or 1 where it is about the cases of one class.
        is_auc: the area under the ROC curve of the column; otherwise it is the mean.
        is_compared: paired differences between training sets are of interest.
    """

    title: str
    column: str
    of_class: int | None = None
    is_auc: bool = False
    is_compared: bool = False


MEASURES = {
    "resnet34": (
        Measure("accuracy", "correct", is_compared=True),
        Measure("sensitivity", "correct", of_class=1),
        Measure("specificity", "correct", of_class=0),
        Measure("AUC", "probability", is_auc=True, is_compared=True),
    ),
    "unet": (
        Measure("lesion Dice", "lesion_dice", of_class=1, is_compared=True),
        Measure("lesion HD95, pixels", "lesion_hd95_pixels", of_class=1),
        Measure("lesion recall", "lesion_found", of_class=1),
        Measure("lesion pixels marked in a normal", "false_positive_pixels", of_class=0),
        Measure("tibia Dice", "tibia_dice"),
    ),
}


def mean_by_seed(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over cases of each seed in each resample.

    Args:
        values: ``S N``, of each seed and case; NaN is left out.
        counts: ``R N``, how often each resample holds each case.

    Returns:
        ``S R``, NaN where a resample holds no value.
    """
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return (np.where(known, values, 0) @ counts.T) / (known @ counts.T)


def auc_by_seed(probabilities: np.ndarray, is_positive: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each seed in each resample: P(positive > negative) + P(equal) / 2 over all pairs.

    Args:
        probabilities: ``S N``.
        is_positive: ``N`` bool.
        counts: ``R N``, how often each resample holds each case.

    Returns:
        ``S R`` in [0, 1], NaN where a resample lacks positives or negatives.
    """
    positive, negative = probabilities[:, is_positive, None], probabilities[:, None, ~is_positive]
    wins = (positive > negative) + 0.5 * (positive == negative)
    of_positive, of_negative = counts[:, is_positive], counts[:, ~is_positive]
    won = np.stack([((of_positive @ seed) * of_negative).sum(axis=1) for seed in wins])
    with np.errstate(invalid="ignore"):
        return won / (of_positive.sum(axis=1) * of_negative.sum(axis=1))


def resampled_counts(is_positive: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each case occurs: in row 0 once, in the others as drawn, each class apart as in `class_metrics`.

    Args:
        is_positive: ``N`` bool.
        resamples: number ``R``.
        seed: of the drawing.

    Returns:
        ``R+1 N`` float64.
    """
    generator = np.random.default_rng(seed)
    counts = np.ones((resamples + 1, is_positive.size))
    for members in (np.flatnonzero(is_positive), np.flatnonzero(~is_positive)):
        if members.size:
            shares = np.full(members.size, 1 / members.size)
            counts[1:, members] = generator.multinomial(members.size, shares, size=resamples)
    return counts


def compare_training_sets(
    measures: Sequence[Measure],
    arms: Mapping[str, Sequence[Rows]],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Measure each arm (training set), and compare it with the first one on the same cases.

    Held-out cases are resampled, and seeds averaged within each resample: the interval says how far the answer depends
    on the cases, the range of the seeds how far it depends on the training. All arms see the same resamples.

    Args:
        measures: as in `MEASURES`.
        arms: name to the rows of each seed; of every row ``case_id``, ``class`` and the columns of the measures, None
            or NaN where a case has no value.
        confidence, resamples, seed: as in `statistics.bootstrap_interval`.

    Returns:
        A row for each arm and measure: ``arm``, ``measure``, ``estimate`` (mean over seeds) with ``low`` and ``high``,
        ``lowest_seed``, ``highest_seed``, ``values`` and ``possible_values`` (over all seeds; those that are missing
        are left out of the means), and of compared measures ``difference`` to the first arm with its ``low`` and
        ``high``. NaN where undefined; intervals are NaN where one case is all there is of a class.

    Raises:
        ValueError: the runs are of different cases, or confidence is not in (0, 1).
    """
    case_ids, is_positive = _common_cases(arms)
    counts = resampled_counts(is_positive, resamples, seed)
    rows = []
    for measure in measures:
        is_meant = np.ones_like(is_positive) if measure.of_class is None else is_positive == bool(measure.of_class)
        first = None
        for arm, runs in arms.items():
            values = np.where(is_meant, [_column(run, measure.column, case_ids) for run in runs], np.nan)
            by_seed = auc_by_seed(values, is_positive, counts) if measure.is_auc else mean_by_seed(values, counts)
            means = mean_by_seed(by_seed.T, np.ones((1, len(runs))))[:, 0]  # a seed without any value is left out
            first = means if first is None else first
            has_value = np.asarray(np.isfinite(values).any(axis=0))
            spread = 1 not in (has_value[is_positive].sum(), has_value[~is_positive].sum())
            estimate = _interval(means, spread, confidence)
            difference = _interval(means - first, spread, confidence) if measure.is_compared else _UNKNOWN
            row = {"arm": arm, "measure": measure.title, **estimate._asdict()}
            row |= {"lowest_seed": np.fmin.reduce(by_seed[:, 0]), "highest_seed": np.fmax.reduce(by_seed[:, 0])}
            row |= {"values": int(np.isfinite(values).sum()), "possible_values": int(is_meant.sum()) * len(runs)}
            row |= {"difference": difference.estimate}
            rows.append(row | {"difference_low": difference.low, "difference_high": difference.high})
    return rows


def evenly_by_size(sizes: np.ndarray, count: int) -> np.ndarray:
    """Indices of at most ``count`` of the ``N`` sizes, evenly spaced in their order, the smallest and largest too."""
    places = np.unique(np.linspace(0, len(sizes) - 1, count).round().astype(int))
    return np.argsort(sizes, kind="stable")[places]


def _common_cases(arms: Mapping[str, Sequence[Rows]]) -> tuple[list[str], np.ndarray]:
    """Ids of the cases, which all runs share, and which of them are of class 1."""
    runs = {f"{arm} (run {number})": rows for arm, seeds in arms.items() for number, rows in enumerate(seeds)}
    (first, rows), *others = runs.items()
    classes = {row["case_id"]: row["class"] == CLASSES[1] for row in rows}
    for name, other in others:
        if differing := classes.keys() ^ {row["case_id"] for row in other}:
            few = ", ".join(sorted(differing)[:5])
            raise ValueError(f"{name} and {first} are of different cases ({few}): evaluate both on one list")
    return list(classes), np.array(list(classes.values()), dtype=bool)


def _column(rows: Rows, column: str, case_ids: Sequence[str]) -> np.ndarray:
    values = {row["case_id"]: np.nan if row[column] is None else float(row[column]) for row in rows}
    return np.array([values[case_id] for case_id in case_ids])


def _interval(means: np.ndarray, spread: bool, confidence: float) -> Interval:
    """Of the estimate and its replicates ``R+1``; resamples without any value are left out."""
    estimate, replicates = means[0], means[1:][np.isfinite(means[1:])]
    if not spread or not replicates.size:
        return Interval(float(estimate), np.nan, np.nan)
    return percentile_interval(estimate, replicates, confidence)
