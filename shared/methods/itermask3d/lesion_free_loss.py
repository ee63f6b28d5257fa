"""The squared error of a reconstruction where the tissue is known to be healthy."""

from __future__ import annotations

from torch import Tensor, nn


class LesionFreeMSELoss(nn.Module):
    """Mean squared error over the voxels whose weight is 1: what is labelled a lesion teaches nothing."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """``B 1 *S`` and ``B 2 *S`` (image, then weight 0/1) to a scalar; 0 where no weight is 1."""
        image, weight = target[:, :1], target[:, 1:]
        return ((output - image).square() * weight).sum() / weight.sum().clamp(min=1)
