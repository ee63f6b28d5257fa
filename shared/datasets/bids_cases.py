"""The cases of a BIDS data set (https://bids.neuroimaging.io): the scans of its subjects and sessions."""

from __future__ import annotations

from pathlib import Path

from ..cases.folder_cases import FoundCases, subjects_of_folder
from ..runs.errors import DataListError


def bids_cases(root: Path, sequence: str) -> FoundCases:
    """One case per session: ``{"case_id", "patient_id", <sequence>: path, ...[, "brain_mask"][, "label"]}``.

    A second file of a sequence in a session, such as another run, is a case of its own, named after the file. A T1w
    with a ``ce`` entity is ``t1ce``. Masks of the brain (``desc-brain``) and of lesions (``label-lesion``), in
    ``derivatives`` too, go to the scan whose entities they have (:func:`~..cases.bids_names.mask_of`).

    Args:
        root: holds ``sub-*/[ses-*/]anat``.
        sequence: that every case must have; sessions without it are left out.

    Raises:
        DataListError: no such case.
    """
    found = subjects_of_folder(root, "image")
    chosen = [
        {key: value for key, value in case.items() if key != "image"}  # without files whose names say nothing
        for case in found
        if sequence in case and case["patient_id"].startswith("sub-")
    ]
    if not chosen:
        raise DataListError(f"0 sessions with the sequence '{sequence}' in {root / 'sub-*' / '[ses-*]' / 'anat'}")
    return FoundCases(chosen, found.passed_over)
