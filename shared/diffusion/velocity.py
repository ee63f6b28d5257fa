"""The velocity of progressive distillation (Salimans and Ho 2022, section 4), in networks that return epsilon."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class VelocityNetwork(nn.Module):
    """A network whose first channels are taken for v = sqrt(abar) eps - sqrt(1 - abar) x0; it returns epsilon.

    epsilon = sqrt(abar) v + sqrt(1 - abar) x_t, so that the noise of a state that is hardly anything else need not pass
    through the network, whose error in x0 would be many times that in epsilon.

    Args:
        network: ``network(input, t) -> B O X Y``, O at least the number C of channels of the state.
        alphas_cumprod: ``(T,)``, abar of the timesteps.
        input_weights: of the C channels of the state in the network's input, which it begins with.
    """

    alphas_cumprod: Tensor
    input_weights: Tensor

    def __init__(self, network: nn.Module, alphas_cumprod: Tensor, input_weights: Sequence[float]) -> None:
        super().__init__()
        self.network, self.channels = network, len(input_weights)
        self.register_buffer("alphas_cumprod", alphas_cumprod.double(), persistent=False)
        weights = torch.tensor(input_weights, dtype=torch.float32).reshape(-1, 1, 1)
        self.register_buffer("input_weights", weights, persistent=False)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Epsilon of the state, then the network's other channels, ``B O X Y`` float32.

        Args:
            x: ``B C' X Y``, the state in variance-preserving form, times its weights, and any condition after it.
            timesteps: ``B``, 0 to T - 1; abar is interpolated between whole ones, in its logarithm.
        """
        predicted = self.network(x, timesteps).float()
        velocity, others = predicted.split([self.channels, predicted.shape[1] - self.channels], dim=1)
        state = x[:, : self.channels].float() / self.input_weights
        abar = self._abar(timesteps)
        return torch.cat([abar.sqrt() * velocity + (1 - abar).sqrt() * state, others], dim=1)

    def _abar(self, timesteps: Tensor) -> Tensor:
        t = timesteps.double().clamp(0, len(self.alphas_cumprod) - 1)
        below = t.floor().long()
        above = (below + 1).clamp(max=len(self.alphas_cumprod) - 1)
        log = self.alphas_cumprod.log()
        return torch.lerp(log[below], log[above], t - below).exp().float()[:, None, None, None]
