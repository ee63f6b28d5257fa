"""MMCCD (arXiv 2308.16150): hide a stripe, translate to another sequence and back; what fails to return is abnormal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from tqdm import tqdm

from ..anomaly.residuals import ERRORS, fit_intensities, signed_residual
from ..cycle.modality_cycle import ModalityCycles
from ..data.seeding import derive_seed
from ..data.slices import median_units
from ..diffusion.denoisers import VPDenoiser
from ..diffusion.noise_levels import linear_alphas_cumprod, vp_sigmas
from ..diffusion.samplers import SAMPLERS
from ..masking.stripes import random_stripes, stripes
from .autocast import AutocastInferer

BACKGROUND = -3.0
MODES = ("masked", "cyclic_unet", "direct")


def hide(image: torch.Tensor, stripe: torch.Tensor, brain_mask: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Replace the brain under the stripe by noise; the outline stays visible, unlike in the paper. All ``B 1 X Y``."""
    return torch.where(stripe & (brain_mask > 0), noise, image)


class CyclePrepareBatch(PrepareBatch):
    """Network input and target of one training step of all f and g (section 2.2).

    Args:
        sequences: channels of the batch's ``image``.
        pairs: ordered pairs of them, as in :class:`~..cycle.modality_cycle.ModalityCycles`.
        stripe_width: in pixels.
    """

    def __init__(self, sequences: Sequence[str], pairs: Sequence[Sequence[str]], stripe_width: int) -> None:
        self.channels = [(list(sequences).index(a), list(sequences).index(b)) for a, b in pairs]
        self.stripe_width = stripe_width
        self.alphas_cumprod = linear_alphas_cumprod().float()

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor], dict[str, Any]]:
        """Draw stripes, timesteps and noise from torch's generator.

        Args:
            batchdata: ``image`` ``B S X Y`` in median units, ``brain_mask`` and ``lesion_free`` ``B 1 X Y``.
            device: where the tensors go.
            non_blocking: of the copy.
            kwargs: of ``Tensor.to``.

        Returns:
            inputs ``B 3P X Y`` and timesteps ``B P`` of ModalityCycles, targets ``B P+1 X Y`` of TranslationLoss.
        """
        image, brain, lesion_free = (
            convert_to_tensor(batchdata[key]).float() for key in ("image", "brain_mask", "lesion_free")
        )
        inputs, targets, timesteps = [], [], []
        for a, b in self.channels:
            source, target = image[:, a : a + 1], image[:, b : b + 1]
            stripe = random_stripes(brain, self.stripe_width)
            masked = hide(source, stripe, brain, torch.randn_like(source))
            t = torch.randint(len(self.alphas_cumprod), (len(image),))
            kept = self.alphas_cumprod[t][:, None, None, None]
            noisy = kept.sqrt() * target + (1 - kept).sqrt() * torch.randn_like(target)
            inputs += [noisy, masked, source]
            targets.append(target)
            timesteps.append(t)
        moved = [
            part.to(device, non_blocking=non_blocking, **kwargs)
            for part in (torch.cat(inputs, 1), torch.cat([*targets, lesion_free], 1), torch.stack(timesteps, 1))
        ]
        return moved[0], moved[1], (moved[2],), {}


