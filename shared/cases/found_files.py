"""The image files below a folder, and what else lies there that could be taken for one."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..runs.errors import DataListError
from .file_names import NIFTI, RADIOGRAPH

_FOREIGN = re.compile(
    r"\.(mgz|mgh|nrrd|nhdr|mha|mhd|mnc|img|hdr|dcm|dicom|ima|par|png|jpe?g|tiff?|nii\.(bz2|xz|zip|zst))$", re.IGNORECASE
)
_CONVERT = "convert them to NIfTI (DICOM: dcm2niix; .mgz: mri_convert)"
_CONVERT_TO_PNG = "convert them to PNG without loss"
_NIFTI_FILES = ("NIfTI files", ".nii or .nii.gz")


@dataclass
class FoundFiles:
    """Files by path, sorted, with their paths relative to the folder (posix style, without the ending).

    Attributes:
        files: that were found, also links that lead to no file.
        notes: on what was passed over, how many and why.
    """

    files: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_files(folder: Path, radiographs: bool = False) -> FoundFiles:
    """Find the NIfTI files below a folder; links to folders are followed, each folder is read once.

    What is hidden below the folder is passed over, wherever the folder itself lies, and so are folders ``__MACOSX``.
    Files of other formats of images are counted; links that lead to nothing are named.

    Args:
        folder: that is searched.
        radiographs: PNG and DICOM files are wanted too, these also without an ending.

    Raises:
        DataListError: no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DataListError(f"{folder} is not a folder; pass an existing folder of images")
    endings = RADIOGRAPH if radiographs else NIFTI
    found, foreign = list[Path](), Counter[str]()
    hidden, closed, dangling = list[str](), list[str](), list[str]()
    for entry in _walk(folder, closed):
        if _is_hidden(entry.name):
            hidden += [entry.name] * bool(entry.is_dir() or endings.search(entry.name))
        elif endings.search(entry.name):
            found.append(Path(entry.path))
        elif entry.is_symlink() and not os.path.exists(entry.path):
            dangling.append(f"{entry.path}: this link leads to nothing ({os.readlink(entry.path)})")
        elif (kind := _foreign_format(entry)) == "DICOM files" and radiographs:
            found.append(Path(entry.path))
        elif kind:
            foreign[kind] += 1
    formats = ", ".join(f"{count} {kind}" for kind, count in sorted(foreign.items()))
    notes = [f"{formats}: {_CONVERT_TO_PNG if radiographs else _CONVERT}"] if formats else []
    notes += dangling + [f"{path}: this folder cannot be read" for path in closed]
    if not found:
        what, named = ("radiographs", ".png, .dcm, .nii or .nii.gz") if radiographs else _NIFTI_FILES
        raise DataListError("; ".join([f"0 {what} below {folder}; images end in {named}", *notes]))
    notes += [f"{len(hidden)} hidden (such as {hidden[0]})"] if hidden else []
    return FoundFiles({f: endings.sub("", f.relative_to(folder).as_posix()) for f in sorted(found)}, notes)


def _walk(folder: Path, closed: list[str]) -> Iterator[os.DirEntry[str]]:
    """All that is hidden or no folder; real folders are read before linked ones, so that their names are taken."""
    read, real, linked = set[str](), [str(folder)], list[str]()
    while real or linked:
        path = real.pop() if real else linked.pop()
        if (place := os.path.realpath(path)) in read:
            continue
        read.add(place)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
        except OSError:
            closed.append(path)
            continue
        for entry in entries:
            if _is_hidden(entry.name) or not entry.is_dir():
                yield entry
            else:
                (linked if entry.is_symlink() else real).append(entry.path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # what macOS adds to a zip


def _foreign_format(entry: os.DirEntry[str]) -> str:
    """The format of a file that is not read here; empty where it is no image."""
    if ending := _FOREIGN.search(entry.name):
        name = ending.group().lower()
        return "DICOM files" if name in (".dcm", ".dicom", ".ima") else f"{name} files"
    if "." in re.sub(r"\d+\.", "", entry.name) or not entry.is_file():
        return ""  # names of DICOM files have no ending, or are a UID
    try:
        with open(entry.path, "rb") as stream:
            return "DICOM files" if stream.read(132).endswith(b"DICM") else ""
    except OSError:
        return ""
