"""Small volumes whose values are known, as the transforms get them."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor


def volume(values: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1)) -> MetaTensor:
    """``X Y Z`` values as a ``1 X Y Z`` image of a spacing in mm."""
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    return MetaTensor(torch.as_tensor(np.asarray(values, dtype=np.float32))[None], affine=affine)


def cube(size: int, low: int, high: int) -> np.ndarray:
    """``X Y Z`` of one size, 1 from low to high along each axis, 0 elsewhere."""
    mask = np.zeros((size,) * 3, dtype=np.float32)
    mask[low:high, low:high, low:high] = 1
    return mask
