"""Tiny made-up folders laid out as the sources of ``make_datalist`` that hold real images."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

SIDE = 48  # pixels
CHESTS = [(section, kind) for section in ("train", "val", "test") for kind in ("normal", "abnormal") for _ in range(2)]
LPS = np.diag([-4.0, -4.0, 6.0, 1.0])
LESION_PIXELS = {2: 30, 4: 12, 5: 20}  # by slice; 12 are too few
USABLE = {2: 1, 3: 0, 5: 1, 6: 0}  # class of the slices
PATIENTS = {"a": "train", "b": "val", "c": "test"}


def lungs() -> np.ndarray:
    """Two boxes of different size, ``X Y`` bool, X down the rows."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:36, 6:20] = mask[8:30, 28:42] = True
    return mask


def write_chests(folder: Path, split: bool = True) -> Path:
    """The layout of ``chest_xray``: two normal and two abnormal chests in each section."""
    rng = np.random.default_rng(0)
    rows = []
    for number, (section, kind) in enumerate(CHESTS):
        name = f"MCUCXR_{number:04d}_{int(kind == 'abnormal')}.png"
        image = np.where(lungs(), 60, 180) + rng.integers(0, 40, (SIDE, SIDE)) + 30 * (kind == "abnormal")
        for part, pixels in (("cxr", image), ("masks", 255 * lungs())):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name)
        rows.append({"file": name, "split": section, "class": kind} if split else {"file": name, "class": kind})
    return _write_table(folder / "split.csv", rows)


def head() -> dict[str, np.ndarray]:
    """FLAIR, brain and lesion, ``X Y Z`` uint8 in LPS; slice 1 has too little brain, 0 and 7 have none."""
    shape = (SIDE, SIDE - 8, 8)
    brain, lesion = np.zeros(shape, bool), np.zeros(shape, bool)
    brain[20:44, 4:10, 1] = brain[20:44, 4:30, 2:7] = True
    for z, pixels in LESION_PIXELS.items():
        lesion[22 : 22 + pixels // 2, 26:28, z] = True
    x, y, z = np.indices(shape)
    flair = np.where(lesion, 220, (x + 2 * y + 4 * z + 10) * brain)
    return {name: data.astype(np.uint8) for name, data in (("flair", flair), ("brain", brain), ("lesion", lesion))}


def write_gliomas(folder: Path, codes: str = "LPS") -> Path:
    """The layout of ``lgg2d``, one patient in each section, volumes stored along other axes."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(LPS), nib.orientations.axcodes2ornt(codes))
    for number, patient in enumerate(PATIENTS):
        (folder / patient).mkdir(parents=True)
        for name, data in head().items():
            if name == "flair":  # each patient another image
                data = (data * (1 - 0.1 * number * np.linspace(0, 1, SIDE)[:, None, None])).astype(data.dtype)
            nib.save(nib.Nifti1Image(data, LPS).as_reoriented(turn), folder / patient / f"{name}.nii.gz")
    return _write_table(folder / "patients.csv", [{"patient": p, "split": s} for p, s in PATIENTS.items()])


def _write_table(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    return file.parent
