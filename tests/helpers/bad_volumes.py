"""Files that no bundle of anomalies can use, as real files made of a good brain, and what is said of each."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import distance_transform_edt

# Case -> the problem and then the remedy.
SAID = {
    "missing": "file not found.*Check the path",
    "empty_folder": "is a folder.*--dataset_dir",
    "zero_bytes": "is empty.*again",
    "truncated": "truncated or damaged.*again",
    "text": "not gzip-compressed.*Convert",
    "volumes_4d": "holds 2 volumes.*",
    "colours": "RGB colours.*original scan",
    "singular_affine": "affine is singular.*",
    "nan": "2 voxels.*NaN or infinite.*nan_to_num",
    "inf": "1 voxels.*NaN or infinite.*nan_to_num",
    "all_zero": "0 everywhere.*original scan",
    "constant": "constant everywhere.*not a mask",
    "whole_head": "not a brain-extracted scan.*--extract_brain auto.*hd-bet -i .*mri_synthstrip -i ",
}


def with_voxels(brain: np.ndarray, count: int, value: float) -> np.ndarray:
    """The brain with some voxels of its middle changed; X Y Z."""
    data = brain.copy()
    i, j, k = (n // 2 for n in brain.shape)
    data[i, j, k : k + count] = value
    return data


def head(brain: np.ndarray, spacing: float) -> np.ndarray:
    """The brain within 7 mm of dark bone and 8 mm of bright scalp; X Y Z."""
    depth = distance_transform_edt(brain == 0) * spacing
    scalp, bone = 1.3 * np.median(brain[brain > 0]), 2.0
    return np.where(depth == 0, brain, np.where(depth < 8, bone, np.where(depth < 16, scalp, 0))).astype(np.float32)


def write_bad_volumes(brain: np.ndarray, affine: np.ndarray, path: Callable[[str], Path]) -> None:
    """Write a file for each of :data:`SAID` where ``path`` says; the brain has a margin of 16 mm or more."""

    def save(case_id: str, data: np.ndarray) -> None:
        nib.save(nib.Nifti1Image(data, affine), path(case_id))

    path("missing")
    path("empty_folder").mkdir()
    path("zero_bytes").touch()
    whole = gzip.compress(nib.Nifti1Image(brain, affine).to_bytes())
    path("truncated").write_bytes(whole[: len(whole) // 2])
    path("text").write_text("no image")
    save("volumes_4d", np.stack([brain, brain], -1))
    save("colours", np.zeros(brain.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]))
    raw = nib.Nifti1Image(brain, affine).to_bytes()
    header = nib.Nifti1Header(raw[:348], check=False)
    header["srow_x"] = 0
    path("singular_affine").write_bytes(gzip.compress(header.binaryblock + raw[348:]))
    save("nan", with_voxels(brain, 2, np.nan))
    save("inf", with_voxels(brain, 1, np.inf))
    save("all_zero", brain * 0)
    save("constant", brain * 0 + 7)
    save("whole_head", head(brain, float(np.linalg.norm(affine[:3, 0]))))
