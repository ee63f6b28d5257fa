"""Which way is up in a volume of any orientation."""

from __future__ import annotations

import nibabel as nib
import numpy as np

SUPERIOR = 2
"""Number of the inferior-superior axis of the world (RAS+)."""


def superior_axis(affine: np.ndarray) -> tuple[int, int]:
    """The voxel axis closest to inferior-superior, and 1 where its index grows upwards, -1 where it grows downwards.

    Args:
        affine: ``4 4``, voxel indices to mm (RAS+), not singular.
    """
    orientation = nib.io_orientation(np.asarray(affine))
    axis = int(np.flatnonzero(orientation[:, 0] == SUPERIOR)[0])
    return axis, int(orientation[axis, 1])
