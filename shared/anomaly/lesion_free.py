"""The tissue of a patient's brain that holds no lesion, on which thresholds are fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
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


def lesion_free_values(case: Mapping[str, Any], label_margin_mm: float = 5.0) -> np.ndarray:
    """Values of a case's ``anomaly_map`` in its brain, farther than a margin from its ``label``, if there is one.

    Returns:
        ``N``, in the unit of the map.
    """
    brain = case["native_brain_mask"]
    counted = np.asarray(brain[0]) > 0
    if case.get("label") is not None:
        spacing = voxel_sizes(np.asarray(brain.affine))
        counted = lesion_free(counted, np.asarray(case["label"][0]) > 0, spacing, label_margin_mm)
    return np.asarray(case["anomaly_map"][0])[counted]
