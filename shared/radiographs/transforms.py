"""Dictionary transforms of radiographs and their masks: from files to squares in the network's units."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, ResizeWithPadOrCrop
from monai.transforms.utils import scale_affine
from monai.utils import ensure_tuple
from scipy import ndimage
from torch.nn import functional

from .reading import Radiograph, read_mask, read_radiograph

PERCENTILES = (0.5, 99.5)
_SAME = 0.02  # of the range between the percentiles: pixels that differ less from the surround belong to it


class ReadRadiographd(MapTransform):
    """Read radiographs and masks as ``1 X Y`` float32, X down the rows of the screen, affine in mm (1 if unknown).

    The affine is such that a NIfTI file written of it is read again as the same pixels. Shape and affine of the volume
    in the file itself (:mod:`~.screen`) are in the metadata, ``volume_shape`` and ``volume_affine``.

    Args:
        keys: paths of radiographs.
        mask_keys: paths of masks, read as 0 and 1; one that a case lacks is empty, of the size of the first of ``keys``
            (the door has seen to it that only lesion masks of normals are absent).

    Raises:
        InputError: see :func:`~.reading.read_radiograph`; the door has refused such files.
    """

    def __init__(self, keys: KeysCollection, mask_keys: KeysCollection = ()) -> None:
        super().__init__(keys)
        self.mask_keys = ensure_tuple(mask_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = _meta_tensor(read_radiograph(d[key], str(key)))
        for key in self.mask_keys:
            d[key] = _meta_tensor(read_mask(d[key], str(key))) if key in d else torch.zeros_like(d[self.keys[0]])
        return d


def _meta_tensor(image: Radiograph) -> MetaTensor:
    down, right = image.spacing or (1.0, 1.0)
    affine = torch.zeros(4, 4, dtype=torch.float64)
    affine[1, 0], affine[0, 1], affine[2, 2], affine[3, 3] = -down, -right, 1, 1  # down is posterior, right is left
    grid = {"affine": affine, "original_affine": affine.clone(), "spatial_shape": image.data.shape}  # for SaveImage
    itk_shape, itk_affine = (*image.data.shape[::-1], 1), np.diag([-right, -down, 1, 1])
    volume: dict[str, Any] = {"volume_shape": itk_shape, "volume_affine": itk_affine}
    if image.volume_shape is not None:
        volume = {"volume_shape": image.volume_shape, "volume_affine": image.volume_affine}
    return MetaTensor(image.data[None].copy(), meta={**grid, **volume, "filename_or_obj": image.file})


class RadiographUnitsd(MapTransform):
    """Map the 0.5th to the 99.5th percentile of each image's collimated field to -1 ... 1; beyond, it is clipped.

    Args:
        keys: radiographs ``1 X Y``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = np.asarray(d[key][0])
            low, high = np.percentile(image[collimated_field(image)], PERCENTILES)
            if low == high:
                low, high = float(image.min()), float(image.max())
            d[key] = ((d[key] - low) * (2 / (high - low)) - 1).clip(-1, 1)
        return d


def collimated_field(image: np.ndarray) -> np.ndarray:
    """The image without its surround, the even area at its edges: shutter, collimator or air.

    Args:
        image: ``X Y``.

    Returns:
        ``X Y`` bool; True everywhere where less than half of the frame is even, or all would be surround.
    """
    frame = np.ones(image.shape, bool)
    frame[1:-1, 1:-1] = False
    low, high = np.percentile(image, PERCENTILES)
    even = np.abs(image - np.median(image[frame])) <= _SAME * (high - low)
    if even[frame].mean() < 0.5:
        return np.ones(image.shape, bool)
    areas, _ = ndimage.label(even)
    surround = even & np.isin(areas, np.unique(areas[frame]))
    field = ndimage.binary_opening(~surround, np.ones((3, 3)))  # noise leaves specks in the surround
    return field if field.any() else np.ones(image.shape, bool)


class SquareResized(MapTransform):
    """Scale the longer side to ``size`` pixels and pad the shorter one, evenly on both sides.

    Images are filtered by a triangle as wide as two new pixels and padded with -1. MONAI's ``Resize`` does not do:
    ``anti_aliasing`` takes what lies beyond the edges for 0, mid-grey here, and ``area`` shifts by up to half a pixel
    where the ratio is not whole. A mask covers a new pixel where its filtered value is over half of the largest one
    nearby: half of the pixel in a broad mask, and a thin or small one never vanishes.

    Args:
        keys: radiographs ``1 X Y`` in -1 ... 1.
        size: of the square in pixels.
        mask_keys: masks ``1 X Y`` of 0 and 1; so they stay.
    """

    def __init__(self, keys: KeysCollection, size: int, mask_keys: KeysCollection = ()) -> None:
        super().__init__(keys)
        self.size, self.mask_keys = size, ensure_tuple(mask_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = ResizeWithPadOrCrop(self.size, constant_values=-1)(_scaled(d[key], self.size))
        for key in self.mask_keys:
            covered = _scaled(d[key], self.size)
            d[key] = ResizeWithPadOrCrop(self.size)((covered > 0.5 * functional.max_pool2d(covered, 3, 1, 1)).float())
        return d


def from_square(maps: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Bring maps from the square of :class:`SquareResized` back to the pixels that it was made of.

    Args:
        maps: ``C S S``.
        shape: of the image before, ``X Y``.

    Returns:
        ``C X Y``, linearly interpolated; what lies on the padding is left out.
    """
    size, sides = maps.shape[-1], _sides(shape, maps.shape[-1])
    rows, columns = (slice((size - side) // 2, (size - side) // 2 + side) for side in sides)
    return functional.interpolate(maps[None, :, rows, columns], tuple(shape), mode="bilinear", antialias=True)[0]


def _sides(shape: Sequence[int], size: int) -> list[int]:
    """Sides of an image in pixels once the longer one is scaled to ``size``."""
    return [max(1, round(size * side / max(shape))) for side in shape]


def _scaled(image: MetaTensor, size: int) -> MetaTensor:
    old = image.shape[1:]
    new = _sides(old, size)
    pixels = functional.interpolate(image.as_tensor()[None], new, mode="bilinear", antialias=True)[0]
    zoom = torch.eye(4, dtype=torch.float64)
    zoom[np.ix_([0, 1, 3], [0, 1, 3])] = torch.as_tensor(scale_affine(old, new, align_corners=False))
    return MetaTensor(pixels, meta={**image.meta, "affine": image.affine @ zoom})
