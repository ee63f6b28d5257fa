"""Training of TSGM's denoiser (arXiv 2311.03074, stage 2): pseudo-pairs made on the fly, noise on the healthy side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils import convert_to_tensor
from torch import Tensor

from ...brains.units import from_signed_units, to_signed_units
from ...diffusion.losses import WEIGHTS, ve_training_sigmas
from ..autocast import AutocastInferer
from .pseudo_lesions import CHANGES, simulated_lesions, transplant, uniform

KINDS = ("generated", "transplanted", "simulated", "identical")


@dataclass(frozen=True)
class TrainingLevels:
    """Noise levels of the training and what an error counts at each of them.

    Attributes:
        trained_sigma_range: lowest and highest; ln sigma is uniform.
        sigma_difference: standard deviation of the difference between a slice and its condition.
        weighting: "edm", or "ve" as in the paper.

    Raises:
        ValueError: no such weighting.
    """

    trained_sigma_range: Sequence[float]
    sigma_difference: float
    weighting: str = "edm"

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTS:
            raise ValueError(f"the weighting is one of {', '.join(WEIGHTS)}, got '{self.weighting}'")

    def weight(self, sigma: Tensor) -> Tensor:
        """Of the squared error at noise levels, of their shape."""
        return WEIGHTS[self.weighting](sigma, self.sigma_difference)


class PseudoPairPrepareBatch(PrepareBatch):
    """Network input and target of one training step: a lesion-free slice, noisy, given what a patient's would be.

    Args:
        sequences: channels of the slices.
        generators: of the CycleGAN, by the domain they draw ("healthy", "tumor"); they stay as they are.
        shares: of the pairs, by how the condition is made: "generated" (the paper's: by the generator of the domain
            "tumor"), "transplanted" (what the other generator takes off a real lesion), "simulated", "identical".
        levels: of the noise.
        condition_noise: largest standard deviation of noise on the condition, which hides what a generator may have
            encoded; drawn for each pair from 0 up, since a patient's images come without.
        drop_sequences: probability that a random part of the sequences, not all, is absent from a pair.
        contrast: gamma of each sequence is drawn from [1 / contrast, contrast] (logarithmically); 1 leaves it.
        amp: run the generators in bfloat16.
    """

    def __init__(
        self,
        sequences: Sequence[str],
        generators: torch.nn.ModuleDict,
        shares: Mapping[str, float],
        levels: TrainingLevels,
        condition_noise: float = 0.0,
        drop_sequences: float = 0.0,
        contrast: float = 1.0,
        amp: bool = False,
    ) -> None:
        if unknown := set(shares) - set(KINDS):
            raise ValueError(f"shares are of {', '.join(KINDS)}, not of {', '.join(sorted(unknown))}")
        if not sum(shares.values()) > 0:
            raise ValueError(f"one of the shares must be above 0, got {dict(shares)}")
        if shares.get("simulated") and (unknown := set(sequences) - set(CHANGES)):
            raise ValueError(f"no lesion can be simulated on {', '.join(sorted(unknown))}: set shares#simulated to 0")
        self.sequences, self.generators = list(sequences), generators.eval().requires_grad_(False)
        self.shares = torch.tensor([float(shares.get(kind, 0)) for kind in KINDS])
        self.levels = levels
        self.condition_noise, self.drop_sequences, self.contrast = condition_noise, drop_sequences, contrast
        self.forward = AutocastInferer(enabled=amp)

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
        """Draw kinds of pairs, lesions, noise levels and noise from torch's generator.

        Args:
            batchdata: ``healthy`` and ``tumor``, ``B S X Y`` in [0, 1], with ``_brain_mask`` and ``_lesion_free``
                (``B 1 X Y``), see :class:`~...brains.height_matched.HeightMatchedPairs`.
            device: where the tensors go.
            non_blocking: of the copy.
            kwargs: of ``Tensor.to``.

        Returns:
            noisy slices ``B S X Y``; target ``B 2S+1 X Y`` of WeightedSquaredError; and the further arguments of
            ConditionalDenoiser: sigma ``B``, condition ``B S X Y`` and presence ``B S``.
        """
        healthy, brain, free, donor, donor_brain = (
            convert_to_tensor(batchdata[key]).float()
            for key in ("healthy", "healthy_brain_mask", "healthy_lesion_free", "tumor", "tumor_brain_mask")
        )
        healthy = self._contrasted(healthy)
        condition = self._condition(healthy, brain, donor, donor_brain)
        level = self.condition_noise * torch.rand(len(healthy), 1, 1, 1)
        condition = condition + level * torch.randn_like(condition)
        present = self._present(len(healthy))
        sigma = ve_training_sigmas(torch.rand(len(healthy)), *self.levels.trained_sigma_range)
        level = sigma[:, None, None, None]
        noisy = healthy + level * torch.randn_like(healthy)
        weight = (self.levels.weight(level) * present[:, :, None, None]).expand_as(healthy)
        counts = free + 1 - brain  # a lesion is nothing to learn from; the background is
        moved = [
            part.to(device, non_blocking=non_blocking, **kwargs)
            for part in (noisy, torch.cat([healthy, weight, counts], 1), sigma, condition, present)
        ]
        return moved[0], moved[1], (moved[2], moved[3], moved[4]), {}

    def _contrasted(self, images: Tensor) -> Tensor:
        """Another gamma for each sequence of each slice; 0 and the median, 0.5, stay where they are."""
        log = torch.tensor(self.contrast).log()
        gamma = (log * uniform(-1, 1, *images.shape[:2], 1, 1)).exp()
        return 0.5 * (2 * images).clamp(min=0) ** gamma

    @torch.no_grad()
    def _condition(self, healthy: Tensor, brain: Tensor, donor: Tensor, donor_brain: Tensor) -> Tensor:
        kinds = torch.multinomial(self.shares, len(healthy), replacement=True).tolist()
        condition = healthy.clone()
        for number, kind in enumerate(KINDS):
            chosen = [n for n, drawn in enumerate(kinds) if drawn == number]
            if not chosen:
                continue
            images, inside = healthy[chosen], brain[chosen]
            if kind == "generated":
                condition[chosen] = self._translated(images, "tumor").clamp(min=0) * inside
            elif kind == "transplanted":
                lesions = donor[chosen]
                freed = self._translated(lesions, "healthy") * donor_brain[chosen]
                condition[chosen] = transplant(images, inside, lesions, freed)
            elif kind == "simulated":
                condition[chosen] = simulated_lesions(images, inside, self.sequences)
        return condition

    def _translated(self, images: Tensor, domain: str) -> Tensor:
        generator = self.generators[domain]
        device = next(generator.parameters()).device
        return from_signed_units(self.forward(to_signed_units(images.to(device)), generator).to(images.device))

    def _present(self, count: int) -> Tensor:
        """``B S`` of 0 and 1, at least one 1 in each row."""
        size = len(self.sequences)
        part = torch.rand(count, 1) < self.drop_sequences
        number = torch.randint(1, max(size, 2), (count, 1))  # of those present, fewer than all
        rank = torch.rand(count, size).argsort(dim=1).argsort(dim=1)
        return torch.where(part & (rank >= number), 0.0, 1.0)
