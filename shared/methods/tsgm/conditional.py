"""The conditional denoiser of TSGM (arXiv 2311.03074): images of the healthy brain, given those of the patient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...diffusion.denoisers import EDMDenoiser
from ...diffusion.unet import DiffusionUNet, UNetShape

TIMESTEPS = 1000


class ConditionalDenoiser(nn.Module):
    """D(x, sigma, condition) -> x0, where only x is noisy: the score of p(x | condition), which the paper calls joint.

    A patient's image differs from a healthy one only here and there, so that the EDM preconditioning is that of their
    difference: a U-Net that returns 0 is the denoiser of images which differ from the condition by white noise. It
    sees, side by side, the noisy difference and the clean condition, standardised. What D is trained to be stays the
    same.

    Args:
        out_channels: sequences, 1 in the paper's form, where each sequence of a slice is a sample of its own; otherwise
            all sequences of a slice are drawn together, each given all that are present.
        unet: its shape.
        mean: of the pixels of clean images.
        sigma_data: their standard deviation.
        sigma_difference: standard deviation of their difference to the condition.
        trained_sigma_range: lowest noise level, timestep 0 of the U-Net's embedding, and highest, timestep 1000; ln
            sigma is linear in between.
    """

    def __init__(
        self,
        out_channels: int,
        unet: UNetShape,
        mean: float,
        sigma_data: float,
        sigma_difference: float,
        trained_sigma_range: Sequence[float],
    ) -> None:
        super().__init__()
        self.channels, self.mean, self.sigma_data, self.sigma_difference = (
            out_channels,
            mean,
            sigma_data,
            sigma_difference,
        )
        self.trained_sigma_range = trained_sigma_range
        self.unet = DiffusionUNet(in_channels=2 * out_channels, out_channels=out_channels, shape=unet)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor, present: Tensor | None = None) -> Tensor:
        """The clean images expected behind noisy ones.

        Args:
            x: ``B S X Y``, the clean images plus sigma times standard normal noise.
            sigma: ``B``, or a scalar tensor, within ``trained_sigma_range``.
            condition: ``B S X Y``, clean.
            present: ``B S`` of 0 and 1; absent sequences, whatever they hold, are not shown to the U-Net, and what is
                returned for them means nothing. None: all are present.

        Returns:
            ``B S X Y`` in the dtype of ``x``, whatever the U-Net computes in.
        """
        shape, sequences = x.shape, x.shape[1] // self.channels
        if sequences > 1:  # the paper's form: each sequence on its own
            x, condition = (each.reshape(-1, self.channels, *shape[2:]) for each in (x, condition))
            sigma = sigma.expand(shape[0]).repeat_interleave(sequences)
        shown = torch.ones_like(x[:, :, :1, :1]) if present is None else present.reshape(-1, self.channels, 1, 1).to(x)

        def network(scaled: Tensor, c_noise: Tensor, given: Tensor) -> Tensor:
            low, high = (torch.as_tensor(level).log() for level in self.trained_sigma_range)
            timesteps = TIMESTEPS * (4 * c_noise - low) / (high - low)
            inputs = torch.cat([torch.where(shown > 0, scaled, 0), torch.where(shown > 0, given, 0)], dim=1)
            return self.unet(inputs, timesteps)

        standardised = (condition - self.mean) / self.sigma_data
        difference = EDMDenoiser(network, self.sigma_difference)(x - condition, sigma, standardised)
        return (condition + difference).reshape(shape)


class WeightedSquaredError(nn.Module):
    """Mean of the weighted squared error over what counts."""

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Estimate ``B S X Y`` and target ``B 2S+1 X Y`` to a scalar.

        The target holds the clean images, the weights of their error, and where it counts, 0 or 1.
        """
        sequences = estimate.shape[1]
        clean, weight, counts = target.split([sequences, sequences, 1], dim=1)
        counts = (counts * (weight > 0)).to(estimate)
        return (counts * weight * (estimate - clean).square()).sum() / counts.sum().clamp(min=1)
