"""Lesions for slices that have none, beside those a CycleGAN draws: transplanted real ones and simulated ones.

Slices are ``B S X Y`` in units where the background is 0 and the brain's median 0.5. All randomness comes from torch's
generator.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

Range = tuple[float, float]
# Change of a tumour's sequences against the brain's median, drawn for each lesion; a glioma is bright on FLAIR, mostly
# dark on T1, either on T1 with contrast. A core may be necrosis or cyst (dark on all) or enhance, wholly or at its rim.
CHANGES: dict[str, Range] = {"t1": (-0.25, 0.05), "t1ce": (-0.25, 0.3), "t2": (0.05, 0.8), "flair": (0.05, 0.7)}
CORES: dict[str, Range] = {"t1": (-0.4, 0.1), "t1ce": (-0.4, 0.6), "t2": (0.1, 0.9), "flair": (-0.4, 0.5)}
RIMS: dict[str, Range] = {"t1": (-0.1, 0.2), "t1ce": (0.0, 0.8), "t2": (0.0, 0.5), "flair": (-0.1, 0.6)}


def uniform(low: float, high: float, *shape: int) -> Tensor:
    """Uniform draws from [low, high)."""
    return low + (high - low) * torch.rand(shape)


def transplant(images: Tensor, brain_mask: Tensor, donors: Tensor, freed: Tensor, least: float = 0.02) -> Tensor:
    """Add what a generator takes off real lesions, ``donors - freed``, moved, mirrored and scaled.

    Args:
        images: slices that receive a lesion, ``B S X Y``.
        brain_mask: of them, ``B 1 X Y``.
        donors: slices with a lesion, ``B S X Y``.
        freed: the same after the generator, ``B S X Y``.
        least: smaller changes are none; the change is averaged over 3 x 3 pixels first, which removes the generator's
            fingerprint.
    """
    change = avg_pool2d(donors - freed, 3, 1, 1)
    change = change * (change.abs() > least)
    moved = []
    for one in change:
        shift = [int(n) for n in torch.randint(-10, 11, (2,))]
        one = one.roll(shift, dims=(1, 2))
        one = one.flip(1) if torch.rand(()) < 0.5 else one
        moved.append(one * uniform(0.5, 2.0))
    return (images + torch.stack(moved) * brain_mask).clamp(min=0)


def smooth_noise(count: int, size: tuple[int, int], coarse: int) -> Tensor:
    """Standard normal noise on a grid ``coarse`` times coarser, interpolated; ``count 1 X Y``."""
    grid = torch.randn(count, 1, *(n // coarse + 2 for n in size))
    return interpolate(grid, size=size, mode="bicubic", align_corners=False)


def blobs(brain_mask: Tensor, radius: Range, within: Tensor | None = None) -> Tensor:
    """Weights ``B 1 X Y`` in [0, 1] of ragged ellipses with soft edges, centred anywhere in the brain or ``within``.

    Args:
        brain_mask: ``B 1 X Y``.
        radius: range of the mean radius in pixels, whose logarithm is uniform.
        within: ``B 1 X Y``, where centres may lie.
    """
    size = (brain_mask.shape[-2], brain_mask.shape[-1])
    x, y = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    weights = []
    for place in brain_mask if within is None else within:
        candidates = (place[0] > 0.5).nonzero()
        if not len(candidates):
            candidates = torch.tensor([[s // 2 for s in size]])
        centre = candidates[torch.randint(len(candidates), ())].float()
        mean = uniform(*torch.tensor(radius).log().tolist()).exp()
        angle, stretch = uniform(0, torch.pi), uniform(0.6, 1.0).sqrt()
        along = (x - centre[0]) * angle.cos() + (y - centre[1]) * angle.sin()
        across = (y - centre[1]) * angle.cos() - (x - centre[0]) * angle.sin()
        distance = ((along * stretch) ** 2 + (across / stretch) ** 2).sqrt()
        ragged = 0.25 * mean * smooth_noise(1, size, 12)[0, 0] + 0.1 * mean * smooth_noise(1, size, 5)[0, 0]
        weights.append(torch.sigmoid((mean - distance + ragged) / uniform(0.4, 1.5)))
    return torch.stack(weights)[:, None] * brain_mask


def simulated_lesions(images: Tensor, brain_mask: Tensor, sequences: list[str]) -> Tensor:
    """Blend in one or two lesions of even intensity with some texture, half of the time with a core or its rim.

    Args:
        images: ``B S X Y``.
        brain_mask: ``B 1 X Y``.
        sequences: names of the channels, known to :data:`CHANGES`; all show the same lesion.
    """
    lesion = blobs(brain_mask, (1.5, 20.0))
    second = blobs(brain_mask, (1.5, 8.0)) * _coins(0.3, len(images))
    core = blobs(brain_mask, (2.0, 10.0), within=lesion) * lesion * _coins(0.5, len(images))
    rim = (core + max_pool2d(-core, 5, 1, 2)) * _coins(0.5, len(images))  # core less the eroded core
    for weight, changes in ((lesion, CHANGES), (second, CHANGES), (core, CORES), (rim, RIMS)):
        images = _blended(images, weight, changes, sequences)
    return images.clamp(min=0)


def _blended(images: Tensor, weight: Tensor, changes: Mapping[str, Range], sequences: list[str]) -> Tensor:
    count, _, *size = images.shape
    blended = []
    for channel, sequence in enumerate(sequences):
        image = images[:, channel : channel + 1]
        texture = 1 + 0.3 * smooth_noise(count, (size[0], size[1]), 8)
        level = 0.5 + uniform(*changes[sequence], count, 1, 1, 1) * texture
        opacity = uniform(0.4, 1.0, count, 1, 1, 1)  # how much of the tissue below is lost
        blended.append(image + weight * opacity * (level - image))
    return torch.cat(blended, dim=1)


def _coins(probability: float, count: int) -> Tensor:
    return (torch.rand(count, 1, 1, 1) < probability).float()
