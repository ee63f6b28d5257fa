"""Which radiographs are the cases of a run: those of a datalist, or the one whose files are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runs.errors import DataListError
from .datalist_files import read_section, resolve_listed, resolve_path
from .file_names import stem_of

MASKS = ("tibia_mask", "lesion_mask")


def gather_radiographs(
    datalist: str | None = None, section: str = "test", given: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """List the cases of one section of a datalist, or the one case whose files are given.

    Args:
        datalist: a Decathlon-style JSON list; its relative paths start at the list file.
        section: section of the datalist.
        given: ``image`` and whatever else is known of ``tibia_mask``, ``lesion_mask`` and ``class_label`` of one case,
            which is named after the image; empty ones are ignored.

    Returns:
        Cases ``{"case_id", "image"[, "tibia_mask"][, "lesion_mask"][, "class_label"][, "group"]}``, paths absolute.

    Raises:
        DataListError: not exactly one of a datalist and an image given, a wrong list, a repeated case, leakage.
    """
    given = {key: value for key, value in (given or {}).items() if value not in (None, "")}
    if bool(datalist) == bool(given) or (given and "image" not in given):
        raise DataListError(
            "pass either --datalist LIST.json, or --image FILE with what else is known of it: --tibia_mask FILE, "
            f"--lesion_mask FILE, --class_label 0 or 1; given: {', '.join(given) or 'none of these'}"
            f"{' and a datalist' if datalist else ''}"
        )
    if given:
        files = {key: resolve_path(str(given[key]), Path.cwd()) for key in ("image", *MASKS) if key in given}
        case_id = stem_of(files["image"])
        return [{"case_id": case_id, **files, **{key: given[key] for key in given.keys() & {"class_label"}}}]
    list_file = Path(resolve_path(str(datalist), Path.cwd()))
    cases = []
    for listed in read_section(list_file, section):
        paths = resolve_listed({key: listed.get(key) for key in ("image", *MASKS)}, listed["case_id"], list_file)
        facts = {key: listed[key] for key in ("class_label", "group") if listed.get(key) is not None}
        cases.append({"case_id": listed["case_id"], **paths, **facts})
    return cases
