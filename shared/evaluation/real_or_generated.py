"""Can a simple classifier tell generated from real images? A generator aims at an AUC of 0.5."""

from __future__ import annotations

import numpy as np

from .ranking import area_under_roc, counts_at_thresholds
from .statistics import Interval, percentile_interval

FOLDS = 5
SHRINKAGE = 0.1
"""Part of the covariance replaced by a multiple of the identity (Friedman, JASA 84, 1989)."""


def real_or_generated_auc(
    real: np.ndarray, generated: np.ndarray, confidence: float = 0.95, permutations: int = 200, seed: int = 0
) -> tuple[float, Interval]:
    """Five-fold cross-validated AUC of a linear discriminant of real and generated feature vectors, beside chance.

    Chance is what the same procedure finds between the same vectors after they change sets at random, so that an AUC
    beyond its range tells the sets apart. A bootstrap of the scores would be too narrow: the folds share their
    training vectors. Give real images that no generated one was made from.

    Args:
        real: `N D`, one vector per image, at least 5; there may be fewer images than features.
        generated: `M D`, at least 5.
        confidence: in (0, 1), of the range of chance.
        permutations: how often the vectors change sets.
        seed: of the folds and of the permutations.

    Returns:
        the AUC, and (mean, low, high) of those by chance.

    Raises:
        ValueError: the sets are no matrices of equal width, hold fewer than 5 vectors or a value that is not finite,
            or confidence is not in (0, 1).
    """
    shapes = np.shape(real), np.shape(generated)
    if any(len(shape) != 2 or shape[0] < FOLDS for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(f"real and generated must be matrices of one width, of {FOLDS} or more rows, got {shapes}")
    features = np.concatenate([real, generated]).astype(np.float64)
    if not np.isfinite(features).all():
        raise ValueError("features must be finite; find out for which image the network returned no number")
    is_generated, generator = np.arange(len(features)) >= len(real), np.random.default_rng(seed)
    auc = _cross_validated_auc(features, is_generated, generator)
    by_chance = [
        _cross_validated_auc(features, generator.permutation(is_generated), generator) for _ in range(permutations)
    ]
    return auc, percentile_interval(float(np.mean(by_chance)), np.array(by_chance), confidence)


def _cross_validated_auc(features: np.ndarray, is_generated: np.ndarray, generator: np.random.Generator) -> float:
    """Mean over the folds: discriminants differ in offset, and pooled their scores would be below 0.5 by chance."""
    fold, aucs = np.empty(len(features), dtype=np.int64), []
    for of_set in (is_generated, ~is_generated):
        fold[of_set] = generator.permutation(of_set.sum()) % FOLDS
    for n in range(FOLDS):
        scores = features[fold == n] @ _direction(features[fold != n], is_generated[fold != n])
        aucs.append(area_under_roc(*counts_at_thresholds(scores, is_generated[fold == n])[1:]))
    return float(np.mean(aucs))


def _direction(features: np.ndarray, is_generated: np.ndarray) -> np.ndarray:
    """Normal of the discriminant's plane, towards generated: `N D` to `D`."""
    real, generated = (features[is_generated == which].mean(axis=0) for which in (False, True))
    residuals = features - np.where(is_generated[:, None], generated, real)
    covariance = residuals.T @ residuals / len(features)
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.linalg.solve((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere, generated - real)
