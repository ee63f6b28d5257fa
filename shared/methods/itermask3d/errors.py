"""How badly a brain was reconstructed: the paper's squared error, or the residual over its spread in healthy brains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...anomaly.healthy_statistics import HealthyStatistics
from ...anomaly.residuals import SmoothedResidual, match_tissues, smooth_in_brain

Error = Callable[[torch.Tensor], torch.Tensor]
"""From a matched reconstruction of one case, ``1 1 *S``, to its error at each voxel, 0 outside the brain."""


@dataclass(frozen=True)
class SquaredError:
    """``(G * (x - x'))^2`` in the brain, with the residual x - x' smoothed within the brain; the paper does not smooth.

    Attributes:
        sigma: of the Gaussian G in voxels, one per spatial axis; all 0 for none.
    """

    sigma: Sequence[float] = (0.0, 0.0, 0.0)

    def matched(self, reconstruction: torch.Tensor, image: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
        """What the image is compared with: the reconstruction as it is."""
        return reconstruction

    def of_case(self, image: torch.Tensor, brain: torch.Tensor) -> tuple[Error, dict[str, Any]]:
        """The error of one case, image and 0/1 brain mask ``1 1 *S``, and facts about it (none)."""
        return lambda reconstruction: smooth_in_brain(image - reconstruction, brain, self.sigma).square(), {}


@dataclass(frozen=True)
class StandardisedError:
    """How many standard deviations the smoothed residual lies above its mean over healthy scans at the same place.

    One-sided, so that it is at least 0.

    Attributes:
        residual: of the image and its reconstruction.
        statistics: of healthy scans.
    """

    residual: SmoothedResidual
    statistics: HealthyStatistics

    def matched(self, reconstruction: torch.Tensor, image: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
        """What the image is compared with: the reconstruction in the contrast of the image, tissue by tissue."""
        return match_tissues(reconstruction, image, brain)

    def of_case(self, image: torch.Tensor, brain: torch.Tensor) -> tuple[Error, dict[str, Any]]:
        """The error of one case, image and 0/1 brain mask ``1 1 *S``; facts: ``registered``, ``notes``."""
        expected = self.statistics.expected(image, brain, self.residual.spacing, "residual")

        def error(reconstruction: torch.Tensor) -> torch.Tensor:
            return expected.deviation(self.residual(image, reconstruction, brain)).clamp(min=0) * brain

        return error, dict(expected.facts)
