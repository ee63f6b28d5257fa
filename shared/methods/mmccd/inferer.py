"""MMCCD (arXiv 2308.16150): hide a stripe, translate to another sequence and back; what fails to return is abnormal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from tqdm import tqdm

from ...anomaly.residuals import ResidualRule, fit_intensities, signed_residual
from ...brains.extraction_transform import whole_heads
from ...brains.shading import ShadingRemoval
from ...brains.slices import slices_of, volume_of
from ...brains.units import BACKGROUND, from_median_units, to_median_units
from ...diffusion.denoisers import VPDenoiser
from ...diffusion.noise_levels import linear_alphas_cumprod, vp_sigmas
from ...diffusion.samplers import SAMPLERS
from ...runs.facts import with_facts
from ...runs.seeds import keyed_noise
from ..autocast import AutocastInferer
from .modality_cycle import ModalityCycles
from .sampling import StripeSampling
from .stripes import StripeGrid, hide_stripe, stripes

MODES = ("masked", "cyclic_unet", "direct")


PAPER_GRID, PAPER_SAMPLING, PAPER_RESIDUAL = StripeGrid(), StripeSampling(), ResidualRule()
NO_REMOVAL = ShadingRemoval(degree=0)


class CycleInferer(Inferer):
    """Anomaly map and pseudo-healthy brain by a cycle between two sequences; slices and stripes are batched.

    Args:
        sequence: of the image.
        mode: "masked" is MMCCD: each stripe of the image is hidden, f draws the other sequence, g translates it back,
            and what g returns counts under the stripe. "cyclic_unet" translates the whole slice to and fro by g's alone
            (the paper's ablation). "direct" translates the companions, other sequences of the subject, to this one.
        companions: sequences between image and brain mask in the input, for "direct".
        grid: of the stripes.
        sampling: of the diffusion.
        residual: how map and reconstruction are compared.
        shading: of the image is removed first, one field for all slices, against its reconstruction; not in the paper.
        batch_size: slices in one network evaluation.
        amp: run the networks in bfloat16.
        known_sequences: that the weights know; empty: found out in use.

    Where several other sequences were trained both ways, their cycles are averaged. What it returns carries facts
    (:mod:`~...runs.facts`): slices, stripes drawn (those that meet the brain, in all cycles), evaluations of one slice.
    """

    def __init__(
        self,
        sequence: str,
        mode: str = "masked",
        companions: Sequence[str] = (),
        grid: StripeGrid = PAPER_GRID,
        sampling: StripeSampling = PAPER_SAMPLING,
        residual: ResidualRule = PAPER_RESIDUAL,
        shading: ShadingRemoval = NO_REMOVAL,
        batch_size: int = 32,
        amp: bool = True,
        known_sequences: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if known_sequences and sequence not in known_sequences:
            known = ", ".join(known_sequences)
            raise ValueError(f"the weights know no cycle for the sequence '{sequence}', only for {known}")
        if mode not in MODES:
            raise ValueError(f"the mode is one of {', '.join(MODES)}, got '{mode}'")
        if mode == "direct" and (not companions or sequence in companions):
            raise ValueError(f"mode 'direct' needs other sequences than '{sequence}'; see inference_direct.json")
        self.sequence, self.mode, self.companions = sequence, mode, list(companions)
        self.grid, self.residual, self.shading = grid, residual, shading
        self.alphas_cumprod = linear_alphas_cumprod()
        self.sigmas = vp_sigmas(self.alphas_cumprod, sampling.timesteps)
        self.sample, self.seed = SAMPLERS[sampling.sampler], sampling.seed
        self.batch_size = batch_size
        self.forward = AutocastInferer(enabled=amp)
        self.evaluations = 0

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, network: ModalityCycles, *args: Any, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]  # MONAI: any callable
        """``B C X Y Z`` (image, companions, brain mask) to ``B 2 X Y Z`` (error, reconstruction), all normalised."""
        volumes = convert_to_tensor(inputs, track_meta=False).float()
        done = [self._one(volume, head, network) for volume, head in zip(volumes, whole_heads(inputs))]
        return with_facts(torch.stack([result for result, _ in done]), [facts for _, facts in done])

    def _one(
        self, volume: torch.Tensor, whole_head: bool, network: ModalityCycles
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        brain_mask = volume[-1:]
        in_brain = brain_mask[0].sum(dim=(0, 1)).nonzero()[:, 0]  # numbers of the slices that hold brain
        brain = slices_of(brain_mask, in_brain)
        images = torch.where(brain_mask > 0, volume[:-1], BACKGROUND)  # without the rim that interpolation leaves
        companions = [slices_of(to_median_units(x, brain_mask[0])[0][None], in_brain) for x in images[1:]]
        self.evaluations = 0

        def reconstruct(normalised: torch.Tensor) -> torch.Tensor:
            image, unit = to_median_units(normalised, brain_mask)
            returned = self._reconstruct([slices_of(image, in_brain), *companions], brain, in_brain.tolist(), network)[
                0
            ]
            return volume_of(from_median_units(returned, unit), in_brain, normalised)

        unshaded = self.shading(images[:1], brain_mask, reconstruct, whole_head)
        scaled, unit_tensor = to_median_units(unshaded.images, brain_mask)
        image, unit = slices_of(scaled, in_brain), float(unit_tensor)
        reconstruction, squared, drawn = self._reconstruct([image, *companions], brain, in_brain.tolist(), network)
        rule = self.residual
        if rule.error == "squared":
            error = squared * unit**2
        else:
            fitted = fit_intensities(reconstruction, image, brain) if rule.fit_intensities else reconstruction
            reconstruction = torch.where(brain > 0, fitted, BACKGROUND)
            tissue = {"bright": reconstruction.clamp(min=0), "dark": reconstruction.clamp(max=0)}  # the median is 0
            expected = tissue[rule.error] if rule.beyond_tissue else reconstruction
            original, expected = (from_median_units(x, unit) for x in (image, expected))
            error = signed_residual(original, expected, rule.error, rule.fluid_below)
        facts = {"slices": len(in_brain), "stripes": drawn, "network_evaluations": self.evaluations, **unshaded.facts()}
        error_volume = volume_of(error * brain, in_brain, torch.zeros_like(brain_mask))
        returned = volume_of(from_median_units(reconstruction, unit), in_brain, torch.full_like(brain_mask, BACKGROUND))
        return torch.cat([error_volume, unshaded.shade(returned)]), facts

    def _reconstruct(
        self, images: Sequence[torch.Tensor], brain: torch.Tensor, numbers: Sequence[int], network: ModalityCycles
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """What returns of the first of the images (the others are its companions), and its squared error, ``N 1 X Y``.

        Both are means over the cycles; and the number of stripes drawn. All in median units.
        """
        image, *companions = images
        if self.mode == "masked":
            others = network.intermediates(self.sequence)
            results = [self._masked_cycle(image, brain, numbers, other, network) for other in others]
            returned = torch.stack([r[0] for r in results]).mean(dim=0)
            return returned, torch.stack([r[1] for r in results]).mean(dim=0), sum(r[2] for r in results)
        if self.mode == "direct":
            starts = dict(zip(self.companions, companions, strict=True))
        else:
            others = network.intermediates(self.sequence)
            starts = {other: self._translate(image, brain, self.sequence, other, network) for other in others}
        backs = [self._translate(x, brain, other, self.sequence, network) for other, x in starts.items()]
        squared = torch.stack([(back - image).square() for back in backs]).mean(dim=0)
        return torch.stack(backs).mean(dim=0), squared, 0

    def _masked_cycle(
        self, image: torch.Tensor, brain: torch.Tensor, numbers: Sequence[int], other: str, network: ModalityCycles
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Mean over the stripes of the reconstruction and of its squared error, ``N 1 X Y``, and how many were drawn.

        The paper's ``sum_r m_r E_r / sum_r m_r``; stripes that hide no brain are left out, they change nothing in it.
        """
        hidden = stripes(tuple(image.shape[-2:]), self.grid.width, self.grid.stride).to(image.device)  # R X Y
        meets = torch.einsum("nxy,rxy->nr", (brain[:, 0] > 0).float(), hidden.float()) > 0
        todo = meets.nonzero()  # slice and stripe
        counts, back_sum, square_sum = (torch.zeros_like(image) for _ in range(3))
        progress = tqdm(total=len(todo), desc="stripes", unit="stripe", leave=False, delay=5)
        for chunk in todo.split(self.batch_size):
            n, r = chunk.unbind(dim=1)
            stripe, x, inside = hidden[r][:, None], image[n], brain[n]
            keys = [(numbers[i], j) for i, j in chunk.tolist()]
            masked = hide_stripe(x, stripe, inside, self._noise(keys, "condition", x))
            back = self._there_and_back(masked, inside, keys, other, network)
            counts.index_add_(0, n, stripe.float())
            back_sum.index_add_(0, n, stripe * back)
            square_sum.index_add_(0, n, stripe * (back - x).square())
            progress.update(len(chunk))
        progress.close()
        covered = counts.clamp(min=1)
        return torch.where(brain > 0, back_sum / covered, BACKGROUND), square_sum / covered, len(todo)

    def _there_and_back(
        self, masked: torch.Tensor, brain: torch.Tensor, keys: list, other: str, network: ModalityCycles
    ) -> torch.Tensor:
        """g(f(masked)), ``B 1 X Y``; the background, which is known, is put in at every step."""

        def draw(x: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            self.evaluations += len(x)
            f = partial(network.draw, self.sequence, other)
            return torch.where(brain > 0, self.forward(x, f, timesteps, condition), BACKGROUND)

        denoiser = VPDenoiser(draw, self.alphas_cumprod)
        start = self._noise(keys, "start", masked) * math.sqrt(1 + float(self.sigmas[0]) ** 2)  # unit variance in VP
        translated = self.sample(
            lambda x, sigma: denoiser(x, sigma, masked),
            start,
            self.sigmas,
            noise=lambda step: self._noise(keys, f"step {step}", masked),
        )
        return self._translate(translated, brain, other, self.sequence, network)

    def _translate(
        self, image: torch.Tensor, brain: torch.Tensor, source: str, target: str, network: ModalityCycles
    ) -> torch.Tensor:
        """g of slices ``N 1 X Y``."""
        self.evaluations += len(image)
        g = partial(network.translate, source, target)
        parts = [self.forward(part, g) for part in image.split(self.batch_size)]
        return torch.where(brain > 0, torch.cat(parts), BACKGROUND)

    def _noise(self, keys: list, purpose: str, like: torch.Tensor) -> torch.Tensor:
        """Standard normal ``B 1 X Y``, the same for a slice and a stripe in every batch, order and run."""
        return keyed_noise([(self.seed, purpose, *key) for key in keys], like.shape[1:], like.device)
