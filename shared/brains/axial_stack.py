"""Stacks of axial slices, down to a single one: too few for litres and skulls to be measured in 3D."""

from __future__ import annotations

import numpy as np

from .volume import Volume

SHORT_STACK_MM = 60.0
MIN_SLICE_CM2 = 20.0
MAX_SLICE_CM2 = 280.0  # largest slice of extracted brains, also in MNI space: up to 233; of heads: 300 to 350


def is_short(volume: Volume) -> bool:
    """Whether the axial slices of a volume, ``X Y Z``, span less than 60 mm."""
    return volume.data.shape[volume.slice_axis] * volume.spacing[volume.slice_axis] < SHORT_STACK_MM


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
