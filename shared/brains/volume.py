"""A volume that was read from a file, its geometry, and which way is up in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

SUPERIOR = 2
"""Number of the inferior-superior axis of the world (RAS+)."""
SHORT_STACK_MM = 60.0
MIN_SLICE_CM2 = 20.0
MAX_SLICE_CM2 = 280.0  # largest slice of extracted brains, also in MNI space: up to 233; of heads: 300 to 350


def superior_axis(affine: np.ndarray) -> tuple[int, int]:
    """The voxel axis closest to inferior-superior, and 1 where its index grows upwards, -1 where it grows downwards.

    Args:
        affine: ``4 4``, voxel indices to mm (RAS+), not singular.
    """
    orientation = nib.io_orientation(np.asarray(affine))
    axis = int(np.flatnonzero(orientation[:, 0] == SUPERIOR)[0])
    return axis, int(orientation[axis, 1])


class Grid(NamedTuple):
    """Where the voxels of a volume lie: its shape ``X Y Z``, and the affine ``4 4``, voxel indices to mm (RAS+)."""

    shape: tuple[int, ...]
    affine: np.ndarray

    @classmethod
    def of(cls, image: MetaTensor) -> Grid:
        """The grid of ``C X Y Z``."""
        return cls(tuple(image.shape[1:]), np.asarray(image.affine))


@dataclass
class Volume:
    """A volume that was read: ``data`` X Y Z float32, ``affine`` 4 4 (voxel to world, mm), and notes on its header.

    ``affine`` is that of the sform, of the qform where the sform has no code; ``qform`` that of the qform, if coded.
    """

    file: str
    key: str
    data: np.ndarray
    affine: np.ndarray
    warnings: list[str] = field(default_factory=list)
    qform: np.ndarray | None = None

    @property
    def grid(self) -> Grid:
        """Where its voxels lie."""
        return Grid(self.data.shape, self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        x, y, z = (float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z

    @property
    def voxel_litres(self) -> float:
        """Volume of one voxel in litres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) * 1e-6

    @property
    def slice_axis(self) -> int:
        """Array axis across which the axial slices lie."""
        return superior_axis(self.affine)[0]

    @property
    def pixel_spacing(self) -> tuple[float, float]:
        """Voxel size in mm within an axial slice."""
        first, second = (s for axis, s in enumerate(self.spacing) if axis != self.slice_axis)
        return first, second


def is_short(volume: Volume) -> bool:
    """Whether the axial slices of a volume, ``X Y Z``, span less than 60 mm."""
    return volume.data.shape[volume.slice_axis] * volume.spacing[volume.slice_axis] < SHORT_STACK_MM


def border(image: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The values, one after the other, of the first and the last plane of an image ``X Y Z`` along each axis."""
    return np.concatenate([image.take(end, axis=axis).ravel() for axis in axes for end in (0, -1)])


def largest_slice(volume: Volume, brain: np.ndarray) -> tuple[Volume, float]:
    """The axial slice with the largest area of brain, as a volume of one slice, and that area in cm2.

    Args:
        volume: ``X Y Z``.
        brain: ``X Y Z`` bool.
    """
    axis = volume.slice_axis
    counts = brain.sum(axis=tuple(a for a in range(3) if a != axis))
    largest = int(counts.argmax())
    slice_ = Volume(volume.file, volume.key, volume.data.take([largest], axis=axis), volume.affine)
    return slice_, float(counts[largest] * np.prod(volume.pixel_spacing)) / 100
