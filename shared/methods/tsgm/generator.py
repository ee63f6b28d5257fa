"""The ResNet generator of CycleGAN (arXiv 1703.10593, appendix; TSGM, arXiv 2311.03074, stage 1)."""

from __future__ import annotations

from functools import partial

import torch
from monai.networks.blocks import Convolution
from monai.networks.utils import normal_init
from torch import nn


def reflected_convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Convolution that keeps the size (odd kernel) and continues the image beyond its border by reflection."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, padding_mode="reflect")


class ResnetBlock(nn.Module):
    """Two 3 x 3 convolutions with instance norm and a skip around both, ``B C X Y`` to the same; X and Y from 2 up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            reflected_convolution(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            reflected_convolution(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class ResnetGenerator(nn.Module):
    """Image to image: two strided convolutions down, residual blocks, two transposed convolutions up.

    With the defaults it is the paper's network (11,365,633 parameters): all convolutions with a bias, instance norm
    without parameters, weights from N(0, 0.02), biases 0.

    Args:
        channels: of input and output; more than 1 to translate several sequences together.
        width: channels at full resolution; four times as many in the residual blocks.
        blocks: number of residual blocks.
        residual: learn the change, x + G(x) for intensities of any unit, with a last convolution that starts at 0, so
            that training starts at the identity, and nearest neighbours and a convolution in place of each transposed
            convolution; otherwise the image itself, by a tanh in [-1, 1], as in the paper.
    """

    def __init__(self, channels: int = 1, width: int = 64, blocks: int = 9, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        halve = partial(Convolution, 2, strides=2, kernel_size=3, norm="INSTANCE", act="RELU")
        same = partial(halve, strides=1)

        def double(inside: int, outside: int) -> nn.Module:
            """Twice the size; a transposed convolution, the paper's, leaves a checkerboard in the change."""
            if residual:
                return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), same(inside, outside))
            return halve(inside, outside, is_transposed=True)

        self.layers = nn.Sequential(
            reflected_convolution(channels, width, 7),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            halve(width, 2 * width),
            halve(2 * width, 4 * width),
            *(ResnetBlock(4 * width) for _ in range(blocks)),
            double(4 * width, 2 * width),
            double(2 * width, width),
        )
        self.last = reflected_convolution(width, channels, 7)
        self.apply(normal_init)
        if residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``B C X Y`` to the same; X and Y divisible by 4, from 8 up."""
        h = self.last(self.layers(x))
        return x + h if self.residual else h.tanh()
