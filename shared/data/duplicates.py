"""The same image under another name in another section of a datalist: leakage that no name shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nibabel as nib
import numpy as np
from tqdm import tqdm

from .datalists import SEQUENCES
from .errors import DataListError, InputError
from .folder_cases import NIFTI
from .radiographs import read_radiograph

IMAGES = ("image", *SEQUENCES)


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
    files = {case[key]: section for section, cases in sections.items() for case in cases for key in IMAGES if key in case}
    if len(set(files.values())) < 2:
        return
    seen: dict[str, str] = {}
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(content_hash, files)
        for file, digest in zip(files, tqdm(hashes, "comparing sections", len(files), unit="image", disable=len(files) < 50)):
            other = seen.setdefault(digest, file) if digest else file
            if files[other] != files[file]:
                where = f"'{files[other]}' and '{files[file]}'"
                raise DataListError(f"{other} and {file} are the same image, in {where}: leakage; remove one of them")
