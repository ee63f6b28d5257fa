"""Detection metrics over cases: does the score of a volume tell anomalous from healthy?"""

from __future__ import annotations

import numpy as np

from .ranking import area_under_roc, average_precision, counts_at_thresholds
from .statistics import Interval, percentile_interval


def detection_metrics(scores: np.ndarray, is_anomalous: np.ndarray) -> dict[str, float]:
    """Rank cases by their score.

    Args:
        scores: `N`, one per case, higher means more anomalous, in any unit.
        is_anomalous: `N`, bool.

    Returns:
        auroc, auprc (average precision), and fpr_at_tpr_80, fpr_at_tpr_90: the false-positive rate at the highest
        threshold whose true-positive rate is at least 0.8 or 0.9. All in [0, 1]; all NaN where the cases are all
        anomalous or all healthy.

    Raises:
        ValueError: the arrays are empty, differ in shape or are not one-dimensional, or a score is NaN.
    """
    _, true_positives, false_positives = counts_at_thresholds(scores, is_anomalous)
    return {
        "auroc": area_under_roc(true_positives, false_positives),
        "auprc": average_precision(true_positives, false_positives),
        "fpr_at_tpr_80": _fpr_at_tpr(true_positives, false_positives, 0.8),
        "fpr_at_tpr_90": _fpr_at_tpr(true_positives, false_positives, 0.9),
    }


def detection_intervals(
    scores: np.ndarray, is_anomalous: np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Bootstrap `detection_metrics` over cases.

    Anomalous and healthy cases are resampled apart: their numbers were chosen, not drawn, and every resample then
    holds both.

    Args:
        scores, is_anomalous: as in `detection_metrics`.
        confidence, resamples, seed: as in `statistics.bootstrap_interval`.

    Returns:
        (estimate, low, high) under the keys of `detection_metrics`.

    Raises:
        ValueError: as in `detection_metrics`, or confidence is not in (0, 1).
    """
    scores, is_anomalous = np.asarray(scores), np.asarray(is_anomalous, dtype=bool)
    estimates = detection_metrics(scores, is_anomalous)
    generator = np.random.default_rng(seed)
    groups = [group for group in (np.flatnonzero(is_anomalous), np.flatnonzero(~is_anomalous)) if group.size]
    replicates = []
    for _ in range(resamples):
        drawn = np.concatenate([generator.choice(group, size=group.size) for group in groups])
        replicates.append(detection_metrics(scores[drawn], is_anomalous[drawn]))
    return {
        key: percentile_interval(estimate, np.array([replicate[key] for replicate in replicates]), confidence)
        for key, estimate in estimates.items()
    }


def paired_replicates(
    healthy: np.ndarray, anomalous: np.ndarray, resamples: int = 2000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Bootstrap AUROC and AUPRC over subjects that are there twice, healthy and made anomalous.

    Subjects are resampled, each with both of its scores. Equal seeds draw equal subjects, so that replicates of
    several scores can be averaged and subtracted. A subject drawn twice meets itself four times: replicates lean by
    about 1 / N towards the comparison of subjects with themselves.

    Args:
        healthy, anomalous: `N`, scores of the same subjects in the same order, higher means more anomalous.
        resamples, seed: as in `statistics.bootstrap_interval`.

    Returns:
        auroc and auprc, `1 + R` each, that of the subjects themselves first.
    """
    healthy, anomalous = np.asarray(healthy), np.asarray(anomalous)
    size = healthy.size
    drawn = np.random.default_rng(seed).integers(size, size=(resamples, size))
    times = np.stack([np.bincount(subjects, minlength=size) for subjects in (np.arange(size), *drawn)])  # 1+R N
    # For each anomalous score how many are not below it: the same sums as of `ranking`, of all resamples at once.
    true, false = (times @ (scores[:, None] >= anomalous) for scores in (anomalous, healthy))
    precision = true / np.maximum(true + false, 1)
    above = (anomalous > healthy[:, None]) + 0.5 * (anomalous == healthy[:, None])
    return {
        "auroc": (times @ above * times).sum(axis=1) / size**2,
        "auprc": (times * precision).sum(axis=1) / size,
    }


def _fpr_at_tpr(true_positives: np.ndarray, false_positives: np.ndarray, target: float) -> float:
    positives, negatives = int(true_positives[-1]), int(false_positives[-1])
    if positives == 0 or negatives == 0:
        return float("nan")
    return float(false_positives[np.argmax(true_positives / positives >= target)] / negatives)
