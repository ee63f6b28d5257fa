"""Affine registration of brains whose place in the template is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from shared.brains.template_registration import RasGrid, register, sample, transformed

TEMPLATE_GRID = RasGrid((4.0, 4.0, 4.0), (-88.0, -104.0, -72.0))
BRAIN_GRID = RasGrid((2.0, 2.0, 2.0), (3.0, -7.0, 11.0))
HALF_AXES = torch.tensor([66.0, 82.0, 60.0])


def anatomy(points: torch.Tensor) -> torch.Tensor:
    """The intensity of a made-up brain at points ``N 3`` of the template in mm: folds in an ellipsoid, ventricles."""
    x, y, z = points.T
    radius = (points / HALF_AXES).norm(dim=1)
    folds = 5 + torch.sin(x / 9) * torch.cos(y / 11 + 1) + torch.sin(z / 8 + y / 19) - 1.5 * (z < -30).float()
    ventricles = (((x.abs() - 12) / 7) ** 2 + ((y - 5) / 28) ** 2 + ((z - 8) / 12) ** 2) < 1
    return torch.where(ventricles, 1.5, folds) * (radius < 1)


def template() -> torch.Tensor:
    return anatomy(TEMPLATE_GRID.points((45, 53, 37))).reshape(45, 53, 37)


def to_brain(scale: tuple[float, float, float], degrees: tuple[float, float, float], shear: float) -> torch.Tensor:
    """From template to brain in mm: scaled, sheared, turned about each axis, and moved into the brain's field."""
    matrix = np.diag(scale) @ np.array([[1, shear, 0], [0, 1, shear / 2], [0, 0, 1]])
    for axis, angle in enumerate(np.radians(degrees)):
        turn, (i, j) = np.eye(3), [k for k in range(3) if k != axis]
        turn[[i, i, j, j], [i, j, i, j]] = [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]
        matrix = turn @ matrix
    whole = torch.eye(4)
    whole[:3, :3] = torch.from_numpy(matrix)
    whole[:3, 3] = torch.tensor([101.0, 98.0, 96.0])
    return whole


def brain_at(matrix: torch.Tensor) -> torch.Tensor:
    shape = (96, 104, 88)
    points = transformed(torch.linalg.inv(matrix), BRAIN_GRID.points(shape))
    return anatomy(points).reshape(shape)


@pytest.mark.parametrize(
    ("scale", "degrees", "shear"),
    [
        ((1.0, 1.0, 1.0), (0, 0, 0), 0.0),
        ((0.8, 0.85, 0.75), (5, -3, 4), 0.03),
        ((1.08, 1.0, 1.1), (15, 0, 0), 0.0),
        ((0.9, 0.95, 0.9), (0, 0, 15), 0.0),
        ((0.95, 0.9, 1.0), (-6, 15, 5), -0.05),
    ],
)
def test_every_place_is_found_within_2_mm_and_a_second_time_alike(scale, degrees, shear):
    true = to_brain(scale, degrees, shear)
    brain = 37.0 * brain_at(true)  # the unit does not matter
    random = np.random.default_rng(0).normal(size=brain.shape).astype(np.float32)
    brain = brain + (brain > 0) * 8.0 * torch.from_numpy(random)
    found = register(brain, BRAIN_GRID, template(), TEMPLATE_GRID)
    points = TEMPLATE_GRID.points((45, 53, 37))
    points = points[anatomy(points) > 0]
    distance = (transformed(found.to_brain, points) - transformed(true, points)).norm(dim=1)
    assert found.problem == "" and found.correlation > 0.95
    assert distance.max() < 2.0 and distance.mean() < 1.0
    again = register(brain, BRAIN_GRID, template(), TEMPLATE_GRID)
    assert torch.equal(again.to_brain, found.to_brain)
    torch.testing.assert_close(found.to_template @ found.to_brain, torch.eye(4), atol=1e-3, rtol=0)


def test_a_lesion_moves_nothing_by_more_than_2_mm():
    true = to_brain((0.9, 0.9, 0.9), (4, 4, 4), 0.0)
    brain = brain_at(true)
    brain[52:70, 40:60, 44:60] *= 0.4  # 46 ml
    found = register(brain, BRAIN_GRID, template(), TEMPLATE_GRID)
    points = TEMPLATE_GRID.points((45, 53, 37))
    points = points[anatomy(points) > 0]
    assert (transformed(found.to_brain, points) - transformed(true, points)).norm(dim=1).max() < 2.0


def test_what_is_no_brain_is_said_so():
    noise = gaussian_filter(np.random.default_rng(1).normal(size=(96, 104, 88)), 2).astype(np.float32)
    found = register(torch.from_numpy(noise * 10), BRAIN_GRID, template(), TEMPLATE_GRID)
    assert "correlate" in found.problem


def test_a_template_that_would_be_stretched_too_far_is_said_so():
    matrix = to_brain((0.5, 0.5, 0.5), (0, 0, 0), 0.0)
    assert "stretched" in register(brain_at(matrix), BRAIN_GRID, template(), TEMPLATE_GRID).problem


def test_sample_interpolates_linearly_in_mm_and_knows_what_lies_beyond():
    grid = RasGrid((2.0, 3.0, 4.0), (10.0, 20.0, 30.0))
    points = grid.points((4, 5, 6))
    assert points[0].tolist() == [10, 20, 30] and points[-1].tolist() == [16, 32, 50]
    linear = (points @ torch.tensor([1.0, -2.0, 0.5])).reshape(1, 4, 5, 6)
    at = torch.tensor([[11.0, 24.5, 41.0], [15.5, 20.0, 30.5], [99.0, 20.0, 30.0]])
    values = sample(linear, grid, at)[0]
    torch.testing.assert_close(values[:2], (at @ torch.tensor([1.0, -2.0, 0.5]))[:2])
    assert values[2] == 0
    torch.testing.assert_close(sample(linear, grid, at, beyond="border")[0, 2], linear[0, -1, 0, 0])
