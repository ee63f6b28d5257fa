"""Files of a brain of ellipsoids that are damaged, or unlike what they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import BRAIN, save


def patched(path: Path, **fields: object) -> Path:
    """A good file whose header fields are overwritten as they stand, without nibabel's mending."""
    raw = bytearray(save(path).read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(raw)
    return path


def pixdim(*spacing: float) -> list[float]:
    return [1, *spacing, 0, 0, 0, 0]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def truncated(path: Path, keep: float) -> Path:
    content = save(path).read_bytes()
    return written(path, content[: int(keep * len(content))])


def flipped_byte(path: Path) -> Path:
    content = bytearray(save(path).read_bytes())
    content[-6] ^= 1  # in the checksum at the end
    return written(path, bytes(content))


def png(path: Path) -> Path:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path.with_suffix(".png"))
    return path.with_suffix(".png").rename(path)


def with_voxels(path: Path, value: float, count: int = 3) -> Path:
    data = BRAIN.copy()
    data[32, 32, :count] = value
    return save(path, data)


def rgb(path: Path) -> Path:
    return save(path, np.zeros((64,) * 3, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def singular(path: Path) -> Path:
    return patched(path, sform_code=1, srow_x=[0, 0, 0, 0])


def assert_refused(read: Callable[[Path], object], path: Path, message: str) -> None:
    """What reads a file names it with its key, what is wrong and a remedy."""
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert caught.value.file == str(path)
    assert str(caught.value).startswith(f"{path} (key 't1'): ")
    assert caught.value.problem and caught.value.remedy
