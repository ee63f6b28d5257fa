"""Results of earlier runs in the folder of a run: none of them may pass for a result of this one."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from ..cases.file_names import MAPS

SET_ASIDE = "set_aside"
_NAMES = sorted(MAPS.values())

logger = logging.getLogger(__name__)


def maps_of(folder: Path, case_id: str) -> list[Path]:
    """The maps of a case that are there, whichever run has written them."""
    files = [folder / f"{case_id}_{name}.nii.gz" for name in _NAMES]
    return [file for file in files if file.is_file()]


def set_aside(folder: Path, case_id: str, files: Iterable[Path]) -> list[str]:
    """Move files of a case that are no results of this run to ``set_aside``, and log it.

    Args:
        folder: of the run.
        case_id: that this run has left out, or for which it has not written these files anew.
        files: of an earlier run; each takes the place of one of its name that was set aside before.

    Returns:
        their names in ``folder``, as they are now.
    """
    moved = []
    for file in files:
        moved.append(f"{SET_ASIDE}/{file.name}")
        (folder / SET_ASIDE).mkdir(exist_ok=True)
        os.replace(file, folder / moved[-1])
    if moved:
        logger.warning(
            "case '%s': not written by this run but by an earlier one, so moved: %s", case_id, ", ".join(moved)
        )
    return moved


def maps_of_others(folder: Path, case_ids: Collection[str]) -> list[str]:
    """Names of the maps in a folder that are of none of some cases."""
    found = {file.name for name in _NAMES for file in folder.glob(f"*_{name}.nii.gz") if file.is_file()}
    return sorted(found - {f"{case_id}_{name}.nii.gz" for case_id in case_ids for name in _NAMES})
