"""TSGM (arXiv 2311.03074): draw the healthy brain, given the patient's, and fuse what differs over the sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ...brains.units import from_signed_units, to_signed_units
from ...diffusion.samplers import SAMPLERS, sample_predictor_corrector
from ...runs.seeds import keyed_noise
from .conditional import ConditionalDenoiser
from .pseudo_healthy import PseudoHealthyInferer

ALL_SAMPLERS = {**SAMPLERS, "predictor_corrector": sample_predictor_corrector}


class TSGMInferer(PseudoHealthyInferer):
    """TSGM: samples of p(healthy | patient) by a conditional denoiser, and their mean, the healthy counterpart.

    Args:
        sigmas: noise levels of the sampler, ``(steps + 1,)``, descending to 0. One step from the highest level is the
            expected healthy image itself, without sampling.
        sampler: name in :data:`ALL_SAMPLERS`; "predictor_corrector" is the paper's, with two evaluations a step.
        sampler_options: further arguments of the sampler, such as ``snr``.
        samples: drawn of each slice, every second one of the slice mirrored left to right.
        posterior_mean: the healthy counterpart is the expected one, which the first evaluation of each sample
            estimates, not the mean of the samples, the paper's, which comes close to it only when there are many.
        seed: of the noise, which is keyed by slice, sample and sequence: other slices change nothing.
        options: of :class:`PseudoHealthyInferer`.

    Raises:
        ValueError: no such sampler, an option that it does not have, or no sample.
    """

    def __init__(
        self,
        *,
        sigmas: Tensor,
        sampler: str = "dpmpp_2m",
        sampler_options: Mapping[str, Any] | None = None,
        samples: int = 1,
        posterior_mean: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if sampler not in ALL_SAMPLERS:
            raise ValueError(f"the sampler is one of {', '.join(ALL_SAMPLERS)}, got '{sampler}'")
        if unknown := set(sampler_options or ()) - set(signature(ALL_SAMPLERS[sampler]).parameters):
            raise ValueError(f"the sampler '{sampler}' has no option {', '.join(sorted(unknown))}")
        if samples < 1:
            raise ValueError(f"samples is {samples}; draw at least 1 of each slice")
        self.sigmas, self.sampler, self.sampler_options = sigmas, ALL_SAMPLERS[sampler], dict(sampler_options or {})
        self.samples, self.posterior_mean, self.seed = samples, posterior_mean, seed

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: ConditionalDenoiser
    ) -> tuple[Tensor, Tensor]:
        if network.channels == 1 and len(present) > 1:  # the paper's form: each sequence is a sample of its own
            alone = [self._draw(slices[:, c : c + 1], numbers, [n], network) for c, n in enumerate(present)]
            healthy, samples = (torch.cat(parts, dim=-3) for parts in zip(*alone))
            return healthy, samples
        todo = [(sample, n) for sample in range(self.samples) for n in range(len(slices))]
        drawn, first, size = [], [], self.batch_size
        evaluations = len(self.sigmas) - 1
        progress = tqdm(total=len(todo) * evaluations, desc="slices x steps", leave=False, delay=5)

        def note(step: int, x: Tensor, sigma: float, denoised: Tensor) -> None:
            progress.update(len(x))
            if step == 0:
                first.append(denoised)

        for chunk in (todo[start : start + size] for start in range(0, len(todo), size)):
            mirrored = torch.tensor([sample % 2 == 1 for sample, _ in chunk], device=slices.device)
            condition = _mirror(slices[[n for _, n in chunk]], mirrored)
            keys = [[(self.sequences[c], numbers[n], sample) for c in present] for sample, n in chunk]
            sample = self.sampler(
                lambda x, sigma: self._denoise(x, sigma, condition, present, network),  # noqa: B023
                self._noise(keys, "start", condition) * float(self.sigmas[0]),
                self.sigmas,
                noise=lambda step: self._noise(keys, f"step {step}", condition),  # noqa: B023
                callback=note,
                **self.sampler_options,
            )
            drawn.append(_mirror(sample, mirrored))
            first[-1] = _mirror(first[-1], mirrored)
        progress.close()
        samples, expected = (torch.cat(parts).reshape(self.samples, *slices.shape) for parts in (drawn, first))
        return (expected if self.posterior_mean else samples).mean(dim=0), samples

    def _denoise(
        self, x: Tensor, sigma: float, condition: Tensor, present: Sequence[int], network: ConditionalDenoiser
    ) -> Tensor:
        """x0 of the sequences present; a network that draws all sequences together is told which those are."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        self.evaluations += len(x)
        if network.channels == 1:
            return self.forward(x, network, level, condition)
        full, given = (x.new_zeros(len(x), network.channels, *x.shape[2:]) for _ in range(2))
        shown = x.new_zeros(len(x), network.channels)
        full[:, present], given[:, present], shown[:, present] = x, condition, 1
        return self.forward(full, network, level, given, shown)[:, present]

    def _noise(self, keys: Sequence[Sequence[tuple]], purpose: str, like: Tensor) -> Tensor:
        """Standard normal ``B P X Y``, the same for a slice, sample and sequence in every batch, order and run."""
        fields = [(self.seed, purpose, *key) for item in keys for key in item]
        return keyed_noise(fields, like.shape[2:], like.device).reshape(like.shape)


def _mirror(slices: Tensor, chosen: Tensor) -> Tensor:
    """Mirror some of the slices, ``N P X Y``, along X."""
    return torch.where(chosen[:, None, None, None], slices.flip(2), slices)


class CycleGANInferer(PseudoHealthyInferer):
    """The CycleGAN of stage 1 alone, the paper's own baseline: its generator of the domain "healthy" draws.

    It was trained on all sequences together and needs all of them.
    """

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: torch.nn.ModuleDict
    ) -> tuple[Tensor, Tensor]:
        if len(present) < len(self.sequences):
            raise ValueError(f"the CycleGAN needs all of {', '.join(self.sequences)}")
        self.evaluations += len(slices)
        parts = [self.forward(to_signed_units(part), network["healthy"]) for part in slices.split(self.batch_size)]
        healthy = from_signed_units(torch.cat(parts))
        return healthy, healthy[None]
