"""The test for a grid of 2 x 2 pixels: means in closed form, a checkerboard is found, and one law is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.diffusion.unet import DiffusionUNet, UNetShape
from shared.evaluation.pixel_grid import phase_means, pixel_grid_auc

CHECKERBOARD = (-1.0) ** np.add.outer(np.arange(16), np.arange(14))


def noise(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 16, 14)).cumsum(1)


def test_means_of_a_checkerboard_are_its_values_less_those_of_the_neighbourhood() -> None:
    """In 3 x 3 pixels about one of value 1 there are five of 1 and four of -1: its high-pass is 1 - 1/9."""
    np.testing.assert_allclose(phase_means(CHECKERBOARD[None]), [[8 / 9, -8 / 9, -8 / 9, 8 / 9]])
    stripes = np.zeros((1, 16, 14))
    stripes[:, ::2] = 9.0  # rows of even X: a third of the neighbourhood is like them
    np.testing.assert_allclose(phase_means(stripes), [[6.0, 6.0, -6.0, -6.0]])


def test_a_plane_has_none() -> None:
    plane = 2.0 * np.arange(16)[:, None] - np.arange(14)
    np.testing.assert_allclose(phase_means(plane[None]), np.zeros((1, 4)), atol=1e-12)


def test_a_checkerboard_a_tenth_of_the_noise_is_found_in_every_image() -> None:
    generated = noise(1, 40) + 0.4 * CHECKERBOARD
    auc, chance = pixel_grid_auc(noise(0, 40), generated, permutations=20)
    assert auc > 0.99 and chance.high < 0.8


def test_one_law_is_not_told_apart() -> None:
    aucs = [pixel_grid_auc(noise(n, 40), noise(100 + n, 40), permutations=1)[0] for n in range(40)]
    assert np.mean(aucs) == pytest.approx(0.5, abs=3 * np.std(aucs) / np.sqrt(len(aucs)))


def test_a_network_that_folds_pixels_leaves_a_grid_and_one_that_does_not_leaves_none() -> None:
    """Untrained, on noise: each place in a folded pixel has weights of its own, so that a shift by one is noticed."""
    found = {}
    for patch in (1, 2):
        torch.manual_seed(0)
        network = DiffusionUNet(1, 1, UNetShape(16, (1,), (), 1, 0.0, patch), timed=False)
        torch.nn.init.normal_(network.last[-1].weight, std=0.1)
        with torch.no_grad():
            one, other = network(torch.randn(80, 1, 28, 28))[:, 0, 4:-4].numpy().reshape(2, 40, 20, 28)
        found[patch] = pixel_grid_auc(one[:, :-1], other[:, 1:], permutations=1)[0]
    assert found[2] > 0.95 and 0.3 < found[1] < 0.7
