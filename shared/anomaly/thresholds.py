"""Thresholds of a single volume that need no labels."""

from __future__ import annotations

import numpy as np
from skimage.filters import threshold_otsu


def otsu_in_brain(anomaly_map: np.ndarray, brain_mask: np.ndarray) -> float:
    """Otsu's threshold (IEEE TSMC 9(1), 1979) of the positive map values in the brain.

    Values that are not positive are left out: they are most of the brain, and would make one class of their own.

    Args:
        anomaly_map: ``*S``, finite, in any unit.
        brain_mask: ``*S``, above 0 is brain.

    Returns:
        The threshold, in the unit of the map; infinite with fewer than two distinct positive values, where nothing
        stands out.
    """
    values = np.asarray(anomaly_map, dtype=np.float64)[np.asarray(brain_mask) > 0]
    values = values[values > 0]
    if values.size == 0 or values.min() == values.max():
        return float("inf")
    return float(threshold_otsu(values))


def otsu_by_slice(anomaly_map: np.ndarray, axis: int) -> np.ndarray:
    """Otsu's threshold of every slice, over all of its pixels, background included, as TSGM's code has it.

    Args:
        anomaly_map: ``X Y Z``, finite, in any unit.
        axis: the one that the slices are stacked along.

    Returns:
        The thresholds, in the unit of the map, with size 1 along the other axes, so that ``anomaly_map >`` them is the
        mask; infinite where a slice is constant, as that of a perfect reconstruction is.
    """
    slices = np.moveaxis(np.asarray(anomaly_map, dtype=np.float64), axis, 0)
    thresholds = [threshold_otsu(plane) if plane.min() < plane.max() else np.inf for plane in slices]
    return np.expand_dims(thresholds, [other for other in range(3) if other != axis])


PEAK_PERCENTILE = 99.5
"""Percentile of a map in its brain that stands for its peak."""


def gated_peak(anomaly_map: np.ndarray, brain_mask: np.ndarray, stored: float, share: float) -> float:
    """A share of this volume's peak, but never below the stored threshold: the edge of what stands out most.

    It suits residuals, which are about 0 in healthy tissue, and not intensities.

    Args:
        anomaly_map, brain_mask: as in `otsu_in_brain`.
        stored: quantile of the map on lesion-free tissue, in the unit of the map.
        share: of the peak at which a lesion ends, 0 to 1.
    """
    values = np.asarray(anomaly_map, dtype=np.float64)[np.asarray(brain_mask) > 0]
    return max(stored, share * float(np.percentile(values, PEAK_PERCENTILE)))


def gated_otsu(anomaly_map: np.ndarray, brain_mask: np.ndarray, stored: float) -> float:
    """Otsu's threshold of this volume, but never below the stored one: Otsu finds two classes in healthy brains too.

    Args:
        anomaly_map, brain_mask: as in `otsu_in_brain`.
        stored: quantile of the map on lesion-free tissue, in the unit of the map.
    """
    return max(stored, otsu_in_brain(anomaly_map, brain_mask))
