"""The 2D U-Net of guided diffusion (Dhariwal and Nichol 2021), which MMCCD uses for diffusion and translation alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional


def timestep_embedding(timesteps: torch.Tensor, size: int, longest_period: float = 10000.0) -> torch.Tensor:
    """Cosines and sines of the timesteps, ``B`` to ``B size`` (size even), periods from 2 pi up."""
    frequencies = torch.exp(-math.log(longest_period) * torch.arange(size // 2, device=timesteps.device) / (size // 2))
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def normalisation(channels: int, batch_norm: bool) -> nn.Module:
    """Group norm of 16 groups as in the paper, or batch norm, which a CPU computes much faster."""
    return nn.BatchNorm2d(channels) if batch_norm else nn.GroupNorm(16, channels)


class ResidualBlock(nn.Module):
    """Two convolutions with a skip; the timestep scales and shifts between them (FiLM), ``B C X Y`` to ``B C' X' Y'``.

    Args:
        in_channels: C.
        out_channels: C'.
        embedding: size of the timestep's embedding; 0 for a network without timesteps.
        dropout: before the second convolution.
        batch_norm: see :func:`normalisation`.
        resample: "down" (mean of 2 x 2), "up" (nearest) or "".
    """

    def __init__(
        self, in_channels: int, out_channels: int, embedding: int, dropout: float, batch_norm: bool, resample: str = ""
    ) -> None:
        super().__init__()
        layers = {"down": nn.AvgPool2d(2), "up": nn.Upsample(scale_factor=2, mode="nearest"), "": nn.Identity()}
        self.resample = layers[resample]
        self.norm_in = normalisation(in_channels, batch_norm)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * out_channels) if embedding else None
        self.norm_out = normalisation(out_channels, batch_norm)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None) -> torch.Tensor:
        h = self.norm_out(self.conv_in(self.resample(functional.silu(self.norm_in(x)))))
        if self.film is not None:
            scale, shift = self.film(functional.silu(cast(torch.Tensor, embedding)))[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.skip(self.resample(x)) + self.conv_out(self.dropout(functional.silu(h)))


class SelfAttention(nn.Module):
    """Single-head self-attention over the pixels, with a skip; ``B C X Y``."""

    def __init__(self, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.norm = normalisation(channels, batch_norm)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None) -> torch.Tensor:
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)[:, None]  # B 1 XY 3C
        attended = functional.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))  # B 1 XY C
        return x + self.out(attended[:, 0].transpose(1, 2).reshape(x.shape))


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with its parameters at 0, so that a block starts as its skip."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@dataclass(frozen=True)
class UNetShape:
    """Size and layers of a U-Net; with the defaults those of MMCCD's paper.

    Attributes:
        width: channels of the first level; times ``multipliers`` on the levels below, each of half the resolution.
        multipliers: one per level.
        attention_levels: levels with self-attention.
        blocks: residual blocks per level on the way down; one more on the way up.
        dropout: in the residual blocks.
        patch: pixels per side folded into channels before the first level; 1 in the paper, 2 is four times cheaper.
        batch_norm: batch norm in place of group norm; about twice as fast on a CPU.
    """

    width: int = 32
    multipliers: Sequence[int] = (1, 1, 2, 3, 4)
    attention_levels: Sequence[int] = (2, 3, 4)
    blocks: int = 2
    dropout: float = 0.1
    patch: int = 1
    batch_norm: bool = False


PAPER_SHAPE = UNetShape()


class DiffusionUNet(nn.Module):
    """U-Net with residual blocks, self-attention on the coarse levels and FiLM of the timestep.

    With the defaults it is the paper's network (mmccd: 6,600,257 parameters with two input channels).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        shape: of the network.
        timed: False builds no timestep embedding and ignores timesteps.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 1, shape: UNetShape = PAPER_SHAPE, timed: bool = True
    ) -> None:
        super().__init__()
        self.width = width = shape.width
        blocks, dropout, patch, batch_norm = shape.blocks, shape.dropout, shape.patch, shape.batch_norm
        size = 4 * width if timed else 0
        self.embed = nn.Sequential(nn.Linear(width, size), nn.SiLU(), nn.Linear(size, size)) if timed else None

        def block(channels_in: int, channels_out: int, resample: str = "") -> ResidualBlock:
            return ResidualBlock(channels_in, channels_out, size, dropout, batch_norm, resample)

        def stage(level: int, channels_in: int, channels_out: int) -> nn.ModuleList:
            attention = [SelfAttention(channels_out, batch_norm)] if level in shape.attention_levels else []
            return nn.ModuleList([block(channels_in, channels_out), *attention])

        self.fold, self.unfold = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)
        self.first = nn.Conv2d(in_channels * patch**2, width, 3, padding=1)
        self.down, self.up, skips, channels = nn.ModuleList(), nn.ModuleList(), [width], width
        for level, multiplier in enumerate(shape.multipliers):
            for _ in range(blocks):
                self.down.append(stage(level, channels, channels := width * multiplier))
                skips.append(channels)
            if level < len(shape.multipliers) - 1:
                self.down.append(nn.ModuleList([block(channels, channels, "down")]))
                skips.append(channels)
        self.middle = nn.ModuleList([block(channels, channels), SelfAttention(channels, batch_norm)])
        self.middle.append(block(channels, channels))
        for level, multiplier in reversed(list(enumerate(shape.multipliers))):
            for n in range(blocks + 1):
                layers = stage(level, channels + skips.pop(), channels := width * multiplier)
                if level and n == blocks:
                    layers.append(block(channels, channels, "up"))
                self.up.append(layers)
        self.last = nn.Sequential(
            normalisation(channels, batch_norm),
            nn.SiLU(),
            zero(nn.Conv2d(channels, out_channels * patch**2, 3, padding=1)),
        )

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor | None = None) -> torch.Tensor:
        """``B C X Y`` and timesteps ``B`` (0 ... 999) to ``B out X Y``; X and Y divisible by patch * 2^(levels - 1)."""
        embedding = None
        if self.embed is not None:
            embedding = self.embed(timestep_embedding(cast(torch.Tensor, timesteps), self.width))
        h = self.first(self.fold(x))
        skips = [h]
        for layers in self.down:
            for layer in layers.children():
                h = layer(h, embedding)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, embedding)
        for layers in self.up:
            h = torch.cat([h, skips.pop()], dim=1)
            for layer in layers.children():
                h = layer(h, embedding)
        return self.unfold(self.last(h))
