"""Training of MaC-DM (arXiv 2311.13688): what denoiser and classifier are given of a radiograph and its masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils import convert_to_tensor
from torch import Tensor

from ...diffusion.hybrid_loss import hybrid_target
from .joint_state import JointState


class NoisyStatePrepareBatch(PrepareBatch):
    """Network input and target of one training step on noisy joint states sqrt(abar) x0 + sqrt(1 - abar) noise.

    Args:
        state: how radiograph and masks are packed, and which of them are noised.
        alphas_cumprod: ``(T,)``, abar of the timesteps, which are drawn uniformly.
        augment: ``B 3 X Y`` to the same, of radiograph and masks together, before they are noised; masks are cut at a
            half after it. None changes nothing.
    """

    def __init__(
        self, state: JointState, alphas_cumprod: Tensor, augment: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.state, self.alphas_cumprod, self.augment = state, alphas_cumprod.double(), augment

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple[Tensor], dict[str, Any]]:
        """Draw timesteps from torch's generator of the CPU and noise from that of the device.

        Args:
            batchdata: ``radiograph`` ``B 1 X Y`` in [-1, 1], ``tibia_mask`` and ``lesion_mask`` ``B 1 X Y`` of 0 and 1.
            device: where the tensors go.
            non_blocking: of the copy.
            kwargs: of ``Tensor.to``.

        Returns:
            noisy state and condition ``B 3 X Y``, as the network is given them, target, and timesteps ``B``, int64.
        """
        maps = torch.cat(
            [
                convert_to_tensor(batchdata[key]).to(device, torch.float32, non_blocking=non_blocking, **kwargs)
                for key in ("radiograph", "tibia_mask", "lesion_mask")
            ],
            dim=1,
        )
        if self.augment is not None:
            maps = self.augment(maps)
            maps[:, 1:] = (maps[:, 1:] > 0.5).float()
        x0, condition = self.state.pack(*maps.split(1, dim=1))
        noise = torch.randn_like(x0)
        t = torch.randint(len(self.alphas_cumprod), (len(x0),))
        kept = self.alphas_cumprod[t][:, None, None, None]
        signal, deviation, t = (part.to(x0.device) for part in (kept.sqrt().float(), (1 - kept).sqrt().float(), t))
        noisy = self.state.network_input(signal * x0 + deviation * noise, condition)
        return noisy, self._target(batchdata, x0, noise, t), (t,), {}

    @abstractmethod
    def _target(self, batchdata: Mapping[str, Any], x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the loss compares the network's output with."""


class JointPrepareBatch(NoisyStatePrepareBatch):
    """Of the denoiser: the target is that of :class:`~...diffusion.hybrid_loss.HybridLoss`, ``B 2C+1 X Y``.

    C is the number of channels of the state, so the network has 2 C of output.
    """

    def _target(self, batchdata: Mapping[str, Any], x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return hybrid_target(noise, x0, t)


class ClassifierPrepareBatch(NoisyStatePrepareBatch):
    """Of the noisy classifier: the target is ``class_label`` of the batch, ``B``, int64, for the cross-entropy."""

    def _target(self, batchdata: Mapping[str, Any], x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return convert_to_tensor(batchdata["class_label"]).to(x0.device, torch.int64)
