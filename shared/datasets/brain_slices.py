"""Axial slices of a brain with its masks as PNG files, for what is made for radiographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from ..brains.nifti import read_volume
from ..runs.errors import InputError
from ..runs.files import replacing

MIN_BRAIN = 0.15  # share of the slice
MIN_LESION = 20  # pixels


def brain_slices(image: Path, brain: Path, lesion: Path, folder: Path, patient_id: str) -> list[dict[str, Any]]:
    """Write the slices of one patient that show enough brain, and a whole lesion or none at all.

    Slices lie as radiologists look at them: anterior up, the patient's left to the right.

    Args:
        image: NIfTI volume, brain-extracted.
        brain: mask on the grid of the image, above 0 inside.
        lesion: mask on the grid of the image, above 0 inside.
        folder: takes ``<patient_id>_z<number>_image.png`` (16 bits, 65535 for the largest intensity of the volume, 0
            for 0 and less) and ``..._{tibia_mask,lesion_mask}.png`` (8 bits, 255 inside); numbers rise upwards.
        patient_id: begins the case ids.

    Returns:
        Cases ``{"case_id", "patient_id", "image", "tibia_mask", "lesion_mask", "class_label"}``: ``tibia_mask`` is that
        of the brain, class 1 has a lesion of at least 20 pixels; slices with fewer but some, or with less than 15 % of
        brain, are left out.

    Raises:
        InputError: a file cannot be used, or the shapes differ.
    """
    volumes = {"image": _upright(image, "image")}
    volumes |= {"tibia_mask": _upright(brain, "tibia_mask") > 0, "lesion_mask": _upright(lesion, "lesion_mask") > 0}
    for file, key in ((brain, "tibia_mask"), (lesion, "lesion_mask")):
        shapes = volumes[key].shape, volumes["image"].shape
        if shapes[0] != shapes[1]:
            raise InputError(str(file), key, f"has the shape {shapes[0]}, the image {shapes[1]}", "Resample it")
    image_max = max(float(volumes["image"].max()), 1e-6)
    cases = []
    for z in range(volumes["image"].shape[2]):
        pixels = {key: volume[..., z].T for key, volume in volumes.items()}  # rows of a picture are y
        lesion_pixels = int(pixels["lesion_mask"].sum())
        if pixels["tibia_mask"].mean() < MIN_BRAIN or 0 < lesion_pixels < MIN_LESION:
            continue
        pictures = {key: 255 * mask.astype(np.uint8) for key, mask in pixels.items() if key != "image"}
        pictures["image"] = np.round(65535 * (pixels["image"] / image_max).clip(0, 1)).astype(np.uint16)
        case_id = f"{patient_id}_z{z:03d}"
        files = {key: folder / f"{case_id}_{key}.png" for key in volumes}
        for key, file in files.items():
            with replacing(file) as temporary:
                Image.fromarray(np.ascontiguousarray(pictures[key])).save(temporary, "PNG")
        paths = {key: str(file) for key, file in files.items()}
        cases.append({"case_id": case_id, "patient_id": patient_id, **paths, "class_label": int(lesion_pixels > 0)})
    return cases


def _upright(file: Path, key: str) -> np.ndarray:
    """Voxels ``X Y Z``, X to the patient's left, Y to posterior, Z upwards."""
    volume = read_volume(str(file), key)
    turned = nib.Nifti1Image(volume.data, volume.affine)
    turn = nib.orientations.ornt_transform(nib.io_orientation(volume.affine), nib.orientations.axcodes2ornt("LPS"))
    return np.asarray(turned.as_reoriented(turn).dataobj)
