"""Smooth random fields whose values do not depend on the sampling grid, so that a seed means one anatomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def gaussian_field(
    rng: np.random.Generator, coordinates: Sequence[np.ndarray], scale: float, bounds: Sequence[tuple[float, float]]
) -> np.ndarray:
    """Return a stationary Gaussian field of mean 0 and variance 1 on a rectilinear grid.

    White noise on a lattice of pitch `scale` is smoothed by a separable Gaussian of standard deviation `scale`.
    The lattice spans `bounds`, not the grid: the same generator state gives the same field at every spacing.

    Args:
        rng: drawn from once, for the lattice.
        coordinates: one vector of positions in mm per axis (X, Y, Z).
        scale: standard deviation of the smoothing kernel in mm.
        bounds: lowest and highest position in mm per axis.

    Returns:
        float32, `X Y Z`.
    """
    kernels, shape = [], []
    for positions, (low, high) in zip(coordinates, bounds, strict=True):
        lattice = np.arange(low - 3 * scale, high + 3 * scale, scale)
        kernel = np.exp(-0.5 * ((positions[:, None] - lattice[None]) / scale) ** 2)
        kernels.append((kernel / np.linalg.norm(kernel, axis=1, keepdims=True)).astype(np.float32))
        shape.append(len(lattice))
    field = rng.standard_normal(shape, dtype=np.float32)
    for kernel in kernels:
        field = np.tensordot(field, kernel, axes=(0, 1))  # the contracted axis moves last: three times is the identity
    return field
