"""The test for a grid of 2 x 2 pixels: strengths in closed form, grids of any sign are found, and one law is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.diffusion.unet import DiffusionUNet, UNetShape
from shared.evaluation.pixel_grid import grid_strength, pixel_grid_auc

CHECKERBOARD = (-1.0) ** np.add.outer(np.arange(16), np.arange(14))


def noise(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 16, 14))


def test_all_of_a_checkerboard_and_of_stripes_is_a_grid() -> None:
    stripes = np.repeat(np.arange(16)[:, None] % 2, 14, axis=1)
    np.testing.assert_allclose(grid_strength(np.stack([CHECKERBOARD, -3 * CHECKERBOARD, 5 + stripes])), 1)


def test_planes_and_constants_have_none() -> None:
    plane = 2 * np.arange(16)[:, None] - np.arange(14)
    assert grid_strength(np.stack([plane, np.full((16, 14), 0.25)])).max() < 1e-6


def test_a_checkerboard_in_noise_has_its_share_of_the_detail() -> None:
    """White noise keeps 8/9 of its variance and a checkerboard 8/9 of its height: c / sqrt(c^2 + 9/8) of the whole."""
    images = np.random.default_rng(0).normal(size=(4, 802, 802))
    found = grid_strength(images + 0.5 * (-1.0) ** np.add.outer(np.arange(802), np.arange(802)))
    assert found == pytest.approx(0.5 / np.sqrt(0.5**2 + 9 / 8), rel=0.02)


def test_a_grid_is_found_in_every_image_whatever_its_sign() -> None:
    sign = np.where(np.arange(60) % 2, 1.0, -1.0)[:, None, None]
    found = pixel_grid_auc(noise(0, 60), noise(1, 60) + 0.6 * sign * CHECKERBOARD)
    assert found.estimate > 0.99 and found.low > 0.9


def test_one_law_is_not_told_apart_also_with_less_noise() -> None:
    found = [pixel_grid_auc(noise(n, 60), 0.3 * noise(1000 + n, 60)) for n in range(30)]
    aucs = np.array([interval.estimate for interval in found])
    assert aucs.mean() == pytest.approx(0.5, abs=3 * aucs.std() / np.sqrt(aucs.size))
    assert np.mean([interval.low <= 0.5 <= interval.high for interval in found]) > 0.8


def test_a_network_that_folds_pixels_leaves_a_grid_and_one_that_does_not_leaves_none() -> None:
    """Untrained: each place in a folded pixel has weights and a bias of its own."""
    found = {}
    for patch in (1, 2):
        torch.manual_seed(0)
        network = DiffusionUNet(1, 1, UNetShape(16, (1,), (), 1, 0.0, patch), timed=False)
        for parameter in network.last[-1].parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        with torch.no_grad():
            drawn = network(torch.randn(40, 1, 64, 64))[:, 0, 8:-8, 8:-8].numpy()
        found[patch] = pixel_grid_auc(np.random.default_rng(0).normal(size=drawn.shape), drawn).estimate
    assert found[2] > 0.95 and found[1] < 0.7
