"""Which radiographs are the cases of a run: those of a datalist, or the one whose files are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runs.errors import DataListError
from .datalist_files import read_section, resolve_listed, resolve_path
from .file_names import SAMPLE_FOLDERS, SAMPLES_TABLE, stem_of
from .folder_cases import FoundCases
from .folder_files import counted, read_folder

MASKS = ("tibia_mask", "lesion_mask")


def gather_radiographs(
    datalist: str | None = None,
    section: str = "test",
    given: Mapping[str, Any] | None = None,
    dataset_dir: str | None = None,
) -> FoundCases:
    """List the cases of one section of a datalist, of a folder, or the one case whose files are given.

    Args:
        datalist: a Decathlon-style JSON list; its relative paths start at the list file.
        section: section of the datalist.
        given: ``image`` and whatever else is known of ``tibia_mask``, ``lesion_mask`` and ``class_label`` of one case,
            which is named after the image; empty ones are ignored.
        dataset_dir: a folder: the cases of its ``datalist.json`` or, where there is none, all radiographs below it.

    Returns:
        Cases ``{"case_id", "image"[, "tibia_mask"][, "lesion_mask"][, "class_label"][, "group"]}``, paths absolute.

    Raises:
        DataListError: not exactly one of datalist, folder and image given, a wrong list, a repeated case, leakage.
    """
    if dataset_dir and not datalist:
        folder = Path(resolve_path(dataset_dir, Path.cwd()))
        if not (folder / "datalist.json").is_file():
            return _of_folder(folder)
        datalist = str(folder / "datalist.json")
    given = {key: value for key, value in (given or {}).items() if value not in (None, "")}
    if bool(datalist) == bool(given) or (given and "image" not in given):
        raise DataListError(
            "pass --dataset_dir FOLDER, or --datalist LIST.json, or --image FILE with what else is known of it: "
            f"--tibia_mask FILE, --lesion_mask FILE, --class_label 0 or 1; given: {', '.join(given) or 'none of these'}"
            f"{' and a datalist' if datalist else ''}"
        )
    if given:
        files = {key: resolve_path(str(given[key]), Path.cwd()) for key in ("image", *MASKS) if key in given}
        case_id = stem_of(files["image"])
        return FoundCases(
            [{"case_id": case_id, **files, **{key: given[key] for key in given.keys() & {"class_label"}}}]
        )
    list_file = Path(resolve_path(str(datalist), Path.cwd()))
    cases = []
    for listed in read_section(list_file, section):
        paths = resolve_listed({key: listed.get(key) for key in ("image", *MASKS)}, listed["case_id"], list_file)
        facts = {key: listed[key] for key in ("class_label", "group") if listed.get(key) is not None}
        cases.append({"case_id": listed["case_id"], **paths, **facts})
    return FoundCases(cases)


def _of_folder(folder: Path) -> FoundCases:
    """The radiographs below a folder, without masks and without images that a bundle has drawn."""
    files, passed_over = read_folder(folder, radiographs=True)
    drawn = [file for file in files if _is_drawn(file.path)]
    masks = [file for file in files if file.name.kind != "image" and file not in drawn]
    notes = counted(masks, "named as masks or labels") + counted(drawn, "drawn by a bundle")
    images = [file for file in files if file not in masks and file not in drawn]
    if not images:
        raise DataListError("; ".join([f"0 radiographs below {folder}", *notes, *passed_over]))
    cases = ({"case_id": file.stem.replace("/", "_"), "image": str(file.path)} for file in images)
    return FoundCases(cases, notes + passed_over)


def _is_drawn(file: Path) -> bool:
    return file.parent.name in SAMPLE_FOLDERS and (file.parent.parent / SAMPLES_TABLE).is_file()
