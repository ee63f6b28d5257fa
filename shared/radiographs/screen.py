"""A 2D image as it stands on the screen, and as the volume of one plane that a file holds of it.

Left of the patient (in a sagittal plane posterior) is to the right, inferior (in an axial plane posterior) down. The
volume may have any orientation; that of a PNG or DICOM file is ``Y X 1`` with the affine that ITK gives it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

_UPRIGHT = axcodes2ornt("LPI")


def to_screen(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Turn a volume of one plane upright.

    Args:
        volume: three axes, one of them, and only one, of length 1.
        affine: its indices to mm (RAS+), ``4 4``.

    Returns:
        its pixels ``X Y``, X down the rows, and their spacing along X and Y in mm.
    """
    turn, across = ornt_transform(io_orientation(affine), _UPRIGHT), _across(volume.shape, affine)
    right, down = np.delete(voxel_sizes(affine @ inv_ornt_aff(turn, volume.shape)), across)
    return apply_orientation(volume, turn).squeeze(across).T, (float(down), float(right))


def from_screen(pixels: np.ndarray, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """The volume of ``shape`` and ``affine`` that :func:`to_screen` turns to ``pixels``, ``X Y``."""
    upright = np.expand_dims(pixels.T, _across(shape, affine))
    return apply_orientation(upright, ornt_transform(_UPRIGHT, io_orientation(affine)))


def _across(shape: Sequence[int], affine: np.ndarray) -> int:
    """The axis of the upright volume that has one plane."""
    return int(io_orientation(affine)[list(shape).index(1), 0])
