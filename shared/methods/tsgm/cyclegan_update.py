"""One iteration of CycleGAN: a step of both generators, then one of both discriminators, on a MONAI trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import IterationEvents, SupervisedTrainer
from monai.utils import convert_to_tensor

from ...brains.units import to_signed_units
from .cyclegan import DOMAINS
from .image_pool import ImagePool


class CycleGANUpdate:
    """``iteration_update`` of a SupervisedTrainer whose network is a CycleGAN and whose optimizer has its generators.

    Args:
        discriminator_optimizer: of the discriminators.
        pools: earlier fakes by domain.
        amp: run the networks in bfloat16.
    """

    def __init__(
        self, discriminator_optimizer: torch.optim.Optimizer, pools: Mapping[str, ImagePool], amp: bool = False
    ) -> None:
        self.discriminator_optimizer, self.pools, self.amp = discriminator_optimizer, pools, amp

    def __call__(self, engine: SupervisedTrainer, batchdata: Mapping[str, Any]) -> dict[str, float]:
        """Losses of an iteration on ``healthy`` and ``tumor`` slices, ``B C X Y`` from 0 to about 1.

        Each side's are in the engine's output, and ``LOSS_COMPLETED`` is fired, before the side learns from them.
        """
        device = engine.state.device
        # The generators work in [-1, 1], as in the paper.
        images = {d: to_signed_units(convert_to_tensor(batchdata[d]).to(device).float()) for d in DOMAINS}
        engine.network.train()
        losses = self._forward(engine, images)
        parts = {name: float(getattr(losses, name)) for name in ("adversarial", "cycle", "identity")}
        engine.state.output = {"loss": float(losses.total.detach()), **parts}
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        self._step(engine.optimizer, losses.total)
        fakes = {domain: self.pools[domain](losses.fakes[domain].float()) for domain in DOMAINS}
        judged = self._forward(engine, images, fakes)
        engine.state.output["discriminator"] = float(judged.detach())
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        self._step(self.discriminator_optimizer, judged)
        return engine.state.output

    def _forward(self, engine: SupervisedTrainer, *inputs: Mapping[str, torch.Tensor]) -> Any:
        device = engine.state.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.amp):
            return engine.network(*inputs)

    @staticmethod
    def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def constant_then_linear(epoch: int, max_epochs: int) -> float:
    """Factor of the learning rate: 1 for the first half of the epochs, then linear towards 0 after the last."""
    return min(1.0, 2 * (1 - epoch / max_epochs))
