"""The reconstruction network of IterMask3D: a residual U-Net whose shortcuts are average pools."""

from __future__ import annotations

from typing import cast

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional

# Tap k of the transposed 4-tap kernel in terms of the taps (w0, w1, w2) that follow a nearest x2 upsampling.
_MERGE_TAPS = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])


def upsample_convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Nearest x2 upsampling and a zero-padded 3x3x3 convolution as one transposed convolution (3.4 times fewer FLOPs).

    Args:
        x: ``B C D H W``.
        weight: ``O C 3 3 3``, of the convolution that follows the upsampling.
        bias: ``O``.

    Returns:
        ``B O 2D 2H 2W``, ``conv3d(interpolate(x, scale_factor=2), weight, bias, padding=1)`` up to rounding
        (cf. Aitken et al., arXiv 1707.02937).
    """
    merge = _MERGE_TAPS.to(weight)
    kernel = torch.einsum("oixyz,ax,by,cz->ioabc", weight, merge, merge, merge)
    return functional.conv_transpose3d(x, kernel, bias, stride=2, padding=1)


def _conv_unit(in_channels: int, out_channels: int, strides: int, dropout: float) -> Convolution:
    """Convolution, batch norm, elementwise dropout, PReLU: the order of MONAI's ``Convolution``."""
    return Convolution(3, in_channels, out_channels, strides=strides, norm="BATCH", dropout=dropout, dropout_dim=1)


class _DownUnit(nn.Module):
    """Two convolutions plus a shortcut, average-pooled where they stride, that fills the first ``in_channels``."""

    def __init__(self, in_channels: int, out_channels: int, strides: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv_unit(in_channels, out_channels, strides, dropout),
            _conv_unit(out_channels, out_channels, 1, dropout),
        )
        self.pool = nn.AvgPool3d(3, stride=2, padding=1) if strides == 2 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, shortcut = self.conv(x), self.pool(x)
        return y + functional.pad(shortcut, (0,) * 6 + (0, y.shape[1] - shortcut.shape[1]))


class _UpUnit(nn.Module):
    """Nearest x2 upsampling, a convolution that keeps the channels, and one that reduces them."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float, last: bool, fused: bool) -> None:
        super().__init__()
        self.keep = _conv_unit(in_channels, in_channels, 1, dropout)
        self.reduce = (
            Convolution(3, in_channels, out_channels, conv_only=True)
            if last
            else _conv_unit(in_channels, out_channels, 1, dropout)
        )
        self.fused = fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fused:
            conv, norm = cast(nn.Conv3d, self.keep.conv), cast(nn.Module, self.keep.adn)
            x = norm(upsample_convolve(x, conv.weight, conv.bias))
        else:
            x = self.keep(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.reduce(x)


class AvgPoolResidualUNet(nn.Module):
    """The residual U-Net of IterMask3D (arXiv 2504.04911; 8,902,626 parameters at ``width`` 16).

    Skips are concatenated before upsampling, so that no full-resolution skip lets the input through.

    Args:
        in_channels: channels of the input; 2 for the masked image and its high-pass.
        out_channels: channels of the output.
        width: channels of the first unit; doubled at each of the next four.
        dropout: probability of the elementwise dropout.
        fused: compute each upsampling and its convolution as one; same weights, same result, 2.5 times fewer FLOPs.
        add_high_pass: add the last input channel to the output, so that only the low frequencies are left to predict.
            Not in the paper, whose network must squeeze every edge through its half-resolution features.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 1,
        width: int = 16,
        dropout: float = 0.2,
        fused: bool = True,
        add_high_pass: bool = False,
    ) -> None:
        super().__init__()
        self.add_high_pass = add_high_pass
        w1, w2, w3, w4, w5 = (width * 2**level for level in range(5))
        self.down = nn.ModuleList(
            _DownUnit(i, o, s, dropout)
            for i, o, s in [(in_channels, w1, 2), (w1, w2, 2), (w2, w3, 2), (w3, w4, 2), (w4, w5, 1)]
        )
        self.up = nn.ModuleList(
            _UpUnit(i, o, dropout, last, fused)
            for i, o, last in [
                (w5 + w4, w3, False),
                (w3 + w3, w2, False),
                (w2 + w2, w1, False),
                (w1 + w1, out_channels, True),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``B C D H W`` to ``B out D H W``; every size is a multiple of 16 and at least 32, else ValueError."""
        if any(size % 16 or size < 32 for size in x.shape[2:]):
            raise ValueError(f"sizes must be multiples of 16 and at least 32, got {tuple(x.shape[2:])}")
        high_pass, features = x[:, -1:], []
        for unit in self.down:
            x = unit(x)
            features.append(x)
        for unit, skip in zip(self.up, reversed(features[:-1])):
            x = unit(torch.cat([x, skip], dim=1))
        return x + high_pass if self.add_high_pass else x
