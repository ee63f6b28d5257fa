"""Folders of files with any names, in any depth, with links, hidden files and outputs of earlier runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters

from hypothesis import strategies as st

ENDINGS = (".nii.gz", ".nii", ".NII.GZ")
FOREIGN = (".mgz", ".nrrd", ".mha", ".img", ".hdr", ".dcm", ".png", ".json", ".txt", "")
WRITTEN = ("anomaly_map", "anomaly_mask", "pseudo_healthy", "uncertainty", "brain_mask")
# Words that say nothing of a sequence, a mask or a preparation, as people name patients, days and visits.
WORDS = (
    "p01", "Müller", "Mu\u0308ller", "患者", "пациент", "2024-01-15", "20240115", "1.2.840.1001", "visit 2", "(copy)",
    "[old]", "a'b", "x" * 60, "IXI002-Guys-0828", "CON", "nul", "🧠", "é", "e\u0301", "100%", "$HOME", "a,b", "#1",
    "None", "1e5", "~tmp", "-v", "..x", "a b  c", "tab\tname", "ﬁ", "İstanbul",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One entry: folders, the name of a scan, and what it is.

    ``kind`` is one of :data:`KINDS`; a ``linked scan`` lies outside, a ``second name`` is a link to a scan of the
    tree, a ``circle`` one to its own folder.
    """

    folders: tuple[str, ...]
    name: str
    kind: str
    ending: str
    foreign: str


KINDS = (
    *["scan"] * 6, *WRITTEN, "hidden", "hidden folder", "resource fork", "foreign", "empty folder",
    "folder named as a scan", "linked scan", "second name", "dangling link", "linked folder", "circle",
)  # fmt: skip


def any_tree() -> st.SearchStrategy[list[Entry]]:
    """Up to eight entries in up to two folders."""
    no_words = st.characters(codec="utf-8", exclude_characters=f"{ascii_letters}/\0")  # which might say what it is
    word = st.one_of(st.sampled_from(WORDS), st.text(no_words, min_size=1, max_size=12))
    name = word.map(lambda text: text.strip(".")).filter(bool)
    entry = st.builds(
        Entry,
        folders=st.lists(name.filter(lambda n: not n.startswith(".")), max_size=2).map(tuple),
        name=name,
        kind=st.sampled_from(KINDS),
        ending=st.sampled_from(ENDINGS),
        foreign=st.sampled_from(FOREIGN),
    )
    return st.lists(entry, min_size=1, max_size=8)


def make(entries: list[Entry], root: Path, outside: Path) -> dict[str, set[Path]]:
    """Make the tree below ``root``; what lies ``outside`` is linked to.

    Returns:
        paths by what they are: ``scan`` (an image that must be found, a link to one too), ``dangling`` (must be found,
        and left out later), ``other`` (must not be found as an image).
    """
    made: dict[str, set[Path]] = {"scan": set(), "dangling": set(), "other": set()}
    outside.mkdir(parents=True, exist_ok=True)
    for number, entry in enumerate(entries):
        folder = root.joinpath(*entry.folders)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):  # an entry before it took the name
            continue
        named = {**dict.fromkeys(WRITTEN, ""), "hidden": ".", "resource fork": "._"}
        begin = named.get(entry.kind, "")
        end = f"_{entry.kind}" if entry.kind in WRITTEN else ""
        ending = entry.foreign if entry.kind == "foreign" else entry.ending
        path = folder / f"{begin}{entry.name}{end}{ending}"
        if os.path.lexists(path):
            continue
        scan = min((scan for scan in made["scan"] if not scan.is_symlink()), default=None)
        if entry.kind == "second name" and scan:
            path.symlink_to(scan)
            made["other"].add(path)
            continue
        what = _make_one(entry.kind, path, outside / f"scan{number}{entry.ending}")
        made[what].add(path / f"inner{entry.ending}" if entry.kind == "linked folder" else path)
    return made


def _make_one(kind: str, path: Path, target: Path) -> str:
    if kind == "dangling link":
        path.symlink_to(target.with_name(f"not {target.name}"))
        return "dangling"
    if kind == "linked scan":
        target.touch()
        path.symlink_to(target)
        return "scan"
    if kind == "linked folder":
        path.symlink_to(_folder(target), target_is_directory=True)
        (path / f"inner{target.name[target.name.index('.') :]}").touch()
        return "scan"
    if kind == "circle":
        path.symlink_to(path.parent, target_is_directory=True)
        return "other"
    if kind in ("empty folder", "folder named as a scan"):
        path.mkdir()
        return "other"
    if kind == "hidden folder":
        hidden = path.parent / f".{path.name}"
        hidden.mkdir(exist_ok=True)
        path = hidden / path.name
    path.touch()
    return "scan" if kind in ("scan", "second name") else "other"


def _folder(target: Path) -> Path:
    folder = target.with_name(f"{target.name}_folder")
    folder.mkdir(exist_ok=True)
    return folder
