"""Exact areas under the ROC and precision-recall curves, ties included.

`monai.metrics.compute_roc_auc` and `compute_average_precision` give the same values, but walk the scores in a Python
loop (over a second each for the two million voxels of one brain), and the counts serve the oracle Dice as well.
"""

from __future__ import annotations

import numpy as np


def counts_at_thresholds(scores: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count true and false positives of `scores >= threshold` at every distinct score.

    Args:
        scores: `N`, higher means more anomalous, any finite or infinite values.
        is_positive: `N`, bool.

    Returns:
        thresholds (`K`, descending, distinct), true positives (`K`, int), false positives (`K`, int).

    Raises:
        ValueError: the arrays are empty, differ in shape or are not one-dimensional, or a score is NaN.
    """
    scores, is_positive = np.asarray(scores), np.asarray(is_positive, dtype=bool)
    if scores.ndim != 1 or scores.shape != is_positive.shape or scores.size == 0:
        raise ValueError(
            f"scores and is_positive must be one-dimensional, of one length and not empty, "
            f"got shapes {scores.shape} and {is_positive.shape}"
        )
    is_nan = np.isnan(scores)
    if is_nan.any():
        raise ValueError(
            f"{is_nan.sum()} of {scores.size} scores are NaN (first at index {is_nan.argmax()}); "
            "leave those entries out, or find out why the method returned no number there"
        )
    order = np.argsort(scores)[::-1]
    descending = scores[order]
    # Equal scores enter together, so a curve has one point per distinct score.
    last_of_tie = np.append(np.flatnonzero(descending[1:] != descending[:-1]), scores.size - 1)
    true_positives = np.cumsum(is_positive[order])[last_of_tie]
    return descending[last_of_tie], true_positives, last_of_tie + 1 - true_positives


def area_under_roc(true_positives: np.ndarray, false_positives: np.ndarray) -> float:
    """Area under the ROC curve in [0, 1] by the trapezoidal rule: P(positive > negative) + P(equal) / 2.

    Args:
        true_positives, false_positives: `K`, counts at descending thresholds, the last of which takes everything in
            (see `counts_at_thresholds`).

    Returns:
        the area, NaN where there is no positive or no negative.
    """
    positives, negatives = int(true_positives[-1]), int(false_positives[-1])
    if positives == 0 or negatives == 0:
        return float("nan")
    new_false_positives = np.diff(false_positives, prepend=0)
    mean_true_positives = (true_positives + np.append(0, true_positives[:-1])) / 2
    return float(np.sum(new_false_positives * mean_true_positives) / positives / negatives)


def average_precision(true_positives: np.ndarray, false_positives: np.ndarray) -> float:
    """Area under the precision-recall curve in [0, 1] as average precision, the sum of (R_k - R_k-1) P_k.

    There is no interpolation between the points, which would be too favourable (Davis and Goadrich, ICML 2006).
    The value of a map without information is the prevalence of the positives.

    Args:
        true_positives, false_positives: `K`, counts as in `area_under_roc`.

    Returns:
        the area, NaN where there is no positive or no negative.
    """
    positives, negatives = int(true_positives[-1]), int(false_positives[-1])
    if positives == 0 or negatives == 0:
        return float("nan")
    precision = true_positives / (true_positives + false_positives)
    return float(np.sum(np.diff(true_positives, prepend=0) * precision) / positives)
