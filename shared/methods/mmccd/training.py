"""Training of MMCCD (arXiv 2308.16150): what each f and g gets to see, and what it is to return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils import convert_to_tensor

from ...diffusion.noise_levels import linear_alphas_cumprod
from .stripes import hide_stripe, random_stripes


class CyclePrepareBatch(PrepareBatch):
    """Network input and target of one training step of all f and g (section 2.2).

    Args:
        sequences: channels of the batch's ``image``.
        pairs: ordered pairs of them, as in :class:`~.modality_cycle.ModalityCycles`.
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
            masked = hide_stripe(source, stripe, brain, torch.randn_like(source))
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
