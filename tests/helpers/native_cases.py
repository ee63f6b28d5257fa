"""What an anomaly Inferer returns, and the grid of the input it comes from: blobs in world coordinates, and noise."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.affines import apply_affine, from_matvec
from nibabel.eulerangles import euler2mat


def affine_of(axcodes: str, spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """``4 4``, axes a few degrees off those of ``axcodes``, the middle of the grid at (5, -10, 15) mm."""
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axcodes), shape)[:3, :3]
    tilted = euler2mat(0.1, -0.15, 0.2) @ np.rint(np.linalg.inv(turn)) * spacing
    middle = (np.array(shape) - 1) / 2
    return from_matvec(tilted, np.array([5.0, -10.0, 15.0]) - tilted @ middle)


def world(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """``X Y Z 3``, mm."""
    return apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))


def meta(values: np.ndarray, affine: np.ndarray, **more: Any) -> MetaTensor:
    tensor = torch.as_tensor(np.asarray(values, np.float32))[None]
    return MetaTensor(tensor, meta={"affine": torch.as_tensor(affine, dtype=torch.float64), **more})


BLOB_AT, BLOB_AXES = np.array([17.0, -18.0, 12.0]), np.array([16.0, 8.0, 12.0])  # mm
SCALE = 20.0


def blob_radius(at: np.ndarray) -> np.ndarray:
    """Distance from the blob in units of its half axes."""
    return np.linalg.norm((at - BLOB_AT) / BLOB_AXES, axis=-1)


def blob(at: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * blob_radius(at) ** 2)


def crop_and_native(axcodes: str) -> dict[str, Any]:
    """The blob on a 2 mm RAS crop as a prediction, and a native brain on a tilted grid of 1 mm."""
    shape, crop = (80, 88, 72), (48, 50, 46)
    native = affine_of(axcodes, (1, 1, 1), shape)
    brain = np.linalg.norm((world(native, shape) - (5, -10, 15)) / (34, 38, 30), axis=-1) < 1
    crop_affine = from_matvec(np.diag([2.0, 2.0, 2.0]), [5 - 47.0, -10 - 49.0, 15 - 45.0])
    at = world(crop_affine, crop)
    image = meta(np.zeros(crop), crop_affine, original_affine=native)
    pred = torch.as_tensor(np.stack([blob(at), at[..., 0] / 20])).float()  # the pseudo-healthy brain is a ramp along x
    return {
        "pred": pred,
        "image": image,
        "native_brain_mask": meta(brain, native, filename_or_obj="scan.nii.gz"),
        "intensity_scale": SCALE,
    }


def on_its_own_grid() -> dict[str, Any]:
    """Noise on the input's own grid, so that nothing is interpolated; outside the brain the map is higher."""
    shape, affine = (24, 28, 20), np.diag([1.0, 1.0, 5.0, 1.0])
    generator = torch.Generator().manual_seed(0)
    brain = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - (12, 14, 10)) / (9, 11, 8), axis=-1) < 1
    pred = torch.rand(2, *shape, generator=generator) * 3
    pred[0] += torch.from_numpy(~brain) * 100
    whole = np.ones(shape)
    image = MetaTensor(
        torch.stack([pred[1], torch.from_numpy(brain).float()]),
        meta={"affine": torch.as_tensor(affine), "original_affine": affine},
    )
    return {"pred": pred, "image": image, "native_brain_mask": meta(whole, affine), "intensity_scale": SCALE}


def several_sequences(absent: list[int]) -> dict[str, Any]:
    """As :func:`on_its_own_grid`, with three pseudo-healthy sequences, each of its own scale."""
    data = on_its_own_grid()
    images = torch.rand(3, 24, 28, 20, generator=torch.Generator().manual_seed(1)) * 4
    images[absent] = torch.nan
    scales = [float("nan") if n in absent else SCALE * (1 + n) for n in range(3)]
    return {**data, "pred": torch.cat([data["pred"][:1], images]), "intensity_scale": scales}
