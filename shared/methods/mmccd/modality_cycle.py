"""The networks of MMCCD (arXiv 2308.16150): for each ordered pair of sequences a masked diffusion and a translation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ...diffusion.unet import DiffusionUNet, UNetShape


class ModalityCycles(nn.Module):
    """Forward diffusion f and backward translation g of every pair: a cycle a -> b -> a is f of (a, b), g of (b, a).

    f draws sequence b from noise, given a slice of sequence a that is partly hidden; g turns all of a slice into the
    other sequence. They share nothing: f and g are trained independently, and g never sees what f draws.

    Args:
        pairs: ordered pairs of sequences, such as ``[["flair", "t1"], ["t1", "flair"]]``.
        unet: shape of all networks.
    """

    def __init__(self, pairs: Sequence[Sequence[str]], unet: UNetShape) -> None:
        super().__init__()
        names = [f"{source}_to_{target}" for source, target in pairs]
        self.pairs = [tuple(pair) for pair in pairs]
        self.diffusion = nn.ModuleDict({name: DiffusionUNet(in_channels=2, shape=unet) for name in names})
        self.translation = nn.ModuleDict(
            {name: DiffusionUNet(in_channels=1, timed=False, shape=unet) for name in names}
        )

    def intermediates(self, sequence: str) -> list[str]:
        """Sequences over which a cycle from and to ``sequence`` was trained, in the order of the pairs.

        Raises:
            ValueError: there is none.
        """
        found = [b for a, b in self.pairs if a == sequence and (b, a) in self.pairs]
        if not found:
            known = ", ".join(dict.fromkeys(a for a, b in self.pairs if (b, a) in self.pairs))
            raise ValueError(f"the weights know no cycle for the sequence '{sequence}', only for {known}")
        return found

    def draw(
        self, source: str, target: str, noisy: torch.Tensor, timesteps: torch.Tensor, masked: torch.Tensor
    ) -> torch.Tensor:
        """f: estimate of the clean target ``B 1 X Y`` from a noisy one at timesteps ``B`` and the masked source."""
        return self.diffusion[f"{source}_to_{target}"](torch.cat([noisy, masked], dim=1), timesteps)

    def translate(self, source: str, target: str, image: torch.Tensor) -> torch.Tensor:
        """g: the target sequence of a whole slice, ``B 1 X Y``."""
        return self.translation[f"{source}_to_{target}"](image)

    def forward(self, inputs: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """All networks at once, for training.

        Args:
            inputs: ``B 3P X Y``, for each of the P pairs the noisy target, the masked source and the clean source.
            timesteps: ``B P``, 0 ... 999.

        Returns:
            ``B 2P X Y``, for each pair the target as f and as g estimate it.
        """
        estimates = []
        for n, (source, target) in enumerate(self.pairs):
            noisy, masked, clean = inputs[:, 3 * n : 3 * n + 3].split(1, dim=1)
            estimates.append(self.draw(source, target, noisy, timesteps[:, n], masked))
            estimates.append(self.translate(source, target, clean))
        return torch.cat(estimates, dim=1)


class TranslationLoss(nn.Module):
    """Sum over the networks of the mean squared error where the weight is 1 (MMCCD, loss of f and of g).

    Args:
        networks: "f", "g" or both; one of them alone is for monitoring.
    """

    def __init__(self, networks: str = "fg") -> None:
        super().__init__()
        self.networks = networks

    def forward(self, estimates: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """``B 2P X Y`` (f, g of each pair) and ``B P+1 X Y`` (target of each pair, weight 0/1) to a scalar."""
        wanted, weight = targets[:, :-1, None], targets[:, -1:, None]  # B P 1 X Y, B 1 1 X Y
        error = (estimates.unflatten(1, (-1, 2)) - wanted).square() * weight
        error = error[:, :, [("fg").index(name) for name in self.networks]]
        return error.sum() / weight.sum().clamp(min=1)
