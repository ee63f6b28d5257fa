"""Dictionary transforms of all anomaly bundles: from any brain-extracted NIfTI to the network's grid and units."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import monai.transforms
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import GaussianSmooth, MapTransform
from scipy.ndimage import binary_fill_holes

from .mask_fit import without_outer_zeros
from .units import normalise, p90_scale

_SPIKE = 10  # times the 90th percentile
_MADE = "made_by_brain_maskd"  # in the metadata of a mask


class CutSpikesd(MapTransform):
    """Cut what lies beyond ten times the 90th percentile of the non-zero voxels, before interpolation spreads it.

    One voxel of 1e6 would change the normalisation layers of a network, and with them the whole map. Real brains have
    at most 4.2 times that percentile (175 scans of IXI, TCGA-LGG and an MS patient): nothing of them is cut.

    Args:
        keys: images as read, ``C X Y Z``, each channel by itself.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            values = np.abs(np.asarray(d[key])).reshape(len(d[key]), -1)
            limits = [_SPIKE * np.percentile(v[v > 0], 90) if v.any() else np.inf for v in values]
            if (values.max(axis=1) > limits).any():
                limit = torch.tensor(limits).reshape(-1, *[1] * (d[key].ndim - 1)).to(d[key])
                d[key] = d[key].clamp(-limit, limit)
        return d


class BrainMaskd(MapTransform):
    """Make sure there is a brain mask: the file's, binarised, or the non-zero voxels with their holes filled.

    Args:
        keys: images, ``1 X Y Z``; without a mask exactly 0 outside the brain. The first is that of the brain.
        mask_key: brain mask, ``1 X Y Z`` float 0/1; any value above 0 in a given mask is brain, but what is 0 in the
            image and connected to the outside (:func:`~.mask_fit.without_outer_zeros`). It gets the metadata of the
            first image, and with them its affine: voxel for voxel it is of that grid, as the door has checked.

    The images are set to 0 outside the mask. A mask that this transform made stays as it is when it comes again: what
    an artefact has emptied in between is still a place of brain.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.keys[0]]
        first = np.asarray(image[0])
        if self.mask_key in d:
            brain = d[self.mask_key] > 0
            if _MADE not in getattr(brain, "meta", {}):
                brain = brain & torch.from_numpy(without_outer_zeros(np.asarray(brain[0]), first))
        else:
            brain = torch.from_numpy(binary_fill_holes(first != 0)[None])
        d[self.mask_key] = MetaTensor(brain.float(), meta={**getattr(image, "meta", {}), _MADE: True})
        for key in self.key_iterator(d):
            d[key] = d[key] * d[self.mask_key]
        return d


def blur_before_thinning(image: torch.Tensor, ratio: np.ndarray) -> torch.Tensor:
    """Smooth an image, ``C X Y Z``, whose voxels become ``ratio`` times as large: interpolation would skip some.

    Args:
        image: stays as it is where no ratio is above 1.
        ratio: new over old voxel size, by axis.
    """
    sigma = 0.42 * np.sqrt(np.maximum(ratio**2 - 1, 0))  # a voxel blurs like a Gaussian of 0.42 its width
    if not sigma.any():
        return image
    blur = GaussianSmooth(sigma.tolist())
    return blur(image) / blur(torch.ones_like(image[:1]))  # beyond the volume is nothing, not 0


class Spacingd(monai.transforms.Spacingd):
    """MONAI's Spacingd that blurs images (not masks) before it thins out, and leaves alone what it was not asked for.

    MONAI 1.6 calls ``.update`` on every entry named ``<key>_*``; MONAI Label keeps ``image_path``, a string, there.

    Args:
        keys: volumes ``C X Y Z``.
        pixdim: three voxel sizes, in mm, the same for all keys.
        options: of MONAI's transform.

    Raises:
        ValueError: the voxel sizes are not three numbers above 0.
    """

    def __init__(self, keys: KeysCollection, pixdim: Sequence[float], **options: Any) -> None:
        sizes = list(pixdim) if isinstance(pixdim, Sequence) else [pixdim]
        if len(sizes) != 3 or not all(isinstance(mm, (int, float)) and mm > 0 for mm in sizes):
            raise ValueError(f"the spacing is three voxel sizes above 0 mm, such as [2, 2, 2], got {pixdim}")
        super().__init__(keys, pixdim=sizes, **options)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode, pixdim in self.key_iterator(d, self.mode, [self.spacing_transform.pixdim] * len(self.keys)):
            if mode == "bilinear":
                d[key] = blur_before_thinning(d[key], np.broadcast_to(pixdim, 3) / np.asarray(d[key].pixdim))
        aside = {k: v for k, v in d.items() if k not in self.keys and not isinstance(v, dict)}
        result = super().__call__({k: v for k, v in d.items() if k not in aside}, lazy)
        return {**result, **aside}


class BrainNormalized(MapTransform):
    """Scale by the 90th percentile in the brain, to normalised units (:mod:`~.units`).

    Args:
        keys: images of the shape of the brain mask, 0 outside the brain; or ``S X Y Z`` with one mask, each channel by
            itself, whatever it is outside. There a channel that is NaN anywhere (an absent sequence, also padded)
            becomes NaN everywhere.
        mask_key: brain mask, ``1 X Y Z``, or ``Z X Y`` of an image of slices.
        scale_key: where the intensity of one normalised unit goes; a list of S, NaN for absent ones.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask", scale_key: str = "intensity_scale") -> None:
        super().__init__(keys)
        self.mask_key, self.scale_key = mask_key, scale_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            brain = np.asarray(d[self.mask_key]) > 0
            if d[key].shape == brain.shape:
                d[self.scale_key] = float(p90_scale(np.asarray(d[key])[brain]))
                d[key] = normalise(d[key], d[self.scale_key])
            else:
                channels = np.asarray(d[key])
                absent = np.isnan(channels).any(axis=(1, 2, 3), keepdims=True)
                scales = p90_scale(np.where(absent, np.nan, channels)[:, brain[0]], axis=1)
                d[self.scale_key] = scales.tolist()
                scale = torch.as_tensor(scales)[:, None, None, None]  # NaN makes all of its channel NaN
                d[key] = normalise(d[key] * torch.from_numpy(brain).to(d[key]), scale)
        return d
