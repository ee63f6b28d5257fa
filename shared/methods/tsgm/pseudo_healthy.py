"""From healthy counterparts of a patient's slices to one map: the residuals of all sequences, fused."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch import Tensor

from ...anomaly.fusion import renormalised
from ...anomaly.residuals import check_errors, signed_residual
from ...brains.extraction_transform import whole_heads
from ...brains.shading import ShadingRemoval
from ...brains.units import BACKGROUND, P90, denormalise, from_half_median_units, normalise, to_half_median_units
from ...runs.facts import with_facts
from ..autocast import AutocastInferer

NO_REMOVAL = ShadingRemoval(degree=0)


class PseudoHealthyInferer(Inferer):
    """Anomaly map from any of several sequences: slice by slice a healthy counterpart, the residuals fused.

    Args:
        sequences: in their fixed order, the channels of the input before the brain mask.
        errors: by sequence, what counts as abnormal, see :func:`~...anomaly.residuals.signed_residual`.
        fusion_weights: by sequence, of the residuals (eq. 8); renormalised over the sequences present.
        shading: what removes the shading. Its reference is an even grey brain: the counterparts are drawn from the
            patient's own slices, shading included, and would show none.
        batch_size: slices in one network evaluation.
        amp: run the networks in bfloat16.

    Raises:
        ValueError: an error is missing or unknown.

    What it returns carries facts (:mod:`~...runs.facts`): the sequences given, slices, samples, evaluations of one
    slice.
    """

    def __init__(
        self,
        sequences: Sequence[str],
        errors: Mapping[str, str],
        fusion_weights: Mapping[str, float],
        shading: ShadingRemoval = NO_REMOVAL,
        batch_size: int = 32,
        amp: bool = True,
    ) -> None:
        super().__init__()
        self.shading = shading
        check_errors(errors, sequences)
        self.sequences, self.errors, self.fusion_weights = list(sequences), dict(errors), dict(fusion_weights)
        self.batch_size, self.forward = batch_size, AutocastInferer(enabled=amp)
        self.evaluations = 0

    @abstractmethod
    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: Any
    ) -> tuple[Tensor, Tensor]:
        """Healthy counterparts ``N P X Y`` of slices ``N P X Y`` with these numbers, whose background is 0.

        Beside them samples, ``K N P X Y``, for the standard deviation.
        """

    @torch.inference_mode()
    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """``B S+1 X Y Z`` to ``B 1+S+1 X Y Z``.

        Args:
            inputs: the sequences in normalised units, an absent one a channel of NaN; the brain mask.
            network: draws the healthy counterparts.

        Returns:
            the fused residual (in the units of the input; signed, where the errors are), the healthy counterpart of
            each sequence (NaN where absent), and the standard deviation of the fused residual over the samples.
        """
        volumes = convert_to_tensor(inputs, track_meta=False).float()
        done = [self._one(volume, head, network) for volume, head in zip(volumes, whole_heads(inputs))]
        return with_facts(torch.stack([result for result, _ in done]), [facts for _, facts in done])

    def _one(self, volume: Tensor, whole_head: bool, network: Callable[..., Any]) -> tuple[Tensor, dict[str, Any]]:
        brain_mask = volume[-1:]
        present = [n for n, image in enumerate(volume[:-1]) if not image.isnan().any()]
        names = [self.sequences[n] for n in present]
        weights = renormalised(self.fusion_weights, names)
        numbers = brain_mask[0].sum(dim=(0, 1)).nonzero()[:, 0]  # of the slices that hold brain
        images = torch.where(brain_mask > 0, volume[present], BACKGROUND)
        unshaded = self.shading(images, brain_mask, partial(torch.full_like, fill_value=P90), whole_head)
        scaled = [to_half_median_units(denormalise(image) * brain_mask[0], brain_mask[0]) for image in unshaded.images]
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

        facts = {"sequences": " ".join(names), "slices": len(numbers), "samples": len(drawn), **unshaded.facts(names)}
        facts["network_evaluations"] = self.evaluations
        result = torch.full((len(self.sequences) + 2, *volume.shape[1:]), torch.nan, device=volume.device)
        result[[0, -1]] = 0
        result[0, ..., numbers] = fused(healthy).permute(1, 2, 0)
        result[-1, ..., numbers] = fused(drawn).std(dim=0, correction=0).permute(1, 2, 0)
        counterparts = torch.full_like(images, BACKGROUND)
        for c, unit in enumerate(units):
            counterparts[c, ..., numbers] = normalise(from_half_median_units(healthy[:, c], unit), 1.0).permute(1, 2, 0)
        result[[1 + n for n in present]] = unshaded.shade(counterparts)
        return result, facts


class IntensityFusionInferer(PseudoHealthyInferer):
    """Nothing learned: the healthy counterpart is empty, so that the residuals are the intensities themselves.

    With "bright" for FLAIR and "dark" for T1 the fused map is FLAIR less a share of T1.
    """

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: torch.nn.Module
    ) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(slices), torch.zeros_like(slices)[None]
