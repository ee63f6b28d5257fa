"""Tissue left around a sphere and a part cut off it, against the geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.simulation.extraction_failures import BrainCut, SkullLeftIn

SHAPE, SPACING, RADIUS = (60, 72, 64), (2.0, 2.0, 2.0), 40.0
UP = (0.0, 0.0, 1.0)
OFFSETS = (np.indices(SHAPE) - np.reshape([30, 36, 32], (3, 1, 1, 1))) * 2.0
DISTANCE = np.linalg.norm(OFFSETS, axis=0)


def sphere() -> MetaTensor:
    """A brain of 100, radius 40 mm, with a ventricle of 0."""
    image = np.where((DISTANCE <= RADIUS) & (DISTANCE > 6), 100.0, 0)
    return MetaTensor(torch.from_numpy(image[None].astype(np.float32)), affine=np.diag([*SPACING, 1]))


class TestSkullLeftIn:
    def test_layers_of_the_stated_thickness_and_intensity(self):
        found = np.asarray(SkullLeftIn(0.25, UP)(sphere())[0])
        above = (OFFSETS[2] / np.maximum(DISTANCE, 1) > 0.55) & (DISTANCE > RADIUS + 2)  # cosine above 1 - 2 * 0.25
        assert np.unique(found[above & (DISTANCE < RADIUS + 4)]).tolist() == [10]
        assert np.unique(found[above & (DISTANCE > RADIUS + 8) & (DISTANCE < RADIUS + 10)]) == pytest.approx([120])
        assert not found[(DISTANCE > RADIUS + 14) | ((OFFSETS[2] < 10) & (DISTANCE > RADIUS))].any()

    def test_the_brain_and_its_ventricles_are_untouched(self):
        image, found = np.asarray(sphere()[0]), np.asarray(SkullLeftIn(1.0, UP)(sphere())[0])
        inside = DISTANCE <= RADIUS
        assert np.array_equal(found[inside], image[inside])

    @pytest.mark.parametrize("coverage", [0.05, 0.3])
    def test_covers_the_share_of_all_directions(self, coverage: float):
        shell = (DISTANCE > RADIUS + 3) & (DISTANCE < RADIUS + 9)
        found = np.asarray(SkullLeftIn(coverage, (0.6, 0.0, -0.8))(sphere())[0]) != 0
        assert found[shell].mean() == pytest.approx(coverage, abs=0.02)


class TestBrainCut:
    @pytest.mark.parametrize("share", [0.01, 0.12, 0.5])
    def test_the_stated_share_beyond_a_plane_is_missing(self, share: float):
        brain = DISTANCE <= RADIUS
        direction = np.array([2, -1, 2]) / 3
        found = np.asarray(BrainCut(share, direction.tolist())(sphere())[0])
        height = np.tensordot(direction, OFFSETS, 1)
        gone = brain & (DISTANCE > 6) & (found == 0)
        assert gone.sum() / brain.sum() == pytest.approx(share, abs=0.01)
        assert height[gone].min() > height[found != 0].max() - 1e-9
        assert np.array_equal(found[found != 0], np.asarray(sphere()[0])[found != 0])


def test_grid_and_type_are_kept():
    for transform in (SkullLeftIn(0.1, UP), BrainCut(0.1, UP)):
        found = transform(sphere())
        assert found.shape == (1, *SHAPE) and found.dtype == torch.float32
        assert torch.equal(found.affine, sphere().affine)
