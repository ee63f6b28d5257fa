"""What a training set is worth: networks trained on it with several seeds, measured on the same held-out cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..radiographs.door import CLASSES
from .statistics import UNKNOWN, Interval, mean_interval, paired_difference, percentile_interval

Rows = Sequence[Mapping[str, Any]]  # the cases of a report.json


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


def over_seeds(values: np.ndarray) -> np.ndarray:
    """One value for each case, so that their mean over cases is the mean over seeds of each seed's mean over cases.

    Without NaN that is the case's mean over seeds. A seed that knows only some of the cases tells of each of them by
    as much more, and of the others nothing.

    Args:
        values: ``S N``, of each seed and case, NaN where there is none.

    Returns:
        ``N``, NaN where no seed has a value.
    """
    known = np.isfinite(values)
    is_meant, seeds = known.any(axis=0), known.any(axis=1)
    cases = np.full(is_meant.shape, np.nan)
    if seeds.any():
        values, known = values[np.ix_(seeds, is_meant)], known[np.ix_(seeds, is_meant)]
        means = np.nanmean(values, axis=1, keepdims=True)
        parts = np.where(known, values - means, 0) / known.mean(axis=1, keepdims=True)
        cases[is_meant] = (means + parts).mean(axis=0)
    return cases


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

    The interval says how far the answer depends on the held-out cases, the range of the seeds how far it depends on the
    training. Means have Student's t over cases, of which each is averaged over seeds. For the AUC cases are resampled,
    each class apart, and all arms see the same resamples.

    Args:
        measures: as in `MEASURES`.
        arms: name to the rows of each seed; of every row ``case_id``, ``class`` and the columns of the measures, None
            or NaN where a case has no value.
        confidence: in (0, 1).
        resamples, seed: of the AUC, as in `statistics.bootstrap_interval`.

    Returns:
        A row for each arm and measure: ``arm``, ``measure``, ``estimate`` (mean over seeds) with ``low`` and ``high``,
        ``lowest_seed``, ``highest_seed``, ``values`` and ``possible_values`` (over all seeds; those that are missing
        are left out of the means), and of compared measures ``difference`` to the first arm with its ``low`` and
        ``high``. NaN where undefined; intervals are NaN where there is one case, of the AUC one of a class.

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
            if measure.is_auc:
                by_seed = auc_by_seed(values, is_positive, counts)
                means = by_seed.mean(axis=0)
                first = means if first is None else first
                spread = 1 not in (is_positive.sum(), (~is_positive).sum())
                estimate, difference = (_percentiles(of, spread, confidence) for of in (means, means - first))
            else:
                by_seed = np.array([[mean_interval(run).estimate] for run in values])
                cases = over_seeds(values)
                first = cases if first is None else first
                estimate, difference = mean_interval(cases, confidence), paired_difference(cases, first, confidence)
            difference = difference if measure.is_compared else UNKNOWN
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


def _percentiles(means: np.ndarray, spread: bool, confidence: float) -> Interval:
    """Of the estimate and its replicates ``R+1``."""
    return percentile_interval(means[0], means[1:], confidence) if spread else Interval(float(means[0]), np.nan, np.nan)
