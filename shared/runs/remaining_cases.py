"""The cases of a run: those that remain, and those left out with their reason. One costs no other its result."""

from __future__ import annotations

import errno
import logging
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist

from .errors import (
    DataListError,
    InputError,
    NonFiniteOutputError,
    NoUsableCaseError,
    OutputError,
    WeightsError,
    causes,
)

_OF_THE_RUN = (DataListError, OutputError, WeightsError)
_FULL = (errno.ENOSPC, errno.EFBIG)
_NO_MEMORY = "can't allocate memory"  # how torch says it of the CPU
_MONAI = "applying transform"  # how it begins the error around that of a transform
_REPORT = "If the file is sound, this is a fault of the program: --debug true shows where it is, please report it"

logger = logging.getLogger(__name__)


class RemainingCases:
    """Cases of which those that fail are left out; where there are any, the run ends with exit code 2.

    Args:
        cases: each with a ``case_id``, which is unique.

    Attributes:
        cases: those that have not failed; always the same list.
        failures: ``{"case_id", "file", "key", "error", "remedy"}`` of each of the others.
    """

    def __init__(self, cases: Sequence[Mapping[str, Any]] = ()) -> None:
        self.cases = list(cases)
        self.failures: list[dict[str, str]] = []

    def leave_out(self, case_id: str, error: Exception) -> None:
        """Record and log a case that an error has stopped, once; where it happened is logged at debug level.

        Raises:
            Exception: the error itself, where it is none of this case (:func:`ends_the_run`).
        """
        if all(failure["case_id"] != case_id for failure in self.failures):
            self.record(case_id, error)
            self._drop()

    def record(self, case_id: str, error: Exception) -> None:
        """As :meth:`leave_out`, of a case that is none of those that remain.

        Raises:
            Exception: the error itself, where it is none of this case.
        """
        if ends_the_run(error):
            raise error
        said = as_input_error(case_id, error)
        logger.error("case '%s' left out: %s", case_id, said)
        logger.debug("case '%s' was stopped here:", case_id, exc_info=error)
        about = {"case_id": case_id, "file": said.file, "key": said.key}
        self.failures.append({**about, "error": said.problem, "remedy": said.remedy})

    def share(self) -> None:
        """Let each of several processes know what the others left out; each waits here for all."""
        if dist.is_initialized():
            everyone: list[list[dict[str, str]]] = [[] for _ in range(dist.get_world_size())]
            dist.all_gather_object(everyone, self.failures)
            said = [failure for failures in everyone for failure in failures]
            self.failures += [failure for failure in said if failure not in self.failures]
            self._drop()

    def conclude(self) -> None:
        """Last step of a run: log the failures again.

        Raises:
            NoUsableCaseError: no case remains.
            SystemExit: with code 2, when any case failed.
        """
        if self.failures and not self.cases:
            raise NoUsableCaseError(self.failures)
        if self.failures:
            lines = [f"{f['case_id']}: {f['error']}. {f['remedy']}. ({f['key']}: {f['file']})" for f in self.failures]
            done = f"{len(self.cases)} of {len(self.cases) + len(self.failures)} cases done, left out"
            logger.error("%s:\n  %s", done, "\n  ".join(lines))
            raise SystemExit(2)

    def _drop(self) -> None:
        failed = {failure["case_id"] for failure in self.failures}
        self.cases[:] = [case for case in self.cases if case["case_id"] not in failed]


def as_input_error(case_id: str, error: Exception) -> InputError:
    """An error that stopped a case as one that a user can read: what is wrong where, and what to do about it."""
    cause = next((cause for cause in causes(error) if isinstance(cause, InputError)), None)
    if cause is not None:
        return cause
    while str(error).startswith(_MONAI) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, NonFiniteOutputError):
        return InputError(case_id, "case", error.problem, error.remedy)
    if isinstance(error, OSError) and error.filename:
        remedy = "Mend, rename or remove it, or choose another --output_dir"
        return InputError(error.filename, "output", f"cannot be read or written ({error.strerror})", remedy)
    said = textwrap.shorten(str(error), 300, placeholder=" ...").rstrip(".") or "no message"
    return InputError(case_id, "case", f"was stopped by {type(error).__name__}: {said}", _REPORT)


def ends_the_run(error: Exception) -> bool:
    """Whether an error is none of one case: no memory, a full disk, or what is wrong for all cases alike."""
    return is_out_of_memory(error) or any(
        isinstance(cause, _OF_THE_RUN) or getattr(cause, "errno", None) in _FULL for cause in causes(error)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the machine or of the device ran out."""
    return any(
        isinstance(cause, (MemoryError, torch.OutOfMemoryError)) or _NO_MEMORY in str(cause) for cause in causes(error)
    )
