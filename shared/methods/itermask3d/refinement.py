"""The two loops of IterMask3D: the sweep that draws the threshold curve, and the refinement that shrinks the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .errors import Error
from .subject_threshold import SubjectThreshold, ThresholdCurve, subject_threshold

Reconstruct = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class StopRule:
    """The refinement ends when a pass shrinks the mask by less than ``ratio``, or grows it, or ``passes`` are done."""

    ratio: float = 0.01
    passes: int = 20


STOP = StopRule()


def threshold_curve(
    reconstruct: Reconstruct, error_of: Error, brain: torch.Tensor, percents: Sequence[int]
) -> list[float]:
    """Shrink the mask from the whole brain by keeping the largest errors, and record tau (phase 1).

    With the mask that leaves out s percent of the brain, tau(s + 1) is the error that s + 1 percent of the brain stay
    below. The paper takes every s = 0 ... 99; a sparse sweep goes straight to the next s from the errors at hand.
    Masks come from the current errors over the whole brain, so they are not nested and the curve may dip.

    Args:
        reconstruct: maps a mask (1 = hidden), ``1 1 *S``, to a reconstruction of that shape.
        error_of: a reconstruction, of that shape.
        brain: 0/1, of that shape, not empty.
        percents: s, increasing, from 0 to at most 99.

    Returns:
        tau(s + 1) for each s; one evaluation each.
    """
    inside = brain > 0
    count = int(inside.sum())
    mask, taus = brain, []
    for s, following in zip(percents, [*percents[1:], None]):
        error = error_of(reconstruct(mask))
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
    reconstruct: Reconstruct, error_of: Error, brain: torch.Tensor, threshold: float, stop: StopRule = STOP
) -> Refined:
    """From the whole brain, keep hidden what errs by more than the threshold, until the mask stops shrinking (phase 3).

    Args:
        reconstruct: maps a mask (1 = hidden), ``1 1 *S``, to a reconstruction of that shape.
        error_of: a reconstruction, of that shape.
        brain: 0/1, of that shape, not empty.
        threshold: on the error.
        stop: when it ends.
    """
    mask, shares = brain, []
    for _ in range(stop.passes):
        shares.append(float(mask.sum() / brain.sum()))
        reconstruction = reconstruct(mask)
        remaining = (error_of(reconstruction) > threshold).to(brain)
        size = float(mask.sum())
        if size == 0 or (size - float(remaining.sum())) / size < stop.ratio:
            break
        mask = remaining
    return Refined(reconstruction, remaining, shares)


@dataclass(frozen=True)
class Iteration:
    """How the paper goes on from the brain that is hidden whole: the curve of the subject's threshold, and the stop."""

    curve: ThresholdCurve = ThresholdCurve()
    stop: StopRule = STOP

    def run(self, reconstruct: Reconstruct, error_of: Error, brain: torch.Tensor) -> tuple[SubjectThreshold, Refined]:
        """Both loops; the arguments are those of :func:`threshold_curve`."""
        taus = threshold_curve(reconstruct, error_of, brain, self.curve.percents)
        points = [s + 1 for s in self.curve.percents]
        chosen = subject_threshold(points, taus, self.curve.gamma, self.curve.y_limit)
        return chosen, refine(reconstruct, error_of, brain, chosen.value, self.stop)
