"""A datalist file: the cases of its sections, each with a name, and where their files lie."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..runs.errors import DataListError
from .file_names import BRAIN_MASK, LABEL, SEQUENCES, read_name, stem_of
from .splits import check_splits


def resolve_path(path: str, base: Path) -> str:
    """Absolute path of ``path``, relative to the folder ``base``; backslashes are separators unless such a file exists.

    Symbolic links are kept.
    """
    literal = os.path.abspath(base / os.path.expanduser(path))
    if "\\" in path and not os.path.exists(literal):
        return os.path.abspath(base / os.path.expanduser(path.replace("\\", "/")))
    return literal


PATHS = (
    "image",
    *SEQUENCES,
    *(f"{of}{key}" for key in (BRAIN_MASK, LABEL) for of in ("", *(f"{s}_" for s in SEQUENCES))),
)
"""Keys of a case whose values are paths."""


def read_section(list_file: Path, section: str) -> list[dict[str, Any]]:
    """The cases of one section of a datalist, each with a ``case_id`` and a sequence or ``image``.

    Raises:
        DataListError: as :func:`read_datalist`, or there is no such section.
    """
    return read_datalist(list_file, section)[section]


def read_datalist(list_file: Path, needed: str = "") -> dict[str, list[dict[str, Any]]]:
    """The sections of a datalist, among them a ``needed`` one; also of one of the Medical Segmentation Decathlon.

    A case may be the path of its image alone. One without ``case_id`` is named after its image. An ``image`` that is a
    list of files becomes the sequences that their names state.

    Raises:
        DataListError: an unreadable or wrong list, one without the section, a repeated case, leakage.
    """
    try:
        content = json.loads(list_file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataListError(f"{list_file}: cannot be read ({error.strerror}); pass an existing LIST.json") from error
    except ValueError as error:
        raise DataListError(f"{list_file}: is not JSON ({error}); see python -m tools.make_datalist --help") from error
    sections = content.items() if isinstance(content, dict) else ()
    datalist = {section: list(cases) for section, cases in sections if isinstance(cases, list) and _holds_cases(cases)}
    if needed and needed not in datalist:
        raise DataListError(f"{list_file}: has no section '{needed}' (sections: {', '.join(datalist) or 'none'})")
    try:
        for section, cases in datalist.items():
            named = [_read_case(case, position, section) for position, case in enumerate(cases)]
            datalist[section] = _with_names(named)
        check_splits(datalist)
    except DataListError as error:
        raise DataListError(f"{list_file}: {error}") from error
    return datalist


def _holds_cases(entries: list[Any]) -> bool:
    """Whether a list of the file is a section; others, such as one of labels' names, are left alone."""
    return not entries or any(isinstance(entry, dict) or stem_of(str(entry)) != str(entry) for entry in entries)


def _read_case(listed: Any, position: int, section: str) -> dict[str, Any]:
    """A case with its sequences or image; ``case_id`` as it stands, or none."""
    case, where = {"image": listed} if isinstance(listed, str) else listed, f"case {position} of '{section}'"
    if not isinstance(case, dict):
        raise DataListError(f"{where} is neither a case nor the path of an image: {listed!r}")
    name = case.get("case_id")
    if name is not None and (not isinstance(name, str) or not name):
        raise DataListError(
            f"{where}: its 'case_id' is {name!r}, not a string; leave it out to name it after its image"
        )
    if name and (wrong := re.search(r"[/\\\x00-\x1f]", name)):
        what = "a slash" if wrong.group() in "/\\" else "a control character"
        raise DataListError(f"case_id {name!r} holds {what}; outputs are named after it")
    if isinstance(case.get("image"), list):
        case = {**case, **_sequences_of(case["image"], where)}
    if not any(case.get(key) for key in ("image", *SEQUENCES)):
        whose = f"case '{name}'" if name else where
        raise DataListError(f"{whose} has none of the keys image, {', '.join(SEQUENCES)}")
    return case


def _sequences_of(files: list[Any], where: str) -> dict[str, Any]:
    """The files of a list by sequence, and no ``image``; a single one is the image."""
    if len(files) == 1:
        return {"image": files[0]}
    names = [read_name(stem_of(str(file))).sequence for file in files]
    if len(set(names)) < len(names) or not {*names} <= {*SEQUENCES}:
        raise DataListError(f"{where}: the files of its 'image' do not state a sequence each; give each its own key")
    return {"image": None, **dict(zip(names, files))}


def _with_names(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name the cases without ``case_id``: after file or subject, and where that is not unique with their folders."""
    paths = [PurePosixPath(_first_path(case).replace("\\", "/")) for case in cases]
    short = [
        stem_of(path) if case.get("image") else read_name(stem_of(path)).subject or path.parent.name
        for case, path in zip(cases, paths)
    ]
    unique = Counter(case.get("case_id") or name for case, name in zip(cases, short))
    long = ["_".join([*(part for part in path.parent.parts if part.strip("./")), stem_of(path)]) for path in paths]
    return [{"case_id": name if unique[name] == 1 else full, **case} for case, name, full in zip(cases, short, long)]


def _first_path(case: Mapping[str, Any]) -> str:
    return str(next(case[key] for key in ("image", *SEQUENCES) if case.get(key)))


def masks_of(listed: Mapping[str, Any], sequence: str = "") -> dict[str, Any]:
    """Brain mask and label of a case, those of a sequence (``t1_brain_mask``) before those of all of them."""
    found = {key: listed.get(f"{sequence}_{key}") or listed.get(key) for key in (BRAIN_MASK, LABEL)}
    return {key: mask for key, mask in found.items() if mask}


def resolve_listed(paths: Mapping[str, Any], case_id: str, list_file: Path) -> dict[str, str]:
    """Absolute paths of the files of a listed case; those that are empty are left out.

    Raises:
        DataListError: an entry is no path.
    """
    for key, value in paths.items():
        if value and not isinstance(value, str):
            raise DataListError(f"{list_file}: key '{key}' of case '{case_id}' is not a path: {value!r}")
    return {key: resolve_path(value, list_file.parent) for key, value in paths.items() if value}
