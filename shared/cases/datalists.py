"""Datalists: which cases there are, where their files lie, and how patients are dealt to the sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runs.errors import DataListError
from ..runs.tables import write_json
from .datalist_files import masks_of, read_section, resolve_listed, resolve_path
from .file_names import SEQUENCES, check_sequence, stem_of
from .folder_cases import FoundCases, cases_of_folder


def gather_cases(
    image: str | None = None,
    dataset_dir: str | None = None,
    datalist: str | None = None,
    section: str = "test",
    sequence: str = "t1",
    companions: Mapping[str, str | None] | None = None,
) -> FoundCases:
    """List the cases of one image, of a folder, or of one section of a datalist.

    Args:
        image: a NIfTI file: one case, named after the file.
        dataset_dir: a folder: one case per NIfTI below it, named after its relative path (parts joined by ``_``), with
            its masks (:func:`~.folder_cases.cases_of_folder`). Masks, labels, what a bundle has written and files
            whose name states another sequence are no cases.
        datalist: a Decathlon-style JSON list; its relative paths start at the list file.
        section: section of the datalist.
        sequence: sequence taken from a datalist, or the one that ``image`` and ``dataset_dir`` hold.
        companions: further sequences that every case needs, each with its file beside ``image``; from a datalist they
            are taken by their name, whatever file is given here.

    Returns:
        Cases ``{"case_id", "image", "sequence"[, <companion> ...][, "brain_mask"][, "label"][, "group"]}``, paths
        absolute. ``sequence`` is ``"image"`` where a datalist says ``image``. A listed case that lacks the wanted
        sequence (``image``) or a companion has a ``reason`` and the sequence ``missing``, and one of a folder whose
        mask cannot be told also a ``remedy``: the door reports it.

    Raises:
        DataListError: an unknown sequence, not exactly one source given, nothing found, a wrong list, a repeated case,
            leakage, companions without a file or with a folder.
    """
    check_sequence(sequence)
    companions = companions or {}
    if unknown := set(companions) - set(SEQUENCES):
        raise DataListError(f"companions are sequences ({', '.join(SEQUENCES)}), not {', '.join(sorted(unknown))}")
    given = {"image": image, "dataset_dir": dataset_dir, "datalist": datalist}
    chosen = [name for name, value in given.items() if value not in (None, "")]
    if len(chosen) != 1:
        found = " and ".join(f"--{name}" for name in chosen) or "none"
        raise DataListError(
            f"pass exactly one of --image FILE, --dataset_dir FOLDER or --datalist LIST.json; {found} given"
        )
    if image:
        path = resolve_path(image, Path.cwd())
        case = {"case_id": stem_of(path), "image": path, "sequence": sequence}
        return FoundCases([{**case, **_companions_of_image(companions)}])
    if dataset_dir:
        if companions:
            raise DataListError(
                f"--dataset_dir gives one file per case, but each case also needs its {' and '.join(companions)}; make "
                "a datalist (python -m tools.make_datalist folder FOLDER LIST.json) and pass --datalist LIST.json"
            )
        return cases_of_folder(Path(resolve_path(dataset_dir, Path.cwd())), sequence)
    list_file = Path(resolve_path(str(datalist), Path.cwd()))
    return FoundCases(_listed_case(c, list_file, sequence, companions) for c in read_section(list_file, section))


def _companions_of_image(companions: Mapping[str, str | None]) -> dict[str, str]:
    files = {}
    for name, file in companions.items():
        if not file:
            raise DataListError(f"--image FILE needs the {name} of the same session: pass --{name} FILE")
        files[name] = resolve_path(file, Path.cwd())
    return files


def _listed_case(
    listed: Mapping[str, Any], list_file: Path, sequence: str, companions: Iterable[str]
) -> dict[str, str]:
    case = {"case_id": listed["case_id"], "sequence": "image" if listed.get("image") else sequence}
    if listed.get("group"):
        case["group"] = str(listed["group"])
    wanted = {"image": listed.get("image") or listed.get(sequence), **{name: listed.get(name) for name in companions}}
    paths = {**wanted, **masks_of(listed, sequence)}
    case.update(resolve_listed(paths, case["case_id"], list_file))
    if missing := [sequence if key == "image" else key for key, value in wanted.items() if not value]:
        present = ", ".join(key for key in ("image", *SEQUENCES) if listed.get(key))
        lacks = " and no ".join(f"'{key}'" for key in missing)
        case["reason"], case["missing"] = f"has no {lacks} (it has {present})", missing[0]
    return case


def named(case: Mapping[str, Any]) -> dict[str, Any]:
    """The case with a name and a sequence; one that lacks them, as MONAI Label lists it, is named after its image."""
    case_id = stem_of(str(case.get("image", "")))
    return {"case_id": case_id, "sequence": "image", **case}


def write_datalist(folder: Path, cases: Sequence[dict[str, Any]], section: str | None = None) -> Path:
    """Write ``datalist.json`` of the cases into their folder and return its path.

    Args:
        folder: where the cases' files lie, to which their paths are relative.
        cases: as a datalist holds them.
        section: of all of them; None: the last eighth is ``validation`` (from eight cases on), the rest ``training``.
    """
    datalist: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    if section is not None:
        datalist[section] = list(cases)
    else:
        first_validation = len(cases) - len(cases) // 8
        datalist["training"], datalist["validation"] = list(cases[:first_validation]), list(cases[first_validation:])
    path = folder / "datalist.json"
    write_json(path, datalist)
    return path
