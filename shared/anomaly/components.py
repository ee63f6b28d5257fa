"""Components of a mask: what is small, beside the largest one or at all, is noise; what one encloses belongs to it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai import transforms
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from ..brains.volume import superior_axis


def large_components(mask: np.ndarray, min_share: float) -> np.ndarray:
    """Keep the 26-connected components of at least ``min_share`` of the largest one's voxels.

    Args:
        mask: ``X Y Z``, above 0 is anomalous.
        min_share: in [0, 1]; 0 keeps all.

    Returns:
        ``X Y Z`` bool.
    """
    components, _ = ndimage.label(np.asarray(mask) > 0, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background
    return ((sizes > 0) & (sizes >= min_share * sizes.max()))[components]


def large_areas(mask: np.ndarray, axis: int, min_pixels: float) -> np.ndarray:
    """Keep, slice by slice, the 8-connected components of more than ``min_pixels`` pixels (400 in TSGM's code).

    Args:
        mask: ``X Y Z``, above 0 is anomalous.
        axis: the one that the slices are stacked along.
        min_pixels: at least 0, where all stay.

    Returns:
        ``X Y Z`` bool.
    """
    neighbours = np.zeros((3, 3, 3), dtype=bool)
    np.moveaxis(neighbours, axis, 0)[1] = True  # none in the slices before and after
    components, _ = ndimage.label(np.asarray(mask) > 0, structure=neighbours)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background
    return (sizes > min_pixels)[components]


def fill_holes_in_plane(mask: np.ndarray, axis: int) -> np.ndarray:
    """Fill what the mask encloses within a slice across ``axis``; a hole is 4-connected.

    Args:
        mask: ``X Y Z``, above 0 is anomalous.
        axis: the one that the slices are stacked along.

    Returns:
        ``X Y Z`` bool.
    """
    neighbours = ndimage.generate_binary_structure(3, 1)
    np.moveaxis(neighbours, axis, 0)[[0, 2]] = False  # the slices before and after
    return ndimage.binary_fill_holes(np.asarray(mask) > 0, structure=neighbours)


class RemoveSmallObjectsd(transforms.RemoveSmallObjectsd):
    """MONAI's RemoveSmallObjectsd that refuses a size below 0, which MONAI takes for 0.

    Args:
        keys: masks, MetaTensor ``1 X Y Z``.
        min_size: of what stays, in mm3 with ``by_measure``; 0 keeps all.
        options: of MONAI's transform.

    Raises:
        ValueError: ``min_size`` is below 0.
    """

    def __init__(self, keys: KeysCollection, min_size: float = 0, **options: Any) -> None:
        if not min_size >= 0:
            raise ValueError(f"the size of the smallest component is at least 0, got {min_size}")
        super().__init__(keys, min_size=min_size, **options)  # type: ignore[arg-type]  # a measure may be a fraction


class LargeComponentsd(MapTransform):
    """Keep the components of at least a share of the largest one, then fill their holes in plane.

    Args:
        keys: masks, MetaTensor ``1 X Y Z`` in any orientation; replaced by uint8.
        min_share: of the voxels of the largest 26-connected 3D component, in [0, 1]; 0 keeps all.
        fill_holes: fill what the mask encloses in a slice across the superior axis of the affine.

    Raises:
        ValueError: ``min_share`` is outside [0, 1].
    """

    def __init__(self, keys: KeysCollection = "pred", min_share: float = 0.2, fill_holes: bool = True) -> None:
        super().__init__(keys)
        if not 0 <= min_share <= 1:
            raise ValueError(f"min_share is a share between 0 and 1 (0.2 for 20 %), got {min_share}")
        self.min_share, self.fill_holes = min_share, fill_holes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            kept = large_components(np.asarray(d[key][0]), self.min_share)
            if self.fill_holes:
                kept = fill_holes_in_plane(kept, superior_axis(d[key].affine)[0])
            d[key] = MetaTensor(torch.from_numpy(kept[None].astype(np.uint8)), meta=dict(d[key].meta))
        return d
