"""The files of a folder, with what their names and folders say of them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..runs.errors import DataListError
from .file_names import BRAIN_MASK, LABEL, SEQUENCES, FileName, read_name, same_name
from .found_files import find_files
from .name_words import COPIED, PREPARED, sequence_of, words_of

_KINDS = {
    LABEL: re.compile(r"(labels?|seg|segmentations?|annotations?|gt)(tr|ts)?|lesion_?(masks?|labels?)", re.IGNORECASE),
    BRAIN_MASK: re.compile(r"brain_?masks?", re.IGNORECASE),
    "mask": re.compile(r"masks?", re.IGNORECASE),
    "image": re.compile(r"(images?|imgs?|scans?|anat|nii|nifti)(tr|ts)?", re.IGNORECASE),
}  # of all files in a folder of this name
_DERIVED = ("derivatives", "sourcedata")  # of BIDS
_SPM = re.compile(r"(s\d*)?([mwr]|m0)*([cp]\d|(wj|i?y|u|j)_(rc\d)?)?")  # before the name of a scan: wm, c1, mwp1, y_
_SERIES = re.compile(r"(\d+)[a-z]?[-_. ]+(.*)", re.IGNORECASE)  # a scanner's number of it, and what it was called
_CHANNEL = re.compile(r"_(00\d\d)$")  # of nnU-Net


@dataclass(frozen=True)
class FolderFile:
    """A file in a folder.

    Attributes:
        path: of the file.
        stem: its path in the folder, posix style, without the ending.
        place: its folder, without those that tell images, labels, sequences and derivatives apart: a scan and its masks
            share it.
        name: what its name and its folders say.
        is_derived: it is among the derivatives of BIDS.
    """

    path: Path
    stem: str
    place: str
    name: FileName
    is_derived: bool

    @property
    def subject(self) -> tuple[str, str]:
        """What all files of a subject in one place share."""
        return self.place, same_name(self.name.subject)


def counted(files: Sequence[FolderFile], what: str) -> list[str]:
    """A note on files that were passed over: how many, why, and the name of one; nothing where there are none."""
    return [f"{len(files)} {what} (such as {files[0].path.name})"] if files else []


def read_folder(
    folder: Path, channels: Sequence[str] = (), radiographs: bool = False
) -> tuple[list[FolderFile], list[str]]:
    """Images, masks and labels below a folder, each once, and notes on what was passed over.

    What a bundle has written is passed over, and what was derived from other images: of BIDS, ``a_T1_bias`` beside
    ``a_T1``, and what SPM, CAT12 and FSL write beside it (``ma_T1``, ``c1a_T1``, ``y_a_T1``).

    Args:
        folder: of the files, at any depth.
        channels: sequences of the files that nnU-Net calls ``_0000``, ``_0001`` and so on.
        radiographs: PNG and DICOM files count too.

    Raises:
        DataListError: no such folder, no NIfTI file in it, or several channels of a case without their names.
    """
    found = find_files(folder, radiographs)
    read = [_read_file(path, stem) for path, stem in found.files.items()]
    files = [file for file in read if file.name.kind != "written"]
    images = [file for file in files if file.name.kind == "image"]
    derived = [file for file in images if file.is_derived and not all(other.is_derived for other in images)]
    kept = {(file.subject, file.name.sequence) for file in images if not COPIED.search(file.path.name)}
    beside = {file.path.with_name(PurePosixPath(file.stem).name) for file in read}
    copies = [
        file
        for file in images * (not radiographs)
        if (COPIED.search(file.path.name) and (file.subject, file.name.sequence) in kept) or _is_of_spm(file, beside)
    ]
    files = [file for file in files if file not in derived and file not in copies]
    once = _once(files)
    notes = counted([file for file in read if file.name.kind == "written"], "written by a bundle")
    notes += counted(derived, f"below {' or '.join(_DERIVED)}")
    notes += counted(copies, "beside the scan that they were derived from")
    notes += counted([file for file in files if file not in once], "that are links to another one")
    return _with_channels(_without_series(once), channels, folder), notes + found.notes


def _read_file(path: Path, stem: str) -> FolderFile:
    *parts, last = PurePosixPath(stem).parts
    derived = next((n for n, part in enumerate(parts) if part in _DERIVED), None)
    name, place = read_name(last, "" if derived is None else "".join(parts[derived + 1 : derived + 2])), []
    if derived is not None:
        parts = parts[:derived] + parts[derived + 2 :] * (name.bids is None)
    for part in parts:
        kind = next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(part)), "")
        said = read_name(part)
        if kind and kind != "image" and name.kind in ("image", "mask"):
            name = replace(name, kind=kind)
        elif said.sequence in SEQUENCES and not said.subject and said.kind == "image":
            if name.sequence in ("", said.sequence):  # else it is T1, the second day, that holds a FLAIR
                kind, name = "image", replace(name, sequence=said.sequence)
        if name.bids and part.startswith("sub-"):
            break
        if not kind:
            place.append(part)
    return FolderFile(
        path, stem, "/".join([*place, *(name.bids.session if name.bids else ())]), name, derived is not None
    )


def _is_of_spm(file: FolderFile, beside: Container[Path]) -> bool:
    """Whether a name is that of another file there, or of CAT12's folder ``mri`` above, behind a prefix of SPM."""
    stem, folder = PurePosixPath(file.stem).name, file.path.parent
    folders = (folder, folder.parent) if folder.name == "mri" else (folder,)
    return any(
        _SPM.fullmatch(stem[:end]) and any(place / stem[end:] in beside for place in folders)
        for end in range(1, len(stem))
    )


