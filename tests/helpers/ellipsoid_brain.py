"""A brain and a head of ellipsoids, and the files of a case."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from shared.brains.volume import Volume

SPACING = 2.5
AFFINE = np.diag([SPACING, SPACING, SPACING, 1.0])
AFFINE[:3, 3] = -80


def radius(axes_mm: tuple[float, float, float], size: int = 64) -> np.ndarray:
    """Distance from the centre in units of an ellipsoid's half axes, X Y Z."""
    grid = (np.indices((size,) * 3) - (size - 1) / 2) * SPACING
    return np.sqrt(sum((g / a) ** 2 for g, a in zip(grid, axes_mm, strict=True)))


def brain() -> np.ndarray:
    """A brain of 1.04 l: grey matter (70) around white matter (100), 0 outside; X Y Z float32."""
    r = radius((60, 75, 55))
    noise = np.random.default_rng(0).normal(0, 4, r.shape)
    return np.where(r < 1, np.where(r < 0.8, 100, 70) + noise, 0).astype(np.float32)


def head() -> np.ndarray:
    """The brain in bone (7 mm, dark) and scalp (6 mm, bright): 1.9 l, no more than a large brain; X Y Z float32."""
    volume = np.zeros((80,) * 3, np.float32)
    r_scalp, r_bone = radius((73, 88, 68), 80), radius((67, 82, 62), 80)
    volume[r_scalp < 1] = 130
    volume[r_bone < 1] = 5
    inner = np.pad(brain(), 8)
    return np.where(inner > 0, inner, volume)


BRAIN = brain()


def save(path: Path, data: np.ndarray = BRAIN, affine: np.ndarray | None = AFFINE) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def case_of(path: Path, **more: Path) -> dict[str, str]:
    return {"case_id": "c", "image": str(path), "sequence": "t1", **{k: str(v) for k, v in more.items()}}


def volume(data: np.ndarray, key: str = "t1", affine: np.ndarray = AFFINE) -> Volume:
    """Voxels ``X Y Z`` as the door reads them, from a file named after their key."""
    return Volume(f"{key}.nii.gz", key, data.astype(np.float32), affine)
