"""Random flips and affine maps of a whole batch at once, on its device: in a loop over cases they cost more than a
GPU's training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class RandomAffines:
    """Flip left to right, rotate, shear, scale and shift each square image of a batch by amounts of its own.

    Beyond the edges images are mirrored. The amounts are drawn, uniformly between minus and plus each limit, from
    torch's generator of the CPU, so that a batch is changed alike on every device.

    Args:
        flip: probability of a flip along the last axis.
        moved: probability of all else.
        rotation: largest angle in radians.
        shear: largest shift of a row, as a share of its distance from the middle.
        scale: largest deviation of each axis's magnification from 1.
        shift: largest shift along each axis, as a share of the side.
    """

    flip: float = 0.5
    moved: float = 0.9
    rotation: float = 0.12
    shear: float = 0.05
    scale: float = 0.08
    shift: float = 0.04

    def __call__(self, images: Tensor) -> Tensor:
        """``B C S S`` to ``B C S S``, linearly interpolated.

        Raises:
            ValueError: images are not square: rotated in shares of the sides they would be sheared.
        """
        if images.dim() != 4 or images.shape[2] != images.shape[3]:
            raise ValueError(f"images have the shape {tuple(images.shape)}; give B C S S, padded to squares.")
        grid = functional.affine_grid(self.draw(len(images)).to(images), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Matrices ``count 2 3`` from places in the result to places in the image, (-1, -1) to (1, 1), y down.

        They are drawn from a generator of the CPU, None: torch's own.
        """
        moved = (torch.rand(count, generator=generator) < self.moved).float()
        limits = torch.tensor([self.rotation, self.shear, self.scale, self.scale, 2 * self.shift, 2 * self.shift])
        angle, shear, stretch_x, stretch_y, right, down = (
            (2 * torch.rand(count, 6, generator=generator) - 1) * limits * moved[:, None]
        ).unbind(1)
        mirror = 1 - 2 * (torch.rand(count, generator=generator) < self.flip).float()
        x, y, cos, sin = mirror * (1 + stretch_x), 1 + stretch_y, angle.cos(), angle.sin()
        first = torch.stack([x * cos, x * (shear * cos - sin), right], dim=1)
        return torch.stack([first, torch.stack([y * sin, y * (shear * sin + cos), down], dim=1)], dim=1)
