"""What every anomaly method has to beat: intensity alone."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer


class IntensityInferer(Inferer):
    """Anomaly map without any learning: how dark (or bright) a voxel is; takes part in everything an Inferer does.

    Args:
        bright: lesions are brighter than tissue (FLAIR, T2), not darker (T1).
    """

    def __init__(self, bright: bool = False) -> None:
        super().__init__()
        self.bright = bright
        self.history: list[dict[str, Any]] = []

    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B 2 *S`` (image as 6x/p90 - 3, brain mask) to ``B 2 *S`` (distance from 6 or 0 in those units, image)."""
        image, brain = inputs[:, :1], inputs[:, 1:]
        anomaly_map = (image + 3 if self.bright else 3 - image).clamp(min=0) * brain
        self.history = [{"network_evaluations": 0} for _ in inputs]
        return torch.cat([anomaly_map, image], dim=1)
