"""The cases of the Medical Segmentation Decathlon's brain tumours, whose files are 4D."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from tqdm import tqdm

from ..runs.errors import DataListError
from ..runs.nifti_files import write_like


def msd_cases(source: Path, listing: Mapping[str, Any], target: Path) -> list[dict[str, str]]:
    """Cases of the labelled files, each split into a 3D one per sequence.

    Args:
        source: folder of ``dataset.json``.
        listing: its content.
        target: folder of the 3D files, ``<case_id>_<sequence>.nii.gz``; those that are there are kept.

    Raises:
        DataListError: a file of another number of volumes than ``listing`` says.
    """
    names = {"flair": "flair", "t1w": "t1", "t1gd": "t1ce", "t2w": "t2"}
    sequences = [names[str(listing["modality"][str(i)]).lower()] for i in range(len(listing["modality"]))]
    target.mkdir(parents=True, exist_ok=True)
    cases = []
    for item in tqdm(listing["training"], desc="splitting 4D files", unit="case"):
        case_id = Path(item["image"]).name.split(".nii")[0]
        files = {sequence: target / f"{case_id}_{sequence}.nii.gz" for sequence in sequences}
        if not all(file.exists() for file in files.values()):
            _split_volumes(source / item["image"], files)
        case = {"case_id": case_id, **{sequence: str(file) for sequence, file in files.items()}}
        cases.append({**case, "label": str(source / item["label"])})
    return cases


def _split_volumes(file: Path, targets: Mapping[str, Path]) -> None:
    image = nib.load(file)
    if image.ndim != 4 or image.shape[3] != len(targets):
        raise DataListError(f"{file} has shape {image.shape}, not 4D with {len(targets)} volumes as dataset.json says")
    data = np.asanyarray(image.dataobj)
    for i, target in enumerate(targets.values()):
        write_like(target, data[..., i], file)
