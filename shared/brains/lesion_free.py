"""The brain away from labelled lesions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt


def lesion_free(brain_mask: np.ndarray, label: np.ndarray, spacing: Sequence[float], margin_mm: float) -> np.ndarray:
    """The brain farther than ``margin_mm`` from any labelled voxel, centre to centre, in 3D.

    Args:
        brain_mask, label: ``X Y Z``, above 0 is brain and lesion.
        spacing: voxel size in mm along X, Y and Z.
        margin_mm: at least 0, where only the labelled voxels themselves go.

    Returns:
        ``X Y Z`` bool; all of the brain where the label is empty.
    """
    brain, lesion = np.asarray(brain_mask) > 0, np.asarray(label) > 0
    return brain & (distance_transform_edt(~lesion, sampling=spacing) > margin_mm) if lesion.any() else brain
