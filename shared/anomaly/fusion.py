"""One map of several sequences: weights of their residuals, and a search for them on labelled validation patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from scipy.ndimage import median_filter

SHARES = np.geomspace(1e-4, 0.5, 100)
"""Shares of the pooled brain voxels that the thresholds of the search leave above them."""


def renormalised(weights: Mapping[str, float], present: Sequence[str]) -> dict[str, float]:
    """Weights of the sequences that are present, divided by their sum.

    Raises:
        ValueError: a present sequence has no weight, a weight is negative or not finite, or all of them are 0.
    """
    unknown = [name for name in present if name not in weights]
    if unknown:
        raise ValueError(f"no fusion weight for {', '.join(unknown)}: add one, 0 to leave it out, to {dict(weights)}")
    if not all(0 <= weight < np.inf for weight in weights.values()):
        raise ValueError(f"fusion weights are finite and at least 0, got {dict(weights)}: correct them")
    total = sum(weights[name] for name in present)
    if not total > 0:
        given = ", ".join(present) or "no sequence"
        raise ValueError(f"{given} given, but only others weigh above 0 in {dict(weights)}: add one, or set a weight")
    return {name: weights[name] / total for name in present}


def simplex(count: int, step: float = 0.1) -> list[tuple[float, ...]]:
    """All vectors of ``count`` weights that are multiples of ``step`` and sum to 1, the vertices included.

    The search in TSGM's code cannot give all of the weight to any sequence but the last.

    Raises:
        ValueError: ``step`` does not divide 1.
    """
    steps = round(1 / step) if 0 < step <= 1 else 0
    if not abs(steps * step - 1) < 1e-9:
        raise ValueError(f"step must divide 1 into equal parts (0.1, 0.05), got {step}")
    last = steps + count - 1
    # Each choice of count - 1 bars among the steps leaves as many steps between two bars as that weight has.
    choices = combinations(range(last), count - 1)
    return [tuple((b - a - 1) / steps for a, b in pairwise((-1, *bars, last))) for bars in choices]


def search_weights(
    residuals: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    brain_masks: Sequence[np.ndarray],
    step: float = 0.1,
) -> tuple[tuple[float, ...], list[tuple[tuple[float, ...], float]]]:
    """Search the weights whose map segments validation patients best, with their labels.

    The map is the weighted sum, median filtered 3x3 in plane and cut at 0. Its score is the mean Dice of the patients
    at one threshold for all, the best of those that leave `SHARES` of their brains above.

    Args:
        residuals: ``S X Y Z`` per patient, signed, one per sequence; not read outside the brain.
        labels: ``X Y Z`` per patient, above 0 is lesion; what lies outside the brain is missed.
        brain_masks: ``X Y Z`` per patient, above 0 is brain.
        step: of the weights.

    Returns:
        The best weights, and all weights with their Dice, best first.

    Raises:
        ValueError: there is no patient, one without a brain or lesion, a residual is not finite in the brain, or as in
            `simplex`.
    """
    brains, lesions = ([np.asarray(volume) > 0 for volume in volumes] for volumes in (brain_masks, labels))
    # As in the maps of an Inferer, there is no anomaly outside the brain.
    inside = [np.where(brain, r, 0).astype(np.float32) for r, brain in zip(residuals, brains, strict=True)]
    patients = enumerate(zip(brains, lesions, inside, strict=True))
    unfit = [n for n, (brain, lesion, r) in patients if not (brain.any() and lesion.any() and np.isfinite(r).all())]
    if unfit or not inside:
        raise ValueError(
            f"the search needs patients with brain, lesion and finite residuals, got {len(inside)}, "
            f"of which these are unfit, counted from 0: {unfit}; leave them out"
        )
    in_brain = [lesion[brain] for lesion, brain in zip(lesions, brains)]
    labelled = [int(lesion.sum()) for lesion in lesions]

    table = []
    for weights in simplex(len(inside[0]), step):
        fused = [np.tensordot(np.asarray(weights, np.float32), r, axes=1) for r in inside]
        maps = [median_filter(m, size=(3, 3, 1)).clip(min=0)[brain] for m, brain in zip(fused, brains)]
        thresholds = np.quantile(np.concatenate(maps), 1 - SHARES)
        dice = [
            2 * _above(m[lesion], thresholds) / (_above(m, thresholds) + size)
            for m, lesion, size in zip(maps, in_brain, labelled)
        ]
        table.append((weights, float(np.mean(dice, axis=0).max())))
    table.sort(key=lambda row: row[1], reverse=True)
    return table[0][0], table


def _above(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many values lie above each threshold."""
    return values.size - np.searchsorted(np.sort(values), thresholds, side="right")
