"""Does a map tell where the mask is wrong? Area under the ROC curve of error by uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .ranking import area_under_roc, counts_at_thresholds

NEAR_MM = 10.0
"""Background so far from mask and label is right whatever it is ranked by, and would make any map look informative."""


def error_metrics(
    uncertainty: np.ndarray,
    anomaly_map: np.ndarray,
    mask: np.ndarray,
    label: np.ndarray,
    brain_mask: np.ndarray,
    spacing: Sequence[float],
) -> dict[str, float]:
    """AUROC of error by uncertainty, and by closeness of the map to its threshold, which it must beat to be of use.

    Args:
        uncertainty: ``X Y Z``, in any unit.
        anomaly_map: ``X Y Z``, 1 is the threshold.
        mask, label, brain_mask, spacing: as in `error_ranking`.

    Returns:
        error_auroc_by_uncertainty, error_auroc_by_threshold, and with ``_nearby`` those within `NEAR_MM`.

    Raises:
        ValueError: as in `error_ranking`.
    """
    metrics: dict[str, float] = {}
    for name, doubt in {"uncertainty": uncertainty, "threshold": closeness_to_threshold(anomaly_map)}.items():
        in_brain, nearby = error_ranking(doubt, mask, label, brain_mask, spacing)
        metrics |= {f"error_auroc_by_{name}": in_brain, f"error_auroc_by_{name}_nearby": nearby}
    return metrics


def error_ranking(
    doubt: np.ndarray, mask: np.ndarray, label: np.ndarray, brain_mask: np.ndarray, spacing: Sequence[float]
) -> tuple[float, float]:
    """Rank voxels by doubt; positive are those in which the mask differs from its label.

    Args:
        doubt: ``X Y Z``, higher where an error is more likely, in any unit; values outside the brain are not read.
        mask: ``X Y Z``, above 0 is predicted anomalous.
        label: ``X Y Z``, above 0 is anomalous.
        brain_mask: ``X Y Z``, above 0 is brain.
        spacing: voxel size in mm along X, Y and Z.

    Returns:
        AUROC in [0, 1] over the brain, and over its voxels within `NEAR_MM` of mask or label; .5 says nothing, below
        .5 errors lie where doubt is low. NaN where all of these voxels are right, or all wrong.

    Raises:
        ValueError: the shapes differ, the brain is empty, or doubt is NaN somewhere in it.
    """
    doubt, mask, label, brain = np.asarray(doubt), *(np.asarray(one) > 0 for one in (mask, label, brain_mask))
    if not doubt.shape == mask.shape == label.shape == brain.shape:
        shapes = ", ".join(str(one.shape) for one in (doubt, mask, label, brain))
        raise ValueError(f"doubt, mask, label and brain_mask must be on one grid, got shapes {shapes}")
    if not brain.any():
        raise ValueError("brain_mask is empty: no voxel to rank; give the mask of this case's brain")
    marked = mask | label
    near = ndimage.distance_transform_edt(~marked, sampling=spacing) <= NEAR_MM if marked.any() else marked
    in_brain, nearby = (_auroc(doubt[region], (mask != label)[region]) for region in (brain, brain & near))
    return in_brain, nearby


def closeness_to_threshold(anomaly_map: np.ndarray) -> np.ndarray:
    """What the map alone says of its errors, ``-|log map|``: highest, 0, at the threshold 1; -inf where the map is 0.

    Args:
        anomaly_map: any shape, in units of its threshold; below 0 counts as 0.
    """
    with np.errstate(divide="ignore"):
        return -np.abs(np.log(np.maximum(anomaly_map, 0)))


def _auroc(scores: np.ndarray, is_positive: np.ndarray) -> float:
    if not scores.size:
        return float("nan")
    _, *counts = counts_at_thresholds(scores, is_positive)
    return area_under_roc(*counts)
