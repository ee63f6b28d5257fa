"""The tissue of a patient's brain that holds no lesion, on which thresholds are fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes

from ..brains.lesion_free import lesion_free


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
