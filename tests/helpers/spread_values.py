"""Values of maps whose distribution is known."""

from __future__ import annotations

import numpy as np


def uniform(low: float, high: float, voxels: int) -> np.ndarray:
    """Values spread evenly, in random order."""
    return np.random.default_rng(0).permutation(np.linspace(low, high, voxels)).astype(np.float32)
