"""A volume that was read from a file, and its geometry."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .orientation import superior_axis


@dataclass
class Volume:
    """A volume that was read: ``data`` X Y Z float32, ``affine`` 4 4 (voxel to world, mm), and notes on its header."""

    file: str
    key: str
    data: np.ndarray
    affine: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

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
        return tuple(s for axis, s in enumerate(self.spacing) if axis != self.slice_axis)
