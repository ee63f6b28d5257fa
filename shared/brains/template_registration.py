"""Affine registration of a brain to a template: where in the template each of its voxels lies.

Gauss-Newton with Levenberg's damping on the squared difference of the smoothed brains, coarse to fine, from their
centres and extents; intensities are matched by one factor. All coordinates are in mm, axes right, anterior, superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.networks.layers import GaussianFilter
from torch.nn import functional

LEVELS = ((8.0, 6.0, 12), (4.0, 3.0, 12))
"""Step of the points that are compared, sigma of the smoothing, in mm, and the most iterations, of each level."""

MIN_CORRELATION = 0.85
"""Of smoothed brain and template; healthy brains have .95 and more, a brain upside down .7."""

LARGEST_STRETCH = 1.6
"""Along any direction, or its inverse: the brain of a newborn is 1.5 times shorter than that of an adult."""


@dataclass(frozen=True)
class RasGrid:
    """Voxel ``(0, 0, 0)`` lies at ``origin``, and each is ``spacing`` wide; mm, axes right, anterior, superior."""

    spacing: Sequence[float]
    origin: Sequence[float] = (0.0, 0.0, 0.0)

    def voxels(self, points: torch.Tensor) -> torch.Tensor:
        """Points ``N 3`` in mm, in voxels."""
        return (points - points.new_tensor(self.origin)) / points.new_tensor(self.spacing)

    def points(self, shape: Sequence[int], step: Sequence[int] = (1, 1, 1)) -> torch.Tensor:
        """Every ``step``-th voxel of a volume of ``shape``, ``N 3``, in mm."""
        axes = [torch.arange(0, n, s, dtype=torch.float32) for n, s in zip(shape, step)]
        indices = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
        return indices * indices.new_tensor(self.spacing) + indices.new_tensor(self.origin)


def sample(volumes: torch.Tensor, grid: RasGrid, points: torch.Tensor, beyond: str = "zeros") -> torch.Tensor:
    """Linear interpolation of ``C X Y Z`` at points ``N 3`` in mm: ``C N``; beyond the volume 0, or as its "border"."""
    sizes = points.new_tensor(volumes.shape[1:])
    normalised = 2 * grid.voxels(points) / (sizes - 1).clamp(min=1) - 1
    at = normalised.flip(-1)[None, None, None]  # grid_sample wants the last axis first
    return functional.grid_sample(volumes[None], at, padding_mode=beyond, align_corners=True)[0, :, 0, 0]


@dataclass(frozen=True)
class Registration:
    """Affine map ``4 4`` from template to brain, both in mm, the correlation it reaches, and why it is no good."""

    to_brain: torch.Tensor
    correlation: float
    problem: str = ""

    @property
    def to_template(self) -> torch.Tensor:
        """Affine map ``4 4`` from brain to template, in mm."""
        return torch.linalg.inv(self.to_brain)


def transformed(matrix: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Points ``N 3`` under an affine map ``4 4``."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _smooth(volume: torch.Tensor, grid: RasGrid, sigma_mm: float) -> torch.Tensor:
    return GaussianFilter(3, [sigma_mm / size for size in grid.spacing])(volume[None, None])[0]


def _moments(volume: torch.Tensor, grid: RasGrid) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre and standard deviations of what is not background, ``3`` each, in mm."""
    points = volume.nonzero().float() * volume.new_tensor(grid.spacing) + volume.new_tensor(grid.origin)
    return points.mean(dim=0), points.std(dim=0)


def register(brain: torch.Tensor, grid: RasGrid, template: torch.Tensor, template_grid: RasGrid) -> Registration:
    """Find the affine map (12 degrees of freedom) under which a brain looks like a template.

    Args:
        brain: ``X Y Z``, 0 outside the brain, any unit.
        grid: of its voxels.
        template: ``X Y Z``, 0 outside the brain, any unit.
        template_grid: of its voxels.

    Returns:
        The map; its ``problem`` says why it cannot be trusted, where it cannot.
    """
    (centre, extent), (template_centre, template_extent) = _moments(brain, grid), _moments(template, template_grid)
    linear = torch.diag(extent / template_extent)
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, centre - linear @ template_centre
    for step_mm, sigma_mm, iterations in LEVELS:
        steps = [max(round(step_mm / size), 1) for size in template_grid.spacing]
        points = template_grid.points(template.shape, steps)
        target = sample(_smooth(template, template_grid, sigma_mm), template_grid, points)[0]
        smoothed = _smooth(brain, grid, sigma_mm)
        slopes = torch.stack(torch.gradient(smoothed[0], spacing=[float(s) for s in grid.spacing]))
        matrix, correlation = _gauss_newton(torch.cat([smoothed, slopes]), grid, points, target, matrix, iterations)
    stretches = torch.linalg.svdvals(matrix[:3, :3])
    problem = ""
    if not correlation > MIN_CORRELATION:
        problem = f"brain and template correlate by {correlation:.2f} only"
    elif stretches.max() > LARGEST_STRETCH or stretches.min() < 1 / LARGEST_STRETCH:
        problem = f"the template would be stretched by {float(stretches.min()):.2f} to {float(stretches.max()):.2f}"
    return Registration(matrix, correlation, problem)


def _gauss_newton(
    volumes: torch.Tensor,
    grid: RasGrid,
    points: torch.Tensor,
    target: torch.Tensor,
    matrix: torch.Tensor,
    iterations: int,
) -> tuple[torch.Tensor, float]:
    """Improve ``matrix``; ``volumes`` are the smoothed brain and its slopes along the three axes, ``4 X Y Z``."""
    middle, scale = points.mean(dim=0), points.std()
    design = torch.cat([(points - middle) / scale, torch.ones(len(points), 1)], dim=1)  # N 4: well conditioned

    def misfit(candidate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        values = sample(volumes, grid, transformed(candidate, points))
        factor = (values[0] @ target) / (values[0] @ values[0]).clamp(min=1e-12)
        residual = factor * values[0] - target
        return residual, factor * values[1:], float(residual.square().sum())

    residual, slopes, error = misfit(matrix)
    damping = 1e-3
    for _ in range(iterations):
        jacobian = (slopes.T[:, :, None] * design[:, None, :]).reshape(len(points), 12)
        normal, right = (jacobian.T @ jacobian).double(), (jacobian.T @ residual).double()
        while damping < 1e3:
            damped = normal + damping * torch.diag(normal.diagonal().clamp(min=1e-12))
            change = torch.linalg.solve(damped, right).float().reshape(3, 4)
            candidate = matrix.clone()
            candidate[:3, :3] -= change[:, :3] / scale
            candidate[:3, 3] -= change[:, 3] - change[:, :3] @ middle / scale
            found = misfit(candidate)
            if found[2] < error:
                break
            damping *= 10
        else:
            break
        gained, damping = 1 - found[2] / error, damping / 10
        matrix, (residual, slopes, error) = candidate, found
        if gained < 1e-4:
            break
    aligned = residual + target
    return matrix, float(torch.corrcoef(torch.stack([aligned, target]))[0, 1])
