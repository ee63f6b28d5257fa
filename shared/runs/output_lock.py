"""One run at a time in a folder: a second one is refused with the name of the first."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import OutputError

_PATIENCE = 5.0  # seconds that the workers of a killed run may need to end
_HALF_WRITTEN = re.compile(r"\..+\.\d+")  # as files.replacing names its temporary files

logger = logging.getLogger(__name__)


class OutputLock:
    """Keep folders for this process until it ends, even if it is killed, or until this object is gone.

    What killed runs have left half-written in the folders is removed.

    Args:
        folders: made where they are missing, and removed if they stay empty; the same one may be named twice.

    Raises:
        OutputError: another process uses one of them, it cannot be written to, or its name is empty.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        if not all(map(str, folders)):
            raise OutputError(
                "the name of a folder to write to is empty, as of a variable that is not set. Give it one"
            )
        for folder in sorted({Path(folder).resolve() for folder in folders}):
            new = not folder.is_dir()
            lock, owner = FileLock(folder / ".lock"), folder / ".lock_owner"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=_PATIENCE)
                owner.write_text(f"{os.getpid()} on {socket.gethostname()}: {shlex.join(sys.argv)}", encoding="utf-8")
            except Timeout:
                _refuse(folder, owner)
                continue  # an earlier run of this very process
            except OSError as error:
                raise OutputError(
                    f"{folder}: cannot be written to ({error.strerror}). Choose another folder"
                ) from error
            weakref.finalize(self, _release, lock, owner, new)
            for file in folder.iterdir():
                if _HALF_WRITTEN.fullmatch(file.name):
                    logger.info("removing %s, left by a run that was killed", file)
                    file.unlink()


def _refuse(folder: Path, owner: Path) -> None:
    try:
        other = owner.read_text(encoding="utf-8")
    except OSError:  # it has just started or just ended
        other = "unknown"
    if other.split(" on ")[0] != str(os.getpid()):
        raise OutputError(
            f"{folder}: in use by another run, process {other}. Wait until it ends, or choose another folder"
        )


def _release(lock: FileLock, owner: Path, new: bool) -> None:
    owner.unlink(missing_ok=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
    if new:
        with suppress(OSError):  # it holds something now
            owner.parent.rmdir()