class CycleInferer(Inferer):
    """Anomaly map and pseudo-healthy brain by a cycle between two sequences; slices and stripes are batched.

    Args:
        sequence: of the image.
        mode: "masked" is MMCCD: each stripe of the image is hidden, f draws the other sequence, g translates it back,
            and what g returns counts under the stripe. "cyclic_unet" translates the whole slice to and fro by g's alone
            (the paper's ablation). "direct" translates the companions, other sequences of the subject, to this one.
        companions: sequences between image and brain mask in the input, for "direct".
        stripe_width: in pixels (16 of 1.875 mm in the paper).
        stride: of the stripes, in pixels (2 in the paper).
        timesteps: of the diffusion, descending (990, 980, ..., 0 in the paper).
        sampler: name in :data:`~..diffusion.samplers.SAMPLERS`; "euler" is the paper's DDIM.
        error: "squared", the paper's, or one-sided: "bright" counts what is brighter than reconstructed, "dark" darker.
        fit: rescale the reconstruction to the image's intensities first (not with "squared").
        batch_size: slices in one network evaluation.
        amp: run the networks in bfloat16.
        seed: of the noise, which is one fixed field for each slice and stripe.

    Where several other sequences were trained both ways, their cycles are averaged. After a call ``history`` holds a
    dict per volume: slices, stripes (slices times their stripes that meet the brain) and evaluations of one slice.
    """

    def __init__(
        self,
        sequence: str,
        mode: str = "masked",
        companions: Sequence[str] = (),
        stripe_width: int = 16,
        stride: int = 2,
        timesteps: Sequence[int] = tuple(range(990, -1, -10)),
        sampler: str = "euler",
        error: str = "squared",
        fit: bool = False,
        batch_size: int = 32,
        amp: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, given, known in (("mode", mode, MODES), ("sampler", sampler, SAMPLERS), ("error", error, ERRORS)):
            if given not in known:
                raise ValueError(f"the {name} is one of {', '.join(known)}, got '{given}'")
        if mode == "direct" and not companions:
            raise ValueError("mode 'direct' needs another sequence of the subject, as in configs/inference_direct.json")
        self.sequence, self.mode, self.companions = sequence, mode, list(companions)
        self.stripe_width, self.stride, self.error, self.fit = stripe_width, stride, error, fit
        self.alphas_cumprod = linear_alphas_cumprod()
        self.sigmas, self.sample = vp_sigmas(self.alphas_cumprod, timesteps), SAMPLERS[sampler]
        self.batch_size, self.seed = batch_size, seed
        self.forward = AutocastInferer(enabled=amp)
        self.evaluations = 0
        self.history: list[dict[str, Any]] = []

    @torch.inference_mode()
    def __call__(self, inputs: torch.Tensor, network: ModalityCycles, *args: Any, **kwargs: Any) -> torch.Tensor:
        """``B C X Y Z`` (image, companions, brain mask) to ``B 2 X Y Z`` (error, reconstruction), all 6x/p90 - 3."""
        self.history = []
        return torch.stack([self._one(convert_to_tensor(volume).float(), network) for volume in inputs])

    def _one(self, volume: torch.Tensor, network: ModalityCycles) -> torch.Tensor:
        in_brain = volume[-1].sum(dim=(0, 1)).nonzero()[:, 0]  # numbers of the slices that hold brain
        scaled = [median_units(image, volume[-1]) for image in volume[:-1]]
        image, *companions = (x.permute(2, 0, 1)[in_brain, None] for x, _ in scaled)  # N 1 X Y each
        brain, unit = volume[-1].permute(2, 0, 1)[in_brain, None], float(scaled[0][1])
        self.evaluations, drawn = 0, 0
        if self.mode == "masked":
            others = network.intermediates(self.sequence)
            results = [self._masked_cycle(image, brain, in_brain.tolist(), other, network) for other in others]
            reconstruction, squared = (torch.stack([r[n] for r in results]).mean(dim=0) for n in (0, 1))
            drawn = sum(r[2] for r in results)
        else:
            if self.mode == "direct":
                starts = dict(zip(self.companions, companions, strict=True))
            else:
                others = network.intermediates(self.sequence)
                starts = {other: self._translate(image, brain, self.sequence, other, network) for other in others}
            backs = [self._translate(x, brain, other, self.sequence, network) for other, x in starts.items()]
            reconstruction = torch.stack(backs).mean(dim=0)
            squared = (reconstruction - image).square()
        if self.error == "squared":
            error = squared * unit**2
        else:
            fitted = fit_intensities(reconstruction, image, brain) if self.fit else reconstruction
            reconstruction = torch.where(brain > 0, fitted, BACKGROUND)
            error = signed_residual(image, reconstruction, self.error) * unit
        slices = {"slices": len(in_brain), "stripes": drawn}
        self.history.append({**slices, "network_evaluations": self.evaluations})
        result = torch.stack([torch.zeros_like(volume[0]), torch.full_like(volume[0], BACKGROUND)])
        both = torch.cat([error * brain, (reconstruction + 3) * unit - 3], dim=1)  # N 2 X Y
        result[..., in_brain] = both.permute(1, 2, 3, 0)
        return result

    def _masked_cycle(
        self, image: torch.Tensor, brain: torch.Tensor, numbers: Sequence[int], other: str, network: ModalityCycles
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Mean over the stripes of the reconstruction and of its squared error, ``N 1 X Y``, and how many were drawn.

        The paper's ``sum_r m_r E_r / sum_r m_r``; stripes that hide no brain are left out, they change nothing in it.
        """
        hidden = stripes(tuple(image.shape[-2:]), self.stripe_width, self.stride).to(image.device)  # R X Y
        meets = torch.einsum("nxy,rxy->nr", (brain[:, 0] > 0).float(), hidden.float()) > 0
        todo = meets.nonzero()  # slice and stripe
        counts, back_sum, square_sum = (torch.zeros_like(image) for _ in range(3))
        progress = tqdm(total=len(todo), desc="stripes", unit="stripe", leave=False, delay=5)
        for chunk in todo.split(self.batch_size):
            n, r = chunk.unbind(dim=1)
            stripe, x, inside = hidden[r][:, None], image[n], brain[n]
            keys = [(numbers[i], j) for i, j in chunk.tolist()]
            masked = hide(x, stripe, inside, self._noise(keys, "condition", x))
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
        generators = (torch.Generator().manual_seed(derive_seed(self.seed, purpose, *key)) for key in keys)
        return torch.stack([torch.randn(like.shape[1:], generator=g) for g in generators]).to(like.device)
