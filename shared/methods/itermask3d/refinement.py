"""The two loops of IterMask3D: the sweep that draws the threshold curve, and the refinement that shrinks the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from monai.networks.layers import GaussianFilter

Reconstruct = Callable[[torch.Tensor], torch.Tensor]


class SquaredError:
    """``(G * (x - x'))^2`` in the brain, 0 outside, with the residual x - x' smoothed within the brain.

    The paper does not smooth (sigma 0). Errors at tissue borders change sign from voxel to voxel and cancel; those of a
    lesion do not.

    Args:
        sigma: of the Gaussian G in voxels, one per spatial axis; all 0 for none.
    """

    def __init__(self, sigma: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        self.smooth = GaussianFilter(len(sigma), sigma) if any(sigma) else None

    def __call__(self, image: torch.Tensor, reconstruction: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
        """Image, reconstruction and 0/1 brain mask, all ``B 1 *S``, to ``B 1 *S``."""
        residual = (image - reconstruction) * brain
        if self.smooth is not None:
            residual = self.smooth(residual) / self.smooth(brain).clamp(min=1e-3)
        return residual.square() * brain


UNSMOOTHED = SquaredError()


@dataclass(frozen=True)
class StopRule:
    """The refinement ends when a pass shrinks the mask by less than ``ratio``, or grows it, or ``passes`` are done."""

    ratio: float = 0.01
    passes: int = 20


STOP = StopRule()


def threshold_curve(
    reconstruct: Reconstruct,
    image: torch.Tensor,
    brain: torch.Tensor,
    percents: Sequence[int],
    squared_error: SquaredError = UNSMOOTHED,
) -> list[float]:
    """Shrink the mask from the whole brain by keeping the largest errors, and record tau (phase 1).

    With the mask that leaves out s percent of the brain, tau(s + 1) is the error that s + 1 percent of the brain stay
    below. The paper takes every s = 0 ... 99; a sparse sweep goes straight to the next s from the errors at hand.
    Masks come from the current errors over the whole brain, so they are not nested and the curve may dip.

    Args:
        reconstruct: maps a mask (1 = hidden), of the image's shape, to a reconstruction.
        image: ``1 1 *S``, float32.
        brain: 0/1, of that shape, not empty.
        percents: s, increasing, from 0 to at most 99.
        squared_error: of a reconstruction.

    Returns:
        tau(s + 1) for each s; one evaluation each.
    """
    inside = brain > 0
    count = int(inside.sum())
    mask, taus = brain, []
    for s, following in zip(percents, [*percents[1:], None]):
        error = squared_error(image, reconstruct(mask), brain)
        ranked = error[inside].sort().values
        taus.append(float(ranked[max(round(count * (s + 1) / 100), 1) - 1]))
        if following is not None:
            mask = (error > ranked[max(round(count * following / 100) - 1, 0)]).to(brain) * brain
    return taus


@dataclass(frozen=True)
class Refined:
    """The last reconstruction, the mask its errors leave, and the hidden share of the brain before each pass."""

    reconstruction: torch.Tensor
    mask: torch.Tensor
    hidden_shares: list[float]


def refine(
    reconstruct: Reconstruct,
    image: torch.Tensor,
    brain: torch.Tensor,
    threshold: float,
    stop: StopRule = STOP,
    squared_error: SquaredError = UNSMOOTHED,
) -> Refined:
    """From the whole brain, keep hidden what errs by more than the threshold, until the mask stops shrinking (phase 3).

    Args:
        reconstruct: maps a mask (1 = hidden), of the image's shape, to a reconstruction.
        image: ``1 1 *S``, float32.
        brain: 0/1, of that shape, not empty.
        threshold: on the squared error.
        stop: when it ends.
        squared_error: of a reconstruction.
    """
    mask, shares = brain, []
    for _ in range(stop.passes):
        shares.append(float(mask.sum() / brain.sum()))
        reconstruction = reconstruct(mask)
        remaining = (squared_error(image, reconstruction, brain) > threshold).to(brain)
        size = float(mask.sum())
        if size == 0 or (size - float(remaining.sum())) / size < stop.ratio:
            break
        mask = remaining
    return Refined(reconstruction, remaining, shares)
