"""IterMask3D (arXiv 2504.04911): hide the brain, reconstruct it, keep hidden only what was reconstructed badly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor

from ...brains.shading import ShadingRemoval
from ...runs.facts import with_facts
from ..autocast import AutocastInferer
from .errors import SquaredError, StandardisedError
from .high_pass import high_pass
from .refinement import Iteration

PAPER_ERROR, PAPER_ITERATION, NO_REMOVAL = SquaredError(), Iteration(), ShadingRemoval(degree=0)


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
        error: of a reconstruction; it is the map.
        iteration: how the paper goes on; None ends with the reconstruction of the brain that is hidden whole.
        spacing: of the network's grid, in mm.
        cutoff: of the high-pass, in cycles per mm.
        shading: is removed first, against reconstructions of the brain that is hidden whole; not in the paper.
        draws: fields of noise put in place of hidden voxels; the reconstruction is the mean over them.
        amp: run the network in bfloat16.
        seed: of the noise put in place of hidden voxels, the same field for every volume.

    What it returns carries facts (:mod:`~...runs.facts`): those of the error, the mean squared residual in the brain
    (one of the paper's scores) and network evaluations; with the iteration also the subject's threshold, how it was
    found, and the hidden share of the brain before each pass and after the last (the other score).

    Raises:
        ValueError: no draw.
    """

    def __init__(
        self,
        error: SquaredError | StandardisedError = PAPER_ERROR,
        iteration: Iteration | None = PAPER_ITERATION,
        spacing: Sequence[float] = (2.0, 2.0, 2.0),
        cutoff: float = 15 / 192,
        shading: ShadingRemoval = NO_REMOVAL,
        draws: int = 1,
        amp: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if draws < 1:
            raise ValueError(f"draws is {draws}; at least 1 field of noise is needed")
        self.error, self.iteration, self.spacing, self.cutoff = error, iteration, spacing, cutoff
        self.shading, self.seeds = shading, range(seed, seed + draws)
        self.forward = AutocastInferer(enabled=amp)

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B 2 *S`` (normalised image, brain mask) to ``B 2 *S`` (error in the brain, reconstruction)."""
        done = [self._one(convert_to_tensor(volume).float(), network) for volume in inputs]
        return with_facts(torch.stack([result for result, _ in done]), [facts for _, facts in done])

    def _one(self, volume: torch.Tensor, network: Callable[..., Any]) -> tuple[torch.Tensor, dict[str, Any]]:
        brain = volume[None, 1:]
        noises = [centred_noise(brain.shape, seed).to(brain.device) for seed in self.seeds]
        evaluations = 0

        def filled_in(hidden: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
            nonlocal evaluations
            evaluations += 1
            return self.forward(torch.cat([hidden, edges], dim=1), network)

        def pseudo_healthy(images: torch.Tensor) -> torch.Tensor:
            edges = high_pass(images[None], self.spacing, self.cutoff)
            return filled_in(hide_by_noise(images[None], brain, noises[0]), edges)[0]

        unshaded = self.shading(volume[:1], brain[0], pseudo_healthy)
        image = unshaded.images[None]
        edges = high_pass(image, self.spacing, self.cutoff)
        error_of, facts = self.error.of_case(image, brain)

        def reconstruct(mask: torch.Tensor) -> torch.Tensor:
            drawn = torch.stack([filled_in(hide_by_noise(image, mask, noise), edges) for noise in noises]).mean(dim=0)
            return self.error.matched(drawn, image, brain)

        everything_hidden = reconstruct(brain)
        result = everything_hidden
        if self.iteration is not None:

            def again(mask: torch.Tensor) -> torch.Tensor:  # both loops start with the whole brain
                return everything_hidden if mask is brain else reconstruct(mask)

            chosen, refined = self.iteration.run(again, error_of, brain)
            result = refined.reconstruction
            facts |= {
                "subject_threshold": chosen.value,
                "threshold_rule": chosen.rule,
                "r_squared": chosen.r_squared,
                "hidden_shares": refined.hidden_shares,
                "hidden_share": float(refined.mask.sum() / brain.sum()),
            }
        facts["mean_error"] = float(((image - result) * brain).square().sum() / brain.sum())
        facts["network_evaluations"] = evaluations
        shading = unshaded.facts()
        facts |= {**shading, "notes": [*facts.get("notes", []), *shading.get("notes", [])]}
        return torch.cat([error_of(result)[0], unshaded.shade(result[0])]), facts
