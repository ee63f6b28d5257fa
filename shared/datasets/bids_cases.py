"""The cases of a BIDS data set (https://bids.neuroimaging.io): the ``anat`` folders of its subjects and sessions."""

from __future__ import annotations

import re
from pathlib import Path

from ..cases.folder_cases import NIFTI
from ..runs.errors import DataListError

_SEQUENCES = {"T1w": "t1", "T2w": "t2", "FLAIR": "flair", "PDw": "pd"}
_MASKS = {"brain_mask": re.compile(r"_desc-brain_mask$"), "label": re.compile(r"_label-lesion(_desc-\w+)?_mask$")}


def bids_cases(root: Path, sequence: str) -> list[dict[str, str]]:
    """One case per session: ``{"case_id", "patient_id", <sequence>: path, ...[, "brain_mask"][, "label"]}``.

    A second file of a sequence in a session, such as another run, is a case of its own, named after the file. A T1w
    with a ``ce`` entity is ``t1ce``. Brain masks (``desc-brain``) and lesion masks (``label-lesion``) are those of the
    session in ``derivatives``, where they are in the space of the scan (no ``space`` entity); nothing else is read
    there.

    Args:
        root: holds ``sub-*/[ses-*/]anat``.
        sequence: that every case must have; sessions without it are left out.

    Raises:
        DataListError: no such case.
    """
    cases: dict[str, dict[str, str]] = {}
    files = {file: NIFTI.sub("", file.name) for file in sorted(root.glob("sub-*/**/anat/*")) if NIFTI.search(file.name)}
    for file, stem in files.items():
        entities, _, suffix = stem.rpartition("_")
        if suffix not in _SEQUENCES:
            continue
        name = "t1ce" if suffix == "T1w" and "_ce-" in stem else _SEQUENCES[suffix]
        session = "_".join(part for part in file.relative_to(root).parts[:-2])
        case_id = entities if name in cases.get(session, ()) else session
        case = cases.setdefault(case_id, {"case_id": case_id, "patient_id": file.relative_to(root).parts[0]})
        case[name] = str(file)
        case.update(_masks(root, session))
    chosen = [case for case in cases.values() if sequence in case]
    if not chosen:
        raise DataListError(f"0 sessions with the sequence '{sequence}' in {root / 'sub-*' / '[ses-*]' / 'anat'}")
    return chosen


def _masks(root: Path, session: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(root.glob(f"derivatives/**/anat/{session}_*")):
        for key, pattern in _MASKS.items():
            if pattern.search(NIFTI.sub("", file.name)) and "_space-" not in file.name:
                found.setdefault(key, str(file))
    return found
