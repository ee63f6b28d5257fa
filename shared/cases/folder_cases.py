"""The cases of a folder of NIfTI files, told from their names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..runs.errors import DataListError

NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_SEQUENCE_SUFFIX = re.compile(r"(^|_)(t1w|t1ce|t1gd|t1|t2w|t2|flair|pdw|pd)$", re.IGNORECASE)
_NOT_AN_IMAGE = re.compile(r"(^|_)(label|seg|lesion[^_]*|mask|pseudo_healthy|uncertainty)$|_anomaly_", re.IGNORECASE)


def split_sequence(stem: str, default: str) -> tuple[str, str]:
    """Split ``sub1_T1w`` into the subject ``sub1`` and the sequence ``t1``; ``default`` where none is named."""
    found = _SEQUENCE_SUFFIX.search(stem)
    if not found:
        return stem, default
    name = found.group(2).lower().replace("gd", "ce").removesuffix("w")
    return stem[: found.start()], name


def nifti_files(folder: Path) -> dict[Path, str]:
    """All NIfTI files below a folder, sorted, with their paths relative to it, posix style, without the extension.

    Raises:
        DataListError: the folder does not exist, or holds no NIfTI file.
    """
    if not folder.is_dir():
        raise DataListError(f"{folder} is not a folder; pass --dataset_dir an existing folder of NIfTI files")
    files = sorted(f for f in folder.rglob("*") if f.is_file() and NIFTI.search(f.name) and f.name[0] != ".")
    if not files:
        raise DataListError(f"0 NIfTI files below {folder}; images end in .nii or .nii.gz")
    return {f: NIFTI.sub("", f.relative_to(folder).as_posix()) for f in files}


def is_image_name(stem: str) -> bool:
    """Whether a file of this name (without extension) is an image, not a label, a mask or an output of a bundle."""
    return not _NOT_AN_IMAGE.search(stem.rsplit("/", 1)[-1])


def cases_of_folder(folder: Path, sequence: str) -> list[dict[str, str]]:
    """One case per image below a folder, with its label and brain mask (:func:`~.datalists.gather_cases`).

    Raises:
        DataListError: no folder, no image in it, or two images of one name.
    """
    files = nifti_files(folder)
    by_stem = {stem: str(file) for file, stem in files.items()}
    cases: dict[str, dict[str, str]] = {}
    for file, stem in files.items():
        if not is_image_name(stem):
            continue
        case = {"case_id": stem.replace("/", "_"), "image": str(file), "sequence": sequence}
        parent, name = os.path.split(stem)
        subject = split_sequence(name, sequence)[0]
        for key, suffixes in (("brain_mask", ("brain_mask",)), ("label", ("label", "lesion", "seg"))):
            names = [f"{s}_{suffix}" if s else suffix for s in (name, subject) for suffix in suffixes]
            for candidate in (os.path.join(parent, n).replace(os.sep, "/") for n in names):
                if candidate in by_stem:
                    case.setdefault(key, by_stem[candidate])
        if case["case_id"] in cases:
            other = cases[case["case_id"]]["image"]
            raise DataListError(f"{other} and {file} are both called '{case['case_id']}'; rename one of them")
        cases[case["case_id"]] = case
    if not cases:
        raise DataListError(f"0 images below {folder}: its {len(files)} NIfTI files are named as masks or outputs")
    return list(cases.values())


def subjects_of_folder(folder: Path, sequence: str) -> list[dict[str, str]]:
    """One case per subject of a folder: ``{"case_id", <sequence>: path, ...[, "brain_mask"][, "label"]}``.

    Args:
        folder: of files ``<subject>_<sequence>.nii.gz``, at any depth.
        sequence: of a file whose name says none.

    Raises:
        DataListError: no folder, no image in it, or two images of one sequence of a subject.
    """
    cases: dict[str, dict[str, str]] = {}
    for found in cases_of_folder(folder, sequence):
        subject, name = split_sequence(found["case_id"], sequence)
        case = cases.setdefault(subject, {"case_id": subject or folder.name})
        if name in case:
            raise DataListError(f"{case[name]} and {found['image']} are both the {name} of '{case['case_id']}'")
        case[name] = found["image"]
        for key in found.keys() & {"brain_mask", "label"}:
            case.setdefault(key, found[key])
    return list(cases.values())
