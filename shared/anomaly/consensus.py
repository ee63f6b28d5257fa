"""One map out of the maps of several methods: what they agree on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def geometric_mean(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Geometric mean of maps of one brain, each in units of its own threshold, so that 1 is the threshold again.

    A voxel is marked where the methods exceed their thresholds on average of the logarithms: one that sees nothing at
    all (0) keeps it from being marked, and what one alone takes for abnormal must stand out much. Where each threshold
    is a share of the peak of its map, but never below what lesion-free tissue shows (the rule "peak",
    :func:`~.thresholds.gated_peak`), this is the mean of the maps over their own peaks, cut at that share.

    Args:
        maps: one at least, of one shape ``*S``, at least 0; 1 is the threshold of each.

    Returns:
        ``*S``, float32; of a single map that map.

    Raises:
        ValueError: there is no map, or their shapes differ.
    """
    if not maps or len({np.shape(one) for one in maps}) > 1:
        raise ValueError(f"one map at least, all of one shape, not {[np.shape(one) for one in maps]}")
    stacked = np.stack([np.asarray(one, dtype=np.float64) for one in maps])
    return np.prod(stacked ** (1 / len(stacked)), axis=0).astype(np.float32)
