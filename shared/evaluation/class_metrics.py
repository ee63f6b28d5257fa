"""How well a classifier tells two classes of images apart, with intervals over cases."""

from __future__ import annotations

import numpy as np

from .detection import detection_intervals
from .statistics import Interval, share


def class_metrics(
    probabilities: np.ndarray,
    labels: np.ndarray,
    threshold: float = 0.5,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Accuracy, sensitivity and specificity with Wilson's intervals, and AUC with a bootstrap as `detection_intervals`.

    The accuracy is that of this mix of classes; its interval is that of a share of all cases, which is a little wide
    where the numbers of the two were chosen. Cases are taken to be independent; give one per patient.

    Args:
        probabilities: `N`, of class 1, in [0, 1].
        labels: `N`, 0 or 1 (the class that sensitivity is about).
        threshold: a case is called class 1 from this probability on; AUC does not depend on it.
        confidence: in (0, 1).
        resamples, seed: of the AUC, as in `statistics.bootstrap_interval`.

    Returns:
        (estimate, low, high) under accuracy, sensitivity, specificity and auc, all in [0, 1].

    Raises:
        ValueError: the arrays differ in shape or are not one-dimensional, a probability is not in [0, 1], a label is
            neither 0 nor 1, all cases are of one class, or confidence is not in (0, 1).
    """
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities.ndim != 1 or probabilities.shape != labels.shape:
        raise ValueError(
            f"probabilities and labels must be one-dimensional and of one length, one entry per case, "
            f"got shapes {probabilities.shape} and {labels.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be in [0, 1] without NaN; of logits, take the softmax or sigmoid first")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, got {np.unique(labels).tolist()}")
    is_positive = labels == 1
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        raise ValueError(
            f"there are {positives} cases of class 1 and {negatives} of class 0; add cases of the class that is missing"
        )
    is_called = probabilities >= threshold
    is_right = is_called == is_positive
    called_right = {"accuracy": is_right, "sensitivity": is_right[is_positive], "specificity": is_right[~is_positive]}
    intervals = {key: share(hits, confidence) for key, hits in called_right.items()}
    intervals["auc"] = detection_intervals(probabilities, is_positive, confidence, resamples, seed)["auroc"]
    return intervals
