"""IterMask3D (arXiv 2504.04911): hide the brain, reconstruct it, keep hidden only what was reconstructed badly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor

from ...runs.facts import with_facts
from ..autocast import AutocastInferer
from .high_pass import high_pass
from .refinement import STOP, Refined, SquaredError, StopRule, refine, threshold_curve
from .subject_threshold import SubjectThreshold, ThresholdCurve, subject_threshold

PAPER_CURVE = ThresholdCurve()


def hide_by_noise(image: torch.Tensor, mask: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Replace the masked voxels by noise, ``(1 - m) x + m n`` (section 2); all ``B 1 *S``."""
    return torch.where(mask > 0, noise, image)


def centred_noise(shape: Sequence[int], seed: int, field: int = 128) -> torch.Tensor:
    """Standard normal noise ``B C *S`` of a seed, cut from the middle of a cube: a larger box adds noise around it."""
    sizes = shape[2:]
    full = [max(size, field) for size in sizes]
    noise = torch.randn((*shape[:2], *full), generator=torch.Generator().manual_seed(seed))
    starts = [(whole - size) // 2 for whole, size in zip(full, sizes)]
    return noise[(...,) + tuple(slice(start, start + size) for start, size in zip(starts, sizes))]


def prepare_batch(
    batchdata: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Network input and target of one training step.

    Args:
        batchdata: ``image``, ``high_pass``, ``target``, ``mask``, ``noise``, ``brain_mask`` and ``lesion_free``, each
            ``B 1 *S``. The target is the image without its shading; the brain outside ``lesion_free`` is labelled a
            lesion.
        device: where the tensors go.
        non_blocking: of the copy.
        kwargs: of ``Tensor.to``.

    Returns:
        input ``B 2 *S`` (the image with the mask hidden, its high-pass) and target ``B 2 *S`` of
        :class:`~.lesion_free_loss.LesionFreeMSELoss` (the target, and 0 in lesions, 1 elsewhere).
    """
    image, edges, healthy, mask, noise, brain, lesion_free = (
        convert_to_tensor(batchdata[key]).to(device, torch.float32, non_blocking=non_blocking, **kwargs)
        for key in ("image", "high_pass", "target", "mask", "noise", "brain_mask", "lesion_free")
    )
    weight = (1 - brain + lesion_free).clamp(0, 1)
    return torch.cat([hide_by_noise(image, mask, noise), edges], dim=1), torch.cat([healthy, weight], dim=1)


class IterativeMaskInferer(Inferer):
    """Anomaly map and pseudo-healthy brain of IterMask3D; volumes of a batch are treated one by one.

    Args:
        spacing: of the network's grid, in mm.
        cutoff: of the high-pass, in cycles per mm.
        curve: of which the subject's threshold is read; without points there is no iteration either, only the
            single-pass reconstruction of the hidden brain.
        smoothing_mm: standard deviation of the Gaussian that smooths the residual before it is squared; 0 in the paper.
        first_pass_weight: w of the first pass, which sees nothing of the brain, in the map
            ``(w |r_first| + (1 - w) |r_last|)^2`` of the smoothed residuals r; 0 in the paper: the last pass alone.
        stop: when the iteration ends.
        amp: run the network in bfloat16.
        seed: of the noise put in place of hidden voxels, the same field for every volume.

    What it returns carries facts (:mod:`~...runs.facts`): the subject's threshold, how it was found, the hidden share
    of the brain before each refinement pass and after the last (the paper's score), the mean of the map in the brain
    (its other score), network evaluations.
    """

    def __init__(
        self,
        spacing: Sequence[float] = (2.0, 2.0, 2.0),
        cutoff: float = 15 / 192,
        curve: ThresholdCurve = PAPER_CURVE,
        smoothing_mm: float = 0.0,
        first_pass_weight: float = 0.0,
        stop: StopRule = STOP,
        amp: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spacing, self.cutoff, self.curve, self.stop = spacing, cutoff, curve, stop
        self.seed, self.first_pass_weight = seed, first_pass_weight
        self.squared_error = SquaredError([smoothing_mm / step for step in spacing])
        self.forward = AutocastInferer(enabled=amp)

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B 2 *S`` (normalised image, brain mask) to ``B 2 *S`` (squared error in the brain, reconstruction)."""
        done = [self._one(convert_to_tensor(volume).float(), network) for volume in inputs]
        return with_facts(torch.stack([result for result, _ in done]), [facts for _, facts in done])

    def _one(self, volume: torch.Tensor, network: Callable[..., Any]) -> tuple[torch.Tensor, dict[str, Any]]:
        image, brain = volume[None, :1], volume[None, 1:]
        edges = high_pass(image, self.spacing, self.cutoff)
        noise = centred_noise(image.shape, self.seed).to(image.device)
        evaluations, everything_hidden = 0, image

        def reconstruct(mask: torch.Tensor) -> torch.Tensor:
            nonlocal evaluations, everything_hidden
            if mask is brain and evaluations:  # every loop starts there
                return everything_hidden
            evaluations += 1
            reconstruction = self.forward(torch.cat([hide_by_noise(image, mask, noise), edges], dim=1), network)
            if mask is brain:
                everything_hidden = reconstruction
            return reconstruction

        if len(self.curve.percents):
            taus = threshold_curve(reconstruct, image, brain, self.curve.percents, self.squared_error)
            points = [s + 1 for s in self.curve.percents]
            chosen = subject_threshold(points, taus, self.curve.gamma, self.curve.y_limit)
            result = refine(reconstruct, image, brain, chosen.value, self.stop, self.squared_error)
        else:
            chosen = SubjectThreshold(float("nan"), 0, "single pass", float("nan"))
            result = Refined(reconstruct(brain), brain, [1.0])
        first, last = (self.squared_error(image, x, brain).sqrt() for x in (everything_hidden, result.reconstruction))
        anomaly_map = torch.lerp(last, first, self.first_pass_weight).square()
        facts = {
            "subject_threshold": chosen.value,
            "threshold_rule": chosen.rule,
            "r_squared": chosen.r_squared,
            "hidden_shares": result.hidden_shares,
            "hidden_share": float(result.mask.sum() / brain.sum()),
            "mean_error": float(anomaly_map.sum() / brain.sum()),
            "network_evaluations": evaluations,
        }
        return torch.cat([anomaly_map, result.reconstruction], dim=1)[0], facts
