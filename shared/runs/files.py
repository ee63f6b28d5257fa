"""Files that are there, and files that are either the old or the new ones, whole, whatever interrupts the writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError


def check_is_file(file: str, key: str) -> None:
    """Check that there is a file of a case.

    Raises:
        InputError: there is a folder, nothing, or a link that leads to nothing.
    """
    path = Path(file)
    if path.is_dir():
        raise InputError(file, key, "is a folder", "Pass a file, or the folder as --dataset_dir")
    if path.is_symlink() and not path.exists():
        problem = f"is a link to {os.readlink(path)}, which is not there"
        raise InputError(file, key, problem, "Mend the link, or fetch the file (git annex get, datalad get)")
    if not path.exists():
        raise InputError(file, key, "file not found", "Check the path; relative paths of a datalist start at its file")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    The folder is made where it is missing. After an error the temporary file is removed and ``path`` is as it was.

    Raises:
        OSError: the system's, about ``path`` and not about the temporary one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # its name is too long, or its folder is none
            temporary.unlink()
