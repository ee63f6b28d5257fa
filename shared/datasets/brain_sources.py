"""Public data sets of brain MRI whose folders have a layout or a split of their own, as cases of a datalist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cases.datalists import gather_cases
from ..cases.file_names import SEQUENCES, split_sequence
from ..cases.splits import SECTIONS
from ..runs.errors import DataListError

_SECTION_OF = {"train": "training", "val": "validation", "test": "test"}

Cases = list[dict[str, Any]]


def brats_cases(source: Path, prefix: str) -> Cases:
    """Cases of BraTS 2020 or 2021; the segmentation (also the misnamed one of BraTS20_Training_355) is the label.

    Args:
        source: holds the folders of the patients, at any depth.
        prefix: of their names, ``BraTS20_`` or ``BraTS2021_``.

    Raises:
        DataListError: no such folder.
    """
    cases = []
    for folder in sorted(f for f in source.rglob(f"{prefix}*") if f.is_dir()):
        case: dict[str, Any] = {"case_id": folder.name}
        for file in sorted(folder.glob("*.nii*")):
            ending = file.name.split(".nii")[0].rsplit("_", 1)[-1].lower()
            key = "label" if ending in ("seg", "segm") else ending
            if key in (*SEQUENCES, "label"):
                case[key] = str(file)
        if len(case.keys() - {"case_id", "label"}):
            cases.append(case)
    if not cases:
        raise DataListError(f"0 folders {prefix}* with t1, t1ce, t2 or flair below {source}")
    return cases


def wmh_cases(source: Path) -> Cases:
    """Cases of the WMH segmentation challenge (Kuijf et al., IEEE TMI 38(11), 2019, 10.1109/TMI.2019.2905770).

    A case is a folder with ``pre/FLAIR``, ``pre/T1`` (on the grid of the FLAIR) and ``wmh``, and is named after the
    folders that lead to it, for the numbers occur at several sites. Other pathology, 2 in ``wmh``, is anomalous too.

    Args:
        source: holds the sites, or ``training`` and ``test`` with them.

    Raises:
        DataListError: no such case.
    """
    cases = []
    for flair in sorted(source.rglob("pre/FLAIR.nii.gz")):
        folder = flair.parents[1]
        files = {"flair": flair, "t1": flair.with_name("T1.nii.gz"), "label": folder / "wmh.nii.gz"}
        name = "_".join(folder.relative_to(source).parts) or folder.name
        cases.append({"case_id": name, **{key: str(file) for key, file in files.items() if file.is_file()}})
    if not cases:
        raise DataListError(f"0 folders with pre/FLAIR.nii.gz below {source}")
    return cases


def ixi_sections(
    source: Path, table: Sequence[Mapping[str, str]], findings: Sequence[Mapping[str, str]]
) -> dict[str, Cases]:
    """Healthy T1 of IXI by section, without the scans that show something; those not in the table are for the test.

    Args:
        source: folder of the scans.
        table: rows with ``subject`` and ``split`` (train, val, test).
        findings: rows with the ``subject`` of each scan that is not healthy.
    """
    not_healthy, split = {row["subject"] for row in findings}, {row["subject"]: row["split"] for row in table}
    sections: dict[str, Cases] = {section: [] for section in SECTIONS}
    for found in gather_cases(dataset_dir=str(source)):
        subject = split_sequence(found["case_id"], "t1")[0]
        if subject not in not_healthy:
            sections[_SECTION_OF[split.get(subject, "test")]].append({"case_id": subject, "t1": found["image"]})
    return sections


def lgg2d_sections(source: Path, table: Sequence[Mapping[str, str]]) -> dict[str, Cases]:
    """Lower-grade gliomas with their own split: t1, flair, t1ce; lesion is the label, brain the brain mask.

    Args:
        source: holds a folder for each patient.
        table: rows with ``patient`` and ``split`` (train, val, test).
    """
    names = {"t1": "t1", "t1ce": "t1ce", "flair": "flair", "brain": "brain_mask", "lesion": "label"}
    sections: dict[str, Cases] = {section: [] for section in SECTIONS}
    for row in table:
        paths = {key: source / row["patient"] / f"{name}.nii.gz" for name, key in names.items()}
        case = {"case_id": row["patient"], **{key: str(path) for key, path in paths.items() if path.exists()}}
        sections[_SECTION_OF[row["split"]]].append(case)
    return sections


def ms_mni_sections(source: Path) -> dict[str, Cases]:
    """Multiple-sclerosis patients, each in a folder of its own with ``lesion`` as the label, all for the test."""
    names = {"label": "lesion", **{sequence: sequence for sequence in SEQUENCES}}
    cases = []
    for folder in sorted(f for f in source.iterdir() if f.is_dir()):
        paths = {key: folder / f"{name}.nii.gz" for key, name in names.items()}
        cases.append({"case_id": folder.name, **{key: str(path) for key, path in paths.items() if path.exists()}})
    return {"training": [], "validation": [], "test": cases}
