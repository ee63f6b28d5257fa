"""Public data sets as cases of MaC-DM: chest radiographs with their lungs, and slices of brains with gliomas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..cases.splits import SECTIONS
from ..runs.errors import DataListError
from .brain_slices import brain_slices

_SECTION_OF = {"train": "training", "val": "validation", "test": "test"}
_CLASSES = {"normal": 0, "abnormal": 1}

Cases = list[dict[str, Any]]


def chest_xray_cases(source: Path, table: Sequence[Mapping[str, str]]) -> Cases | dict[str, Cases]:
    """Chest radiographs with the mask of their lungs as ``tibia_mask``; they have no lesion masks.

    Args:
        source: folder that holds ``cxr`` and ``masks``.
        table: rows with ``file``, ``class`` (normal, abnormal) and perhaps ``split`` (train, val, test).

    Returns:
        Cases by section, or one list of them where the table has no ``split``.

    Raises:
        DataListError: another class or split.
    """
    sections: dict[str, Cases] = {section: [] for section in SECTIONS}
    for row in table:
        if row.get("class") not in _CLASSES or row.get("split", "train") not in _SECTION_OF:
            raise DataListError(f"{source}: {dict(row)} is not normal or abnormal, of train, val or test")
        paths = {"image": str(source / "cxr" / row["file"]), "tibia_mask": str(source / "masks" / row["file"])}
        case = {"case_id": Path(row["file"]).stem, **paths, "class_label": _CLASSES[row["class"]]}
        sections[_SECTION_OF[row.get("split", "train")]].append(case)
    return sections if table and "split" in table[0] else sections["training"]


def lgg2d_slice_sections(source: Path, table: Sequence[Mapping[str, str]], folder: Path) -> dict[str, Cases]:
    """Write the axial FLAIR slices of lower-grade gliomas as :func:`~.brain_slices.brain_slices` does.

    Args:
        source: folder that holds a folder for each patient, with ``flair``, ``brain`` and ``lesion``.
        table: rows with ``patient`` and ``split`` (train, val, test).
        folder: takes the slices.

    Returns:
        Cases by section; all slices of a patient are in one.
    """
    sections: dict[str, Cases] = {section: [] for section in SECTIONS}
    for row in tqdm(table, desc="writing slices", unit="patient"):
        image, brain, lesion = (source / row["patient"] / f"{name}.nii.gz" for name in ("flair", "brain", "lesion"))
        sections[_SECTION_OF[row["split"]]] += brain_slices(image, brain, lesion, folder, row["patient"])
    return sections
