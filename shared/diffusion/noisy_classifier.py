"""The noisy classifier of classifier guidance (Dhariwal and Nichol 2021, section 4): p(class | noisy state)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .unet import ResidualBlock, SelfAttention, UNetShape, normalisation, timestep_embedding

ENCODER_SHAPE = UNetShape(attention_levels=(3, 4), blocks=1)


class NoisyClassifier(nn.Module):
    """Encoder half of :class:`~.unet.DiffusionUNet`, the mean over the pixels and a linear head.

    The paper pools by attention, which ties the network to one image size. With the defaults and three input channels
    it has 1,063,458 parameters.

    Args:
        in_channels: of the noisy state.
        classes: number of classes.
        shape: of the encoder; its width is a multiple of 16.
    """

    def __init__(self, in_channels: int, classes: int = 2, shape: UNetShape = ENCODER_SHAPE) -> None:
        super().__init__()
        width, dropout, patch, batch_norm = shape.width, shape.dropout, shape.patch, shape.batch_norm
        self.width, size = width, 4 * width
        self.embed = nn.Sequential(nn.Linear(width, size), nn.SiLU(), nn.Linear(size, size))
        self.first = nn.Sequential(nn.PixelUnshuffle(patch), nn.Conv2d(in_channels * patch**2, width, 3, padding=1))
        self.down, channels = nn.ModuleList(), width
        for level, multiplier in enumerate(shape.multipliers):
            if level:
                self.down.append(ResidualBlock(channels, channels, size, dropout, batch_norm, "down"))
            for _ in range(shape.blocks):
                self.down.append(ResidualBlock(channels, channels := width * multiplier, size, dropout, batch_norm))
                if level in shape.attention_levels:
                    self.down.append(SelfAttention(channels, batch_norm))
        self.norm_out = normalisation(channels, batch_norm)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Logits of the class of a noisy state.

        Args:
            x: ``B C X Y`` in variance-preserving form; X and Y divisible by patch * 2^(levels - 1).
            timesteps: ``B``, 0 ... 999, fractions allowed.

        Returns:
            ``B classes``.
        """
        embedding = self.embed(timestep_embedding(timesteps, self.width))
        h = self.first(x)
        for layer in self.down:
            h = layer(h, embedding)
        return self.head(functional.silu(self.norm_out(h)).mean(dim=(2, 3)))


class ClassLogProbability:
    """ln p(label | noisy state) of given labels, differentiable in the state, in the form of the samplers.

    Args:
        network: ``network(x_vp, t) -> B classes``, logits, trained on the states ``x_vp = x / sqrt(1 + sigma^2)`` of
            a variance-preserving schedule; in evaluation mode, or a state would depend on the others of its batch.
        labels: ``B``, int64, the class of each state, on its device.
        timestep: from sigma to the index in that schedule, the ``timestep`` of a :class:`~.denoisers.VPDenoiser`.

    Raises:
        ValueError: labels are not one-dimensional int64.
    """

    def __init__(
        self, network: Callable[[Tensor, Tensor], Tensor], labels: Tensor, timestep: Callable[[float], float]
    ) -> None:
        if labels.dim() != 1 or labels.dtype != torch.int64:
            raise ValueError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}; give one int64 class per state, shape (B,)."
            )
        self.network, self.labels, self.timestep = network, labels, timestep

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Log-probability of the labels at one noise level.

        Args:
            x: ``B C *S`` in variance-exploding form, ``x0 + sigma * eps``.
            sigma: a number or a scalar tensor, within the noise levels of the schedule.

        Returns:
            ``B``, at most 0, in nats, in the dtype of ``x`` whatever the network computes in.

        Raises:
            ValueError: there is not one label per state, or ``sigma`` is outside the schedule.
        """
        if len(x) != len(self.labels):
            raise ValueError(f"there are {len(self.labels)} labels for {len(x)} states; give one label per state.")
        sigma = float(sigma)
        t = torch.full((len(x),), self.timestep(sigma), dtype=torch.float32, device=x.device)
        logits = self.network(x / math.sqrt(1 + sigma**2), t).to(x.dtype)
        return -functional.cross_entropy(logits, self.labels, reduction="none")
