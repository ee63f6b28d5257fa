"""TSGM (arXiv 2311.03074): draw the healthy brain, given the patient's, and fuse what differs over the sequences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch import Tensor
from tqdm import tqdm

from ..anomaly.fusion import renormalised
from ..anomaly.residuals import ERRORS, signed_residual
from ..data.seeding import derive_seed
from ..data.slices import half_median_units
from ..diffusion.conditional import ConditionalDenoiser
from ..diffusion.samplers import SAMPLERS, sample_predictor_corrector
from .autocast import AutocastInferer

BACKGROUND = -3.0
ALL_SAMPLERS = {**SAMPLERS, "predictor_corrector": sample_predictor_corrector}


class PseudoHealthyInferer(Inferer):
    """Anomaly map from any of several sequences: slice by slice a healthy counterpart, the residuals fused.

    Args:
        sequences: in their fixed order, the channels of the input before the brain mask.
        errors: by sequence, what counts as abnormal, see :func:`~..anomaly.residuals.signed_residual`.
        fusion_weights: by sequence, of the residuals (eq. 8); renormalised over the sequences present.
        batch_size: slices in one network evaluation.
        amp: run the networks in bfloat16.

    Raises:
        ValueError: an error is missing or unknown.

    After a call ``history`` holds a dict per volume: the sequences given, slices and evaluations of one slice.
    """

    def __init__(
        self,
        sequences: Sequence[str],
        errors: Mapping[str, str],
        fusion_weights: Mapping[str, float],
        batch_size: int = 32,
        amp: bool = True,
    ) -> None:
        super().__init__()
        if wrong := [name for name in sequences if errors.get(name) not in ERRORS[1:]]:
            raise ValueError(f"errors needs one of {', '.join(ERRORS[1:])} for {', '.join(wrong)}, got {dict(errors)}")
        self.sequences, self.errors, self.fusion_weights = list(sequences), dict(errors), dict(fusion_weights)
        self.batch_size, self.forward = batch_size, AutocastInferer(enabled=amp)
        self.evaluations = 0
        self.history: list[dict[str, Any]] = []

    @abstractmethod
    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: torch.nn.Module
    ) -> tuple[Tensor, Tensor]:
        """Healthy counterparts ``N P X Y`` of slices ``N P X Y`` with these numbers, whose background is 0.

        Beside them samples, ``K N P X Y``, for the standard deviation.
        """

    @torch.inference_mode()
    def __call__(self, inputs: Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """``B S+1 X Y Z`` to ``B 1+S+1 X Y Z``.

        Args:
            inputs: the sequences as 6x/p90 - 3, an absent one a channel of NaN; the brain mask.
            network: draws the healthy counterparts.

        Returns:
            the fused residual (in the units of the input; signed, where the errors are), the healthy counterpart of
            each sequence (NaN where absent), and the standard deviation of the fused residual over the samples.
        """
        self.history = []
        return torch.stack([self._one(convert_to_tensor(volume).float(), network) for volume in inputs])

    def _one(self, volume: Tensor, network: torch.nn.Module) -> Tensor:
        brain_mask = volume[-1:]
        present = [n for n, image in enumerate(volume[:-1]) if not image.isnan().any()]
        names = [self.sequences[n] for n in present]
        weights = renormalised(self.fusion_weights, names)
        numbers = brain_mask[0].sum(dim=(0, 1)).nonzero()[:, 0]  # of the slices that hold brain
        scaled = [half_median_units((volume[n] - BACKGROUND) * brain_mask[0], brain_mask[0]) for n in present]
        slices = torch.stack([image for image, _ in scaled])[..., numbers].permute(3, 0, 1, 2)  # N P X Y
        brain = brain_mask[..., numbers].permute(3, 0, 1, 2)
        self.evaluations = 0
        healthy, drawn = (x * brain for x in self._draw(slices, numbers.tolist(), present, network))
        units = [float(unit) for _, unit in scaled]

        def fused(counterpart: Tensor) -> Tensor:
            residuals = [
                weights[name] * unit * signed_residual(slices[:, c], counterpart[..., c, :, :], self.errors[name])
                for c, (name, unit) in enumerate(zip(names, units, strict=True))
            ]
            return torch.stack(residuals).sum(dim=0)

        given = {"sequences": " ".join(names), "slices": len(numbers), "samples": len(drawn)}
        self.history.append({**given, "network_evaluations": self.evaluations})
        result = torch.full((len(self.sequences) + 2, *volume.shape[1:]), torch.nan, device=volume.device)
        result[[0, *(1 + n for n in present), -1]] = 0
        result[0, ..., numbers] = fused(healthy).permute(1, 2, 0)
        result[-1, ..., numbers] = fused(drawn).std(dim=0, correction=0).permute(1, 2, 0)
        for c, n in enumerate(present):
            result[1 + n] = BACKGROUND
            result[1 + n, ..., numbers] = (healthy[:, c] * units[c] + BACKGROUND).permute(1, 2, 0)
        return result


class TSGMInferer(PseudoHealthyInferer):
    """TSGM: samples of p(healthy | patient) by a conditional denoiser, and their mean, the healthy counterpart.

    Args:
        sigmas: noise levels of the sampler, ``(steps + 1,)``, descending to 0. One step from the highest level is the
            expected healthy image itself, without sampling.
        sampler: name in :data:`ALL_SAMPLERS`; "predictor_corrector" is the paper's, with two evaluations a step.
        sampler_options: further arguments of the sampler, such as ``snr``.
        samples: drawn of each slice.
        expected: the healthy counterpart is the expected one, which the first evaluation of each sample estimates, not
            the mean of the samples, the paper's, which comes close to it only when there are many.
        seed: of the noise, which is keyed by slice, sample and sequence: other slices change nothing.
        options: of :class:`PseudoHealthyInferer`.

    Raises:
        ValueError: no such sampler.
    """

    def __init__(
        self,
        *,
        sigmas: Tensor,
        sampler: str = "dpmpp_2m",
        sampler_options: Mapping[str, Any] | None = None,
        samples: int = 1,
        expected: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if sampler not in ALL_SAMPLERS:
            raise ValueError(f"the sampler is one of {', '.join(ALL_SAMPLERS)}, got '{sampler}'")
        self.sigmas, self.sampler, self.sampler_options = sigmas, ALL_SAMPLERS[sampler], dict(sampler_options or {})
        self.samples, self.expected, self.seed = samples, expected, seed

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: ConditionalDenoiser
    ) -> tuple[Tensor, Tensor]:
        if network.channels == 1 and len(present) > 1:  # the paper's form: each sequence is a sample of its own
            alone = [self._draw(slices[:, c : c + 1], numbers, [n], network) for c, n in enumerate(present)]
            return tuple(torch.cat(parts, dim=-3) for parts in zip(*alone))
        todo = [(sample, n) for sample in range(self.samples) for n in range(len(slices))]
        drawn, first, size = [], [], self.batch_size
        evaluations = len(self.sigmas) - 1
        progress = tqdm(total=len(todo) * evaluations, desc="slices x steps", leave=False, delay=5)

        def note(step: int, x: Tensor, sigma: float, denoised: Tensor) -> None:
            progress.update(len(x))
            if step == 0:
                first.append(denoised)

        for chunk in (todo[start : start + size] for start in range(0, len(todo), size)):
            condition = slices[[n for _, n in chunk]]
            keys = [[(self.sequences[c], numbers[n], sample) for c in present] for sample, n in chunk]
            drawn.append(
                self.sampler(
                    lambda x, sigma: self._denoise(x, sigma, condition, present, network),  # noqa: B023
                    self._noise(keys, "start", condition) * float(self.sigmas[0]),
                    self.sigmas,
                    noise=lambda step: self._noise(keys, f"step {step}", condition),  # noqa: B023
                    callback=note,
                    **self.sampler_options,
                )
            )
        progress.close()
        samples, expected = (torch.cat(parts).reshape(self.samples, *slices.shape) for parts in (drawn, first))
        return (expected if self.expected else samples).mean(dim=0), samples

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
        fields = [
            torch.randn(like.shape[2:], generator=torch.Generator().manual_seed(derive_seed(self.seed, purpose, *key)))
            for item in keys
            for key in item
        ]
        return torch.stack(fields).reshape(like.shape).to(like.device)


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
        parts = [self.forward(2 * part - 1, network["healthy"]) for part in slices.split(self.batch_size)]
        healthy = (torch.cat(parts) + 1) / 2
        return healthy, healthy[None]


class IntensityFusionInferer(PseudoHealthyInferer):
    """Nothing learned: the healthy counterpart is empty, so that the residuals are the intensities themselves.

    With "bright" for FLAIR and "dark" for T1 the fused map is FLAIR less a share of T1.
    """

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: torch.nn.Module
    ) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(slices), torch.zeros_like(slices)[None]
