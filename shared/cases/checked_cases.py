"""Cases sorted by a check: the good ones go on, the bad ones are left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from ..runs.errors import DataListError, InputError, NoUsableCaseError
from ..runs.remaining_cases import RemainingCases
from .file_names import MAX_CASE_ID_BYTES
from .folder_cases import FoundCases

logger = logging.getLogger(__name__)


class CheckedCases(RemainingCases):
    """Check all cases, one after the other; what fails, then or later in the run, is left out.

    Args:
        cases: each with a ``case_id``.
        check: takes a case; returns what goes on of it and notes on what is unusual; raises `InputError`, and where it
            raises another error of this case, that is its reason.
        what: is done, for the progress bar.
        show_from: number of cases from which the progress bar is shown.

    Attributes:
        cases: what goes on of the good cases, each with ``warnings`` (list of str, the notes) added.
        failures: of :class:`~..runs.remaining_cases.RemainingCases`, the first problem of each bad case.
        passed_over: what else was where the cases were found, how many files and why.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        check: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], list[str]]],
        what: str = "checking input",
        show_from: int = 6,
    ) -> None:
        super().__init__()
        self.passed_over = cases.passed_over if isinstance(cases, FoundCases) else []
        if self.passed_over:
            logger.info("passed over: %s", "; ".join(self.passed_over))
        for case in tqdm(cases, desc=what, unit="case", disable=len(cases) < show_from):
            try:
                _check_name(case)
                good, notes = check(case)
            except Exception as error:
                self.record(case["case_id"], error)
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


def _check_name(case: Mapping[str, Any]) -> None:
    size, most = len(os.path.basename(case["case_id"]).encode()), MAX_CASE_ID_BYTES
    if size > most:
        problem = f"its name has {size} bytes, too many for the names of its outputs (at most {most})"
        raise InputError(case.get("image", case["case_id"]), "case_id", problem, "Rename it, or its folders")
