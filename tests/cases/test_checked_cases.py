"""Cases sorted by a check: good ones go on with their notes, bad ones are recorded, the exit code tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from shared.cases.checked_cases import CheckedCases
from shared.cases.file_names import MAX_CASE_ID_BYTES
from shared.cases.folder_cases import FoundCases
from shared.runs.errors import DataListError, InputError, NoUsableCaseError


def check(case: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Odd numbers are bad, those above 10 unusual."""
    if case["number"] % 2:
        raise InputError(f"{case['number']}.nii", "t1", "is odd", "Add one")
    return {**case, "half": case["number"] // 2}, ["is large"] * (case["number"] > 10)


def checked(*numbers: int) -> CheckedCases:
    return CheckedCases([{"case_id": f"case{n}", "number": n} for n in numbers], check)


def test_good_cases_go_on_with_what_the_check_returned_and_bad_ones_are_recorded(caplog):
    with caplog.at_level(logging.WARNING):
        found = checked(2, 3, 12)
    assert found.cases == [
        {"case_id": "case2", "number": 2, "half": 1, "warnings": []},
        {"case_id": "case12", "number": 12, "half": 6, "warnings": ["is large"]},
    ]
    record = {"case_id": "case3", "file": "3.nii", "key": "t1", "error": "is odd", "remedy": "Add one"}
    assert found.failures == [record]
    said = [entry.getMessage() for entry in caplog.records]
    assert said == ["case 'case3' left out: 3.nii (key 't1'): is odd. Add one.", "case 'case12': is large"]


def test_an_error_that_is_not_of_the_input_is_not_taken_for_one_but_stops_its_case_alone():
    found = CheckedCases([{"case_id": "a"}, {"case_id": "b", "number": 2}], check)
    (failure,) = found.failures
    assert failure["error"] == "was stopped by KeyError: 'number'" and "--debug true" in failure["remedy"]
    assert [case["case_id"] for case in found.cases] == ["b"]


def test_the_list_of_good_cases_is_the_same_when_one_fails_later():
    found = checked(2, 4)
    held = found.cases
    found.leave_out("case2", InputError("2.nii", "t1", "is even", "Add one"))
    assert [case["case_id"] for case in held] == ["case4"] and found.cases is held


def test_the_run_ends_with_code_2_and_lists_what_was_left_out(caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as stopped:
        checked(2, 3, 4, 5).conclude()
    assert stopped.value.code == 2
    said = caplog.records[-1].getMessage()
    assert said.startswith("2 of 4 cases done, left out:\n  case3: is odd. Add one. (t1: 3.nii)\n  case5: ")
    caplog.clear()
    assert checked(2).conclude() is None and not caplog.records


def test_what_was_passed_over_is_said(caplog):
    with caplog.at_level(logging.INFO):
        found = CheckedCases(
            FoundCases([{"case_id": "a", "number": 2}], ["1 named flair (such as x.nii)", "2 hidden"]), check
        )
    assert found.passed_over == ["1 named flair (such as x.nii)", "2 hidden"]
    assert caplog.records[0].getMessage() == "passed over: 1 named flair (such as x.nii); 2 hidden"


@pytest.mark.parametrize(("name", "good"), [("a", True), ("ä", False)])
def test_a_name_too_long_for_those_of_its_outputs_is_a_bad_case(name, good):
    found = CheckedCases([{"case_id": name * MAX_CASE_ID_BYTES, "number": 2}], check)
    assert bool(found.cases) == good
    assert good or "has 448 bytes, too many for the names of its outputs (at most 224)" in found.failures[0]["error"]


@pytest.mark.parametrize(("numbers", "processes"), [((2,), 1), ((2, 3, 4), 2)])
def test_a_case_for_every_process_is_enough(numbers, processes):
    checked(*numbers).require_some(processes)


def test_no_case_at_all_or_for_some_process_stops_the_run():
    with pytest.raises(
        NoUsableCaseError, match="^none of the 2 cases can be used; the log above names all, the first is 3.nii"
    ):
        checked(3, 5).require_some()
    with pytest.raises(DataListError, match="3 processes for 2 cases; start at most 2"):
        checked(2, 4, 7).require_some(3)
