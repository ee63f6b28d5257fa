"""Failed brain extraction: tissue of the head that was left in, or brain that was cut off; both move the brain mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_dst_type
from scipy.ndimage import binary_fill_holes, distance_transform_edt


class SkullLeftIn(Transform):
    """A cap of simulated skull and scalp around a part of the brain: a dark layer, and a bright one on it.

    It is simulated, for brain-extracted scans do not hold the head any more.

    Args:
        coverage: share of all directions from the centre of the brain in which the cap lies.
        direction: of its middle, a unit vector along X, Y and Z.
        bone_mm, scalp_mm: thickness of the layers.
        bone, scalp: their intensities, in units of the 90th percentile in the brain; fat is bright on T1.
    """

    def __init__(
        self,
        coverage: float,
        direction: Sequence[float],
        bone_mm: float = 6.0,
        scalp_mm: float = 6.0,
        bone: float = 0.1,
        scalp: float = 1.2,
    ) -> None:
        self.coverage, self.direction, self.bone_mm, self.scalp_mm = coverage, direction, bone_mm, scalp_mm
        self.bone, self.scalp = bone, scalp

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z``, 0 outside the brain, voxels of 1 mm unless it is a MetaTensor, to ``1 X Y Z``, float32."""
        values, brain, spacing = _parts(img)
        distance = distance_transform_edt(~brain, sampling=spacing)
        offsets = _offsets(brain, spacing)
        cosine = np.tensordot(self.direction, offsets, 1) / np.maximum(np.linalg.norm(offsets, axis=0), 1e-6)
        cap = (cosine > 1 - 2 * self.coverage) & ~brain
        p90 = np.percentile(values[brain], 90)
        values[cap & (distance <= self.bone_mm + self.scalp_mm)] = self.scalp * p90
        values[cap & (distance <= self.bone_mm)] = self.bone * p90
        return convert_to_dst_type(values[None], img, dtype=torch.float32)[0]


class BrainCut(Transform):
    """The brain beyond a plane is missing, as after an extraction that took it for skull.

    Args:
        share: of the brain's voxels that are missing.
        direction: in which they lie, a unit vector along X, Y and Z.
    """

    def __init__(self, share: float, direction: Sequence[float]) -> None:
        self.share, self.direction = share, direction

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z``, 0 outside the brain, voxels of 1 mm unless it is a MetaTensor, to ``1 X Y Z``, float32."""
        values, brain, spacing = _parts(img)
        height = np.tensordot(self.direction, _offsets(brain, spacing), 1)
        values[height > np.quantile(height[brain], 1 - self.share)] = 0
        return convert_to_dst_type(values[None], img, dtype=torch.float32)[0]


def _parts(img: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (a copy, float32), brain (the non-zero voxels, holes filled) and voxel size in mm."""
    values = np.array(img[0], dtype=np.float32)
    spacing = np.asarray(img.pixdim) if isinstance(img, MetaTensor) else np.ones(3)
    return values, binary_fill_holes(values != 0), spacing


def _offsets(brain: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Position of each voxel from the centre of the brain, ``3 X Y Z`` in mm."""
    centre = np.argwhere(brain).mean(axis=0)
    return (np.indices(brain.shape) - centre[:, None, None, None]) * spacing[:, None, None, None]
