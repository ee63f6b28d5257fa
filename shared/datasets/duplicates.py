"""The same image under another name in another section of a datalist: leakage that no name shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nibabel as nib
import numpy as np
from tqdm import tqdm

from ..cases.file_names import NIFTI, SEQUENCES
from ..radiographs.reading import read_radiograph
from ..runs.errors import DataListError, InputError

IMAGES = ("image", *SEQUENCES)
_SHOW_PROGRESS_FROM = 50  # images


def content_hash(file: str) -> str | None:
    """sha256 of the voxels or pixels as float32 in the closest canonical orientation; None of what cannot be read.

    Name, compression, data type and header do not count; neither do scale factors that give the same values.
    """
    try:
        if NIFTI.search(file):
            data = nib.as_closest_canonical(nib.load(file)).get_fdata(dtype=np.float32, caching="unchanged")
        else:
            data = read_radiograph(file, "image").data
    except (InputError, OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError):
        return None  # the door will say why
    content = np.ascontiguousarray(data, np.float32) + 0  # -0 is 0
    return hashlib.sha256(str(content.shape).encode() + content.tobytes()).hexdigest()


def check_duplicates(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Read every image of a datalist and compare the sections; a second or less for each volume and core.

    Args:
        sections: their cases, with absolute paths.

    Raises:
        DataListError: two sections hold the same image; it names both files.
    """
    listed = [(case[key], s) for s, cases in sections.items() for case in cases for key in IMAGES if key in case]
    if len({section for _, section in listed}) < 2:
        return
    first: dict[str, tuple[str, str]] = {}
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(content_hash, [file for file, _ in listed])
        progress = tqdm(
            hashes, "comparing sections", len(listed), unit="image", disable=len(listed) < _SHOW_PROGRESS_FROM
        )
        for (file, section), digest in zip(listed, progress):
            other, there = first.setdefault(digest, (file, section)) if digest else (file, section)
            if there != section:
                where = f"in '{there}' and '{section}': leakage; remove one of them"
                raise DataListError(f"{other} and {file} are the same image, {where}")
