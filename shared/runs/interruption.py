"""Ctrl-C ends a run with one line that says how it goes on, in place of a traceback."""

from __future__ import annotations

import logging

EXIT_CODE = 130  # that of a command ended by Ctrl-C

logger = logging.getLogger(__name__)


def end_if_interrupted(error: BaseException, message: str) -> None:
    """Called with what ended an engine: log the message and leave, where that was Ctrl-C.

    Raises:
        SystemExit: in place of a KeyboardInterrupt.
    """
    if isinstance(error, KeyboardInterrupt):
        logger.warning("stopped by Ctrl-C: %s", message)
        raise SystemExit(EXIT_CODE) from None
