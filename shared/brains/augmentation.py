"""Random changes of a healthy brain that a training shows its network: other anatomy, other borders of extraction.

All are transforms of training alone; what every run does with a file is in :mod:`~.transforms`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.networks.blocks import Warp
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn import functional


def smooth_field(random: np.random.RandomState, shape: Sequence[int], points: int = 5) -> torch.Tensor:
    """Uniform random numbers on ``points`` to each axis, interpolated linearly: ``X Y Z`` float32 in [0, 1]."""
    coarse = torch.from_numpy(random.uniform(size=(1, 1, points, points, points)).astype(np.float32))
    return functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]


class RandErodeBraind(RandomizableTransform, MapTransform):
    """Peel a voxel layer or two off the brain mask: brain extraction tools differ by about that much.

    Args:
        keys: brain masks, ``1 X Y Z`` float 0/1.
        prob: probability of peeling.
        max_layers: layers are uniform on 1 ... max_layers.
    """

    def __init__(self, keys: KeysCollection = "brain_mask", prob: float = 0.5, max_layers: int = 2) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.max_layers = max_layers

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            width = 2 * self.R.randint(1, self.max_layers + 1) + 1
            for key in self.key_iterator(d):
                outside = functional.pad(1 - d[key][None], (width // 2,) * 6, value=1.0)  # beyond the field is no brain
                d[key] = 1 - functional.max_pool3d(outside, width, stride=1)[0]
        return d


class RandLeftoverRimd(RandomizableTransform, MapTransform):
    """Leave patches of a strip around the brain, as an extraction does that takes membranes, fat or bone for brain.

    The strip has one brightness, from bone to fat, with a tenth of it as texture, on about half of the surface.

    Args:
        keys: images, ``1 X Y Z``, 0 outside the brain.
        mask_keys: masks ``1 X Y Z`` float 0/1 that grow by the strip; the first is the brain mask.
        prob: probability of a strip.
        max_layers: its voxel layers are uniform on 1 ... max_layers.
        brightness: range of its intensity, in shares of the 90th percentile of the brain.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_keys: Sequence[str] = ("brain_mask",),
        prob: float = 0.25,
        max_layers: int = 2,
        brightness: tuple[float, float] = (0.1, 1.2),
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.mask_keys, self.max_layers, self.brightness = tuple(mask_keys), max_layers, brightness

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        brain = d[self.mask_keys[0]]
        layers = self.R.randint(1, self.max_layers + 1)
        grown = functional.max_pool3d(brain[None], 2 * layers + 1, stride=1, padding=layers)[0]
        strip = (grown > brain) & (smooth_field(self.R, brain.shape[1:], 8) > 0.5)
        level = self.R.uniform(*self.brightness) * (1 + 0.1 * self.R.standard_normal(int(strip.sum()))).clip(0)
        for key in self.key_iterator(d):
            p90 = np.percentile(np.asarray(d[key])[np.asarray(brain) > 0], 90)
            d[key] = d[key].clone()
            d[key][strip] = torch.as_tensor(level * p90).to(d[key])
        for mask in self.mask_keys:
            d[mask] = torch.where(strip, 1, d[mask])
        return d


class RandWideFluidd(RandomizableTransform, MapTransform):
    """Widen the fluid spaces: beside fluid a voxel turns towards the darkest of its neighbours in the brain.

    How far it turns, 0 to 1, is a smooth random field, so that one lobe has wide sulci and another narrow ones. Fluid
    is what is darker than half of the brain's median, on T1 and on FLAIR.

    Args:
        keys: images, ``1 X Y Z``.
        prob: probability of any change.
        mask_key: brain mask, ``1 X Y Z`` float 0/1; it stays as it is, as the space in the skull does.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, mask_key: str = "brain_mask") -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            brain = d[self.mask_key] > 0
            share = smooth_field(self.R, brain.shape[1:])
            for key in self.key_iterator(d):
                darkest = -functional.max_pool3d(-d[key].masked_fill(~brain, torch.inf)[None], 3, 1, 1)[0]
                fluid = brain & (darkest < 0.5 * d[key][brain].median())
                d[key] = torch.where(fluid, torch.lerp(d[key], darkest, share.to(d[key])), d[key])
        return d


class RandSwellVentriclesd(RandomizableTransform, MapTransform):
    """Magnify the middle of the brain, where the ventricles are, and squeeze what lies around it.

    The voxel at ``x`` takes the value at ``c + (x - c) (1 - a exp(-|x - c|^2 / 2 s^2))``: magnified by 1 / (1 - a) at
    the centre c (the middle of the brain, give or take 10 mm), unchanged at the border of the brain.

    Args:
        keys: images and masks, ``1 X Y Z``.
        spacing: voxel size in mm.
        mode: "bilinear" or "nearest", one per key.
        prob: probability of any change.
        strength: a is uniform on 0 ... strength, below 1.
        radius_mm: range of s.
        mask_key: brain mask, ``1 X Y Z``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing: Sequence[float],
        mode: Sequence[str],
        prob: float = 0.3,
        strength: float = 0.5,
        radius_mm: tuple[float, float] = (12.0, 22.0),
        mask_key: str = "brain_mask",
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.spacing, self.strength, self.radius_mm, self.mask_key = tuple(spacing), strength, radius_mm, mask_key
        self.warps = [Warp(kind, "zeros") for kind in mode]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            centre = d[self.mask_key][0].nonzero().float().mean(dim=0) + torch.from_numpy(
                self.R.uniform(-10, 10, 3).astype(np.float32)
            ) / torch.tensor(self.spacing)
            grid = torch.meshgrid(*[torch.arange(float(size)) for size in d[self.mask_key].shape[1:]], indexing="ij")
            offset = torch.stack(list(grid)) - centre[:, None, None, None]
            squared_mm = sum((step * o).square() for step, o in zip(self.spacing, offset))
            shrink = self.R.uniform(0, self.strength) * torch.exp(
                -squared_mm / (2 * self.R.uniform(*self.radius_mm) ** 2)
            )
            for key, warp in self.key_iterator(d, self.warps):
                d[key] = warp(d[key][None], (-shrink * offset)[None])[0]
        return d
