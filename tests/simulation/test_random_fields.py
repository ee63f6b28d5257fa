"""Variance, smoothness and independence of the grid of the Gaussian fields."""

from __future__ import annotations

import numpy as np
import pytest

from shared.simulation.random_fields import gaussian_field

BOUNDS = ((-40.0, 40.0),) * 3


def test_the_same_seed_gives_the_same_values_on_a_finer_grid() -> None:
    coarse, fine = ([np.arange(-40.0, 40.1, step)] * 3 for step in (4.0, 2.0))
    on_coarse = gaussian_field(np.random.default_rng(3), coarse, 8.0, BOUNDS)
    on_fine = gaussian_field(np.random.default_rng(3), fine, 8.0, BOUNDS)
    np.testing.assert_allclose(on_fine[::2, ::2, ::2], on_coarse, atol=1e-5)


def test_moments_and_correlation() -> None:
    axis = np.arange(-40.0, 40.1, 2.0)
    field = gaussian_field(np.random.default_rng(0), [axis] * 3, 2.0, BOUNDS)
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=0.05)
    assert field.std() == pytest.approx(1, abs=0.05)
    # A Gaussian kernel of s on white noise has the correlation exp(-d^2 / 4 s^2): exp(-1/4) one voxel of s apart.
    assert np.mean(field[1:] * field[:-1]) == pytest.approx(np.exp(-0.25), abs=0.05)


def test_axes_keep_their_order() -> None:
    shape = gaussian_field(np.random.default_rng(0), [np.arange(n, dtype=float) for n in (3, 4, 5)], 4.0, BOUNDS).shape
    assert shape == (3, 4, 5)
