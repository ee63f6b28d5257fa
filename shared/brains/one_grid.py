"""Sequences of one case on the grid of its image: whether they lie there, and how they get there."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SpatialResample

from .transforms import blur_before_thinning
from .volume import Grid, Volume

_SAME_GRID = 0.1  # of the smallest voxel side: headers of one grid differ by less when a program has rewritten them
_RESAMPLE = SpatialResample(mode="bilinear", padding_mode="border")  # half a voxel lies beyond the outermost centres


def corner_shift(grid: Grid, other: Grid) -> float:
    """How far, in mm, the corners of two grids of one shape lie apart at most.

    The thickness of a single slice, which is often made up, does not count.
    """
    ends = [n if n > 1 else 0 for n in grid.shape]
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (*ends, 1)
    return float(np.linalg.norm(((other.affine - grid.affine) @ corners.T)[:3], axis=0).max())


def are_one_grid(grid: Grid, other: Grid) -> bool:
    """Whether two grids have one shape, and corners within a tenth of a voxel of each other."""
    sides = np.linalg.norm(grid.affine[:3, :3], axis=0)
    return grid.shape == other.shape and corner_shift(grid, other) <= _SAME_GRID * sides.min()


def are_one_grid_by_qform(volume: Volume, other: Volume) -> bool:
    """Whether two volumes are on one grid if of one of them, or of both, the qform is taken in place of the sform."""
    grids, others = (
        [one.grid, *([Grid(one.data.shape, one.qform)] if one.qform is not None else [])] for one in (volume, other)
    )
    return any(are_one_grid(*pair) for pair in itertools.product(grids, others))


def resample_to(grid: Grid, image: MetaTensor) -> torch.Tensor:
    """Resample an image, ``C X Y Z``, by linear interpolation.

    Where it is thinned out it is smoothed before, along each of its axes by as much as the new voxels are larger.
    Beyond its field of view, see :func:`shown_of`, its outermost voxels go on.
    """
    steps = np.linalg.inv(np.asarray(image.affine)) @ grid.affine  # of the new grid, in voxels of the old one
    smooth = blur_before_thinning(image, np.linalg.norm(steps[:3, :3], axis=1))
    return _RESAMPLE(smooth, dst_affine=torch.as_tensor(grid.affine), spatial_size=grid.shape)


def shown_of(grid: Grid, other: Grid) -> np.ndarray:
    """Which voxels of a grid have their centre in a voxel of the other; ``X Y Z`` bool."""
    to_other = np.linalg.inv(other.affine) @ grid.affine
    shown = np.ones(grid.shape, bool)
    for row, size in zip(to_other, other.shape):
        index = row[3] + sum(step * axis for step, axis in zip(row, np.ogrid[tuple(slice(n) for n in grid.shape)]))
        shown &= (index > -0.51) & (index < size - 0.49)
    return shown


class OneGridd(MapTransform):
    """Bring the sequences of a case that lie on other grids to that of the image; those on it stay bit for bit.

    Args:
        keys: sequences, ``1 X Y Z``; those a case does not have are passed over.
        image_key: image that gives the grid, ``C X Y Z``.
        mask_key: its brain mask, ``1 X Y Z``, where there is one.

    What a sequence does not show is set to 0 in image and mask, as what is no brain is: it cannot be compared there.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", mask_key: str = "brain_mask") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key, self.mask_key = image_key, mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        grid = Grid.of(d[self.image_key])
        for key in self.key_iterator(d):
            given = Grid.of(d[key])
            if not are_one_grid(grid, given):
                shown = torch.from_numpy(shown_of(grid, given))
                d[key] = resample_to(grid, d[key])
                d |= {name: d[name] * shown for name in (self.image_key, self.mask_key) if name in d}
        return d
