"""What engines hand to handlers, and how a run that an error or Ctrl-C ends says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine

from .remaining_cases import is_out_of_memory

logger = logging.getLogger(__name__)

INTERRUPTED = 130  # exit code of a command ended by Ctrl-C


def finished_cases(engine: Engine) -> list[dict[str, Any]]:
    """The cases of the batch that has just been finished: what was read, updated by what was made of it.

    A case that came without a label may hold ``label: None``, which SupervisedEvaluator adds.
    """
    return [{**batch, **output} for batch, output in zip(engine.state.batch, engine.state.output)]


def log_failure(engine: Engine, error: BaseException) -> None:
    """Log which cases were last in work when an error ended the run, and what helps where memory ran out."""
    batch = engine.state.batch or ()
    names = batch.get("case_id", ()) if isinstance(batch, Mapping) else [case["case_id"] for case in batch]
    logger.error("stopped in or after case %s: %s", ", ".join(map(str, names)), error)
    if is_out_of_memory(error):
        logger.error("memory ran out: fewer slices or samples at a time (--batch_size) need less, or use --device cpu")


def end_if_interrupted(error: BaseException, message: str) -> None:
    """End the run with one line in place of a traceback where what ended the engine was Ctrl-C.

    Raises:
        SystemExit: in place of a KeyboardInterrupt.
    """
    if isinstance(error, KeyboardInterrupt):
        logger.warning("stopped by Ctrl-C: %s", message)
        raise SystemExit(INTERRUPTED) from None
