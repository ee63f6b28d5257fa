"""Stripes that hide a part of each slice (MMCCD, arXiv 2308.16150): in training one, in inference all in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class StripeGrid:
    """Stripes of inference: width and stride from one to the next, in pixels; 16 of 1.875 mm and 2 in the paper.

    Raises:
        ValueError: as :func:`stripes`.
    """

    width: int = 16
    stride: int = 2

    def __post_init__(self) -> None:
        stripes((1, 1), self.width, self.stride)


def stripes(shape: Sequence[int], width: int, stride: int) -> torch.Tensor:
    """All stripes of inference: first those across the first axis, then those across the second.

    Args:
        shape: X, Y of the slice.
        width: of a stripe in pixels; the last ones are cut at the border.
        stride: from the start of a stripe to that of the next; at most ``width``, so that every pixel is hidden.

    Returns:
        ``R X Y`` bool, True where hidden.

    Raises:
        ValueError: width or stride below 1, or gaps between the stripes.
    """
    if not 1 <= stride <= width:
        raise ValueError(f"stride must lie between 1 and the stripe's width of {width}, got {stride}")
    masks = []
    for axis, size in enumerate(shape):
        starts = torch.arange(0, size, stride)[:, None]
        along = torch.arange(size)[None]
        hidden = (along >= starts) & (along < starts + width)  # R size
        masks.append(hidden[:, :, None].expand(-1, *shape) if axis == 0 else hidden[:, None, :].expand(-1, *shape))
    return torch.cat(masks)


def random_stripes(brain_mask: torch.Tensor, width: int) -> torch.Tensor:
    """One stripe per slice for training, across either axis, its centre uniform over the extent of the brain.

    Drawn from torch's generator. The paper draws one per batch and anywhere, so that many miss the brain.

    Args:
        brain_mask: ``B 1 X Y``, 0/1.
        width: in pixels.

    Returns:
        ``B 1 X Y`` bool, True where hidden.
    """
    masks = []
    for brain in brain_mask[:, 0] > 0:
        axis = int(torch.randint(2, ()))
        occupied = brain.any(dim=1 - axis).nonzero()
        first, last = (int(occupied[0]), int(occupied[-1])) if len(occupied) else (0, brain.shape[axis] - 1)
        start = int(torch.randint(first, last + 1, ())) - width // 2
        along = torch.arange(brain.shape[axis], device=brain.device)
        hidden = (along >= start) & (along < start + width)
        masks.append((hidden[:, None] if axis == 0 else hidden[None, :]).expand_as(brain))
    return torch.stack(masks)[:, None]


def hide_stripe(
    image: torch.Tensor, stripe: torch.Tensor, brain_mask: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Replace the brain under the stripe by noise; the outline stays visible, unlike in the paper. All ``B 1 X Y``."""
    return torch.where(stripe & (brain_mask > 0), noise, image)
