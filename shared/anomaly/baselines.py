"""What every anomaly method has to beat: intensity alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer

from ..brains.units import BACKGROUND, P90, denormalise
from ..runs.facts import with_facts
from .healthy_statistics import HealthyStatistics
from .residuals import SmoothedResidual, signed_residual


class IntensityInferer(Inferer):
    """Anomaly map without any learning: how dark (or bright) a voxel is; takes part in everything an Inferer does.

    Args:
        bright: lesions are brighter than tissue (FLAIR, T2), not darker (T1).
        fluid_below: darker voxels of the image are not counted, see :func:`~.residuals.signed_residual`.
        t1_weight: share of the T1 intensity, the second sequence, taken off the bright one; 0 does not look at it.

    Raises:
        ValueError: ``t1_weight`` is set for dark lesions; in use: and there is no second sequence, or it is absent.
    """

    def __init__(self, bright: bool = False, fluid_below: float | None = None, t1_weight: float = 0.0) -> None:
        super().__init__()
        if t1_weight and not bright:
            raise ValueError("t1_weight takes T1 off a sequence with bright lesions: set bright, or leave it 0")
        self.bright, self.fluid_below, self.t1_weight = bright, fluid_below, t1_weight

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B C *S`` (image, other sequences, all normalised; brain mask) to ``B 2 *S``.

        The result is the map (distance from the p90 or the background, less the share of T1; at least 0) and the image.
        """
        image, brain = inputs[:, :1], inputs[:, -1:]
        extreme, error = (BACKGROUND, "bright") if self.bright else (P90, "dark")
        anomaly_map = signed_residual(image, torch.full_like(image, extreme), error, self.fluid_below)
        if self.t1_weight:
            t1 = inputs[:, 1:-1][:, :1]
            if t1.shape[1] == 0 or t1.isnan().any():
                raise ValueError(f"t1_weight {self.t1_weight:g} needs T1 as the second sequence: add it, or set 0")
            anomaly_map = anomaly_map - self.t1_weight * denormalise(t1)
        result = torch.cat([anomaly_map.clamp(min=0) * brain, image], dim=1)
        return with_facts(result, [{"network_evaluations": 0} for _ in inputs])


class AtlasInferer(Inferer):
    """Anomaly map without a network: how far an intensity lies from those of healthy scans at the same place.

    Args:
        residual: of the image against 0.
        statistics: of healthy scans.
    """

    def __init__(self, residual: SmoothedResidual, statistics: HealthyStatistics) -> None:
        super().__init__()
        self.residual, self.statistics = residual, statistics

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B 2 *S`` (normalised image, brain mask) to ``B 2 *S`` (standard deviations, at least 0; and the image)."""
        results, facts = [], []
        for volume in inputs:
            image, brain = volume[None, :1], volume[None, 1:]
            expected = self.statistics.expected(image, brain, self.residual.spacing, "intensity")
            deviation = expected.deviation(self.residual(image, torch.zeros_like(image), brain))
            results.append(torch.cat([deviation.clamp(min=0) * brain, image], dim=1)[0])
            facts.append({**expected.facts, "network_evaluations": 0})
        return with_facts(torch.stack(results), facts)


class IntensityHistogram:
    """Detect a volume by its intensities alone: the earth mover's distance of their histogram to a healthy one.

    The healthy histogram is the mean of the scans' quantile functions, their barycentre in this distance.

    Args:
        healthy: normalised intensities in the brain, one array per scan.
    """

    LEVELS = np.linspace(0, 1, 1001)

    def __init__(self, healthy: Sequence[np.ndarray]) -> None:
        self.quantiles = np.mean([np.quantile(values, self.LEVELS) for values in healthy], axis=0)

    def distance(self, values: np.ndarray) -> float:
        """Of the values in a brain, in their unit."""
        return float(np.abs(np.quantile(values, self.LEVELS) - self.quantiles).mean())
