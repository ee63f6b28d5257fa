"""Files that are there, and files that are either the old or the new ones, whole, whatever interrupts the writing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError, OutputError


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


def check_places(folder: Path, files: Iterable[str] = (), folders: Iterable[str] = ()) -> None:
    """Check before anything is computed that nothing lies in the way of what a run writes at its end.

    Args:
        folder: of the run, which need not be there yet.
        files: names of files that will be written or replaced in it.
        folders: names of folders in it that will be made or filled.

    Raises:
        OutputError: a folder is in the place of a file, or something else in the place of a folder.
    """
    wrong = [(name, "folder", "file") for name in files if (folder / name).is_dir()]
    wrong += [
        (name, "file", "folder") for name in folders if os.path.lexists(folder / name) and not (folder / name).is_dir()
    ]
    if wrong:
        name, there, wanted = wrong[0]
        raise OutputError(
            f"{folder / name}: is a {there}, where the run writes a {wanted} of this name. "
            "Rename or remove it, or choose another --output_dir"
        )


@contextmanager
def removing_after_error(files: Iterable[Path]) -> Iterator[None]:
    """Remove files, which the block may still add to, where the block fails: a case has all of its results or none."""
    try:
        yield
    except Exception:
        for file in files:
            if file.is_file():
                file.unlink()
        raise


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
