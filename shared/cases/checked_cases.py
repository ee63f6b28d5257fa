"""Cases sorted by a check: the good ones go on, the bad ones are recorded, logged and end the run with exit code 2."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from ..runs.errors import DataListError, InputError, NoUsableCaseError
from .file_names import MAX_CASE_ID_BYTES
from .folder_cases import FoundCases

logger = logging.getLogger(__name__)


class CheckedCases:
    """Check all cases, one after the other.

    Args:
        cases: each with a ``case_id``.
        check: takes a case; returns what goes on of it and notes on what is unusual; raises `InputError`.
        what: is done, for the progress bar.
        show_from: number of cases from which the progress bar is shown.

    Attributes:
        cases: what goes on of the good cases, each with ``warnings`` (list of str, the notes) added.
        failures: ``{"case_id", "file", "key", "error", "remedy"}`` of each bad case (its first problem).
        passed_over: what else was where the cases were found, how many files and why.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        check: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], list[str]]],
        what: str = "checking input",
        show_from: int = 6,
    ) -> None:
        self.cases: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.passed_over = cases.passed_over if isinstance(cases, FoundCases) else []
        if self.passed_over:
            logger.info("passed over: %s", "; ".join(self.passed_over))
        for case in tqdm(cases, desc=what, unit="case", disable=len(cases) < show_from):
            try:
                _check_name(case)
                good, notes = check(case)
            except InputError as error:
                logger.error("case '%s' left out: %s", case["case_id"], error)
                self.failures.append(_record(case, error))
            else:
                for note in notes:
                    logger.warning("case '%s': %s", case["case_id"], note)
                self.cases.append({**good, "warnings": notes})

    def require_some(self, processes: int = 1) -> None:
        """Stop where nothing is left to do, or not for every one of the processes that share the cases.

        Raises:
            NoUsableCaseError: no case passed; it lists every failure.
            DataListError: fewer cases than processes.
        """
        if not self.cases:
            raise NoUsableCaseError(self.failures)
        if len(self.cases) < processes:
            raise DataListError(f"{processes} processes for {len(self.cases)} cases; start at most {len(self.cases)}")

    def conclude(self) -> None:
        """Last step of a run: log the failures again.

        Raises:
            SystemExit: with code 2, when any case failed.
        """
        if self.failures:
            lines = [f"{f['case_id']}: {f['error']}. {f['remedy']}. ({f['key']}: {f['file']})" for f in self.failures]
            done = f"{len(self.cases)} of {len(self.cases) + len(self.failures)} cases done, left out"
            logger.error("%s:\n  %s", done, "\n  ".join(lines))
            raise SystemExit(2)


def _check_name(case: Mapping[str, Any]) -> None:
    size, most = len(os.path.basename(case["case_id"]).encode()), MAX_CASE_ID_BYTES
    if size > most:
        problem = f"its name has {size} bytes, too many for the names of its outputs (at most {most})"
        raise InputError(case.get("image", case["case_id"]), "case_id", problem, "Rename it, or its folders")


def _record(case: Mapping[str, Any], error: InputError) -> dict[str, str]:
    about = {"case_id": case["case_id"], "file": error.file, "key": error.key}
    return {**about, "error": error.problem, "remedy": error.remedy}
