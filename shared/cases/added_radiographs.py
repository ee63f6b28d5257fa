"""Training cases of a reference and of what was generated from it, of which none may stand in its other sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runs.errors import DataListError
from .datalist_files import read_datalist, resolve_path
from .radiograph_cases import gather_radiographs
from .splits import check_splits


def gather_with_generated(datalist: str, generated: str = "") -> list[dict[str, Any]]:
    """List the training cases of a reference, and after them those of a list of generated cases.

    Args:
        datalist: of the reference.
        generated: as :class:`~..reports.sample_reports.SampleReports` writes it, its section ``training``; empty: none.

    Returns:
        Cases as :func:`~.radiograph_cases.gather_radiographs` returns them.

    Raises:
        DataListError: a wrong list, no generated case, a case in both lists, or a generated case whose source
            (``patient_id``) stands in another section of the reference.
    """
    reference = gather_radiographs(datalist, "training")
    if not generated:
        return reference
    added = gather_radiographs(generated, "training")
    if not added:
        raise DataListError(f"{generated}: its section 'training' is empty; no sample was accepted, draw more")
    listed, made = (read_datalist(Path(resolve_path(path, Path.cwd()))) for path in (datalist, generated))
    try:
        check_splits({**listed, "training": listed["training"] + made["training"]})
    except DataListError as error:
        raise DataListError(f"{generated} does not go with {datalist}: {error}") from error
    return reference + added
