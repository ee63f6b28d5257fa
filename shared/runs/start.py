"""The first step of every run, before anything is read or computed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from monai.bundle import run

from .command_line import DEBUG, check_options, given_options
from .freed_memory import keep_freed_memory as keep_it
from .last_line import end_in_one_line
from .output_lock import OutputLock

_PACKAGE = __name__.removesuffix(".runs.start")


class Start:
    """Check the options of the command line, then keep the run's folders from other runs until the process ends.

    Where an option has been read as another value than is meant, the command is run as meant, and ends here.
    From here on errors end in one line, see :func:`~.last_line.end_in_one_line`; ``--debug true`` shows
    the whole, and where a case that was left out was stopped.

    Args:
        folders: that the run writes to.
        rank: of the process; the first of several takes the folders for all.
        keep_freed_memory: faster 3D networks on a CPU, see :func:`~.freed_memory.keep_freed_memory`.

    Raises:
        SystemExit: with code 1 and a message, an option that the configs do not have; with 0, all is done.
        OutputError: another run uses one of the folders, or it cannot be written to.
    """

    def __init__(self, folders: Sequence[str] = (), rank: int = 0, keep_freed_memory: bool = False) -> None:
        debug = str(given_options().get(DEBUG)).lower() == "true"
        end_in_one_line(debug)
        if debug:
            logging.getLogger(_PACKAGE).setLevel(logging.DEBUG)  # of this package alone
            for handler in logging.getLogger().handlers:
                handler.setLevel(logging.DEBUG)
        if words := check_options():
            sys.argv += words
            run(**{**given_options(), "init_id": "done"})  # initialize has been run
            raise SystemExit(0)
        self.lock = OutputLock(folders) if rank == 0 else None
        if keep_freed_memory:
            keep_it()
