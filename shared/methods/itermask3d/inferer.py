"""IterMask3D (arXiv 2504.04911): hide the brain, reconstruct it, keep hidden only what was reconstructed badly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor

from ..autocast import AutocastInferer
from .high_pass import high_pass
from .refinement import Refined, SquaredError, refine, threshold_curve
from .subject_threshold import SubjectThreshold, subject_threshold


def hide(image: torch.Tensor, mask: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Replace the masked voxels by noise, ``(1 - m) x + m n`` (section 2); all ``B 1 *S``."""
    return torch.where(mask > 0, noise, image)


def prepare_batch(
    batchdata: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Network input and target of one training step.

    Args:
        batchdata: ``image``, ``high_pass``, ``mask``, ``noise``, ``brain_mask`` and ``lesion_free``, each ``B 1 *S``;
            the brain outside ``lesion_free`` is labelled a lesion.
        device: where the tensors go.
        non_blocking: of the copy.
        kwargs: of ``Tensor.to``.

    Returns:
        input ``B 2 *S`` (the image with the mask hidden, its high-pass) and target ``B 2 *S`` of
        :class:`~.lesion_free_loss.LesionFreeMSELoss` (the image, and 0 in lesions, 1 elsewhere).
    """
    image, edges, mask, noise, brain, lesion_free = (
        convert_to_tensor(batchdata[key]).to(device, torch.float32, non_blocking=non_blocking, **kwargs)
        for key in ("image", "high_pass", "mask", "noise", "brain_mask", "lesion_free")
    )
    weight = (1 - brain + lesion_free).clamp(0, 1)
    return torch.cat([hide(image, mask, noise), edges], dim=1), torch.cat([image, weight], dim=1)


class IterativeMaskInferer(Inferer):
    """Anomaly map and pseudo-healthy brain of IterMask3D; volumes of a batch are treated one by one.

    Args:
        spacing: of the network's grid, in mm.
        cutoff: of the high-pass, in cycles per mm.
        percents: of the brain left unmasked at the points of the threshold curve; empty skips curve and
            iteration and leaves the single-pass reconstruction of the hidden brain.
        gamma: steepness of the curve, per percent, at which the subject's threshold is read.
        y_limit: squared error at which the fit of the curve ends.
        smoothing_mm: standard deviation of the Gaussian that smooths the residual before it is squared; 0 in the paper.
        first_pass_weight: w of the first pass, which sees nothing of the brain, in the map
            ``(w |r_first| + (1 - w) |r_last|)^2`` of the smoothed residuals r; 0 in the paper: the last pass alone.
        stop_ratio: the iteration ends when a pass shrinks the mask by less than this share.
        max_iterations: of refinement passes.
        amp: run the network in bfloat16.
        seed: of the noise put in place of hidden voxels, the same field for every volume of one size.

    After a call ``history`` holds one dict per volume: the subject's threshold, how it was found, the
    hidden share of the brain before each refinement pass and after the last (the paper's score), the mean of the map
    in the brain (its other score), network evaluations.
    """

    def __init__(
        self,
        spacing: Sequence[float] = (2.0, 2.0, 2.0),
        cutoff: float = 15 / 192,
        percents: Sequence[int] = tuple(range(100)),
        gamma: float = 0.05,
        y_limit: float = 2.0,
        smoothing_mm: float = 0.0,
        first_pass_weight: float = 0.0,
        stop_ratio: float = 0.01,
        max_iterations: int = 20,
        amp: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spacing, self.cutoff, self.percents = spacing, cutoff, percents
        self.gamma, self.y_limit, self.stop_ratio, self.max_iterations = gamma, y_limit, stop_ratio, max_iterations
        self.seed, self.first_pass_weight = seed, first_pass_weight
        self.squared_error = SquaredError([smoothing_mm / step for step in spacing])
        self.forward = AutocastInferer(enabled=amp)
        self.history: list[dict[str, Any]] = []

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B 2 *S`` (normalised image, brain mask) to ``B 2 *S`` (squared error in the brain, reconstruction)."""
        self.history = []
        return torch.stack([self._one(convert_to_tensor(volume).float(), network) for volume in inputs])

    def _one(self, volume: torch.Tensor, network: Callable[..., Any]) -> torch.Tensor:
        image, brain = volume[None, :1], volume[None, 1:]
        edges = high_pass(image, self.spacing, self.cutoff)
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(self.seed)).to(image.device)
        evaluations, everything_hidden = 0, image

        def reconstruct(mask: torch.Tensor) -> torch.Tensor:
            nonlocal evaluations, everything_hidden
            if mask is brain and evaluations:  # every loop starts there
                return everything_hidden
            evaluations += 1
            reconstruction = self.forward(torch.cat([hide(image, mask, noise), edges], dim=1), network)
            if mask is brain:
                everything_hidden = reconstruction
            return reconstruction

        if len(self.percents):
            taus = threshold_curve(reconstruct, image, brain, self.percents, self.squared_error)
            chosen = subject_threshold([s + 1 for s in self.percents], taus, self.gamma, self.y_limit)
            result = refine(
                reconstruct, image, brain, chosen.value, self.stop_ratio, self.max_iterations, self.squared_error
            )
        else:
            chosen = SubjectThreshold(float("nan"), 0, "single pass", float("nan"))
            result = Refined(reconstruct(brain), brain, [1.0])
        first, last = (self.squared_error(image, x, brain).sqrt() for x in (everything_hidden, result.reconstruction))
        anomaly_map = torch.lerp(last, first, self.first_pass_weight).square()
        self.history.append(
            {
                "subject_threshold": chosen.value,
                "threshold_rule": chosen.rule,
                "r_squared": chosen.r_squared,
                "hidden_shares": result.hidden_shares,
                "hidden_share": float(result.mask.sum() / brain.sum()),
                "mean_error": float(anomaly_map.sum() / brain.sum()),
                "network_evaluations": evaluations,
            }
        )
        return torch.cat([anomaly_map, result.reconstruction], dim=1)[0]