def _without_series(files: Sequence[FolderFile]) -> list[FolderFile]:
    """Take the numbers of a scanner's series (``3_t1_mprage``, ``4_t2_flair``) for no subjects.

    They are such where, in one place, several sequences each have numbers of their own.
    """
    numbers: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    series: dict[Path, int] = {}
    for file in files:
        found = _SERIES.fullmatch(PurePosixPath(file.stem).name)
        if found and file.name.kind == "image" and file.name.sequence in SEQUENCES:
            words = words_of(found.group(2))
            if words[0] in PREPARED or 0 in sequence_of(words)[1]:
                series[file.path] = int(found.group(1))
                numbers[file.place][found.group(1)].add(file.name.sequence)
    places = {
        place
        for place, found in numbers.items()
        if len(set[str]().union(*found.values())) > 1 and all(len(sequences) == 1 for sequences in found.values())
    }
    taken = {(file.place, file.name.sequence) for file in files if file.path not in series}
    replaced: dict[Path, FolderFile] = {}
    for file in sorted((f for f in files if f.path in series and f.place in places), key=lambda f: series[f.path]):
        if (file.place, file.name.sequence) not in taken:  # a further one of a sequence stays a case of its own
            replaced[file.path] = replace(file, name=replace(file.name, subject=""))
        taken.add((file.place, file.name.sequence))
    return [replaced.get(file.path, file) for file in files]


def _once(files: Iterable[FolderFile]) -> list[FolderFile]:
    """Each image once, under its own name rather than that of a link; equal labels may be one file."""
    first: dict[str, FolderFile] = {}
    files = list(files)
    for file in sorted(files, key=lambda file: file.path.is_symlink()):
        if file.name.kind == "image":
            first.setdefault(os.path.realpath(file.path), file)
    return [file for file in files if file.name.kind != "image" or file is first[os.path.realpath(file.path)]]


def _with_channels(files: list[FolderFile], channels: Sequence[str], folder: Path) -> list[FolderFile]:
    """Name the sequences of nnU-Net's numbered files."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for file in files:
        if file.name.kind == "image" and not file.name.sequence and (found := _CHANNEL.search(file.stem)):
            numbers[file.stem[: found.start()]].add(int(found.group(1)))
    of_nnunet = {s: n for s, n in numbers.items() if n == set(range(len(n))) and len(n) <= len(SEQUENCES)}
    if several := [stem for stem, found in of_nnunet.items() if len(found) > max(1, len(channels))]:
        raise DataListError(
            f"{folder}: {several[0]}_0000, _0001 ... are the channels of a case, as nnU-Net numbers them. Make a "
            "datalist with their names in their order, such as python -m tools.make_datalist folder FOLDER LIST.json "
            "--channels flair t1 t1ce t2, and pass --datalist LIST.json"
        )
    named = []
    for file in files:
        found = _CHANNEL.search(file.stem)
        if found and file.stem[: found.start()] in of_nnunet and file.name.kind == "image" and not file.name.sequence:
            subject = file.name.subject.removesuffix(found.group())
            sequence = channels[int(found.group(1))] if channels else ""
            file = replace(file, name=replace(file.name, subject=subject, sequence=sequence))
        named.append(file)
    return named
