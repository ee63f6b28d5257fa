"""How every method calls its network: in bfloat16 where that is faster, with float32 around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer

from ..runs.errors import NonFiniteOutputError


class AutocastInferer(Inferer):
    """Run the network in bfloat16 and return float32.

    Args:
        enabled: False computes in float32.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B C *S`` and further arguments of the network (of a denoiser: noise level or timestep) to what it returns.

        Raises:
            NonFiniteOutputError: in inference, it returned NaN or infinite values. Training looks at its loss instead.
        """
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.enabled):
            output = network(inputs, *args, **kwargs).float()
        if torch.is_inference_mode_enabled() and not output.isfinite().all():
            level = float(args[0].flatten()[0]) if args else None  # of the first image of the batch
            raise NonFiniteOutputError(int((~output.isfinite()).sum()), output.numel(), level)
        return output
