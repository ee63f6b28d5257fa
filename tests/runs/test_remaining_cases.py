"""What is said of a case that an error has stopped, what ends the run instead, and the exit code."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest
import torch
from monai.transforms import Compose, Lambdad

from shared.runs.errors import DataListError, InputError, NonFiniteOutputError, NoUsableCaseError, WeightsError
from shared.runs.remaining_cases import RemainingCases, as_input_error, ends_the_run, is_out_of_memory

BAD = InputError("a.nii", "t1", "is bad", "Mend it")


def remaining(*names: str) -> RemainingCases:
    return RemainingCases([{"case_id": name} for name in names])


def raised_in_a_transform(error: Exception) -> Exception:
    """What MONAI makes of an error that a transform within a transform raises."""

    def fail(_: object) -> None:
        raise error

    with pytest.raises(RuntimeError) as caught:
        Compose([Compose([Lambdad("x", fail)])])({"x": 1})
    assert str(caught.value).startswith("applying transform")
    return caught.value


def test_an_error_of_a_file_is_told_as_it_is_however_deep_it_lies():
    assert as_input_error("a", BAD) is BAD
    assert as_input_error("a", raised_in_a_transform(BAD)) is BAD


def test_any_other_error_is_told_with_its_kind_and_text():
    said = as_input_error("a", raised_in_a_transform(ValueError("the axes\n do not fit.")))
    assert (said.file, said.key) == ("a", "case")
    assert said.problem == "was stopped by ValueError: the axes do not fit" and "--debug true" in said.remedy
    assert as_input_error("a", KeyError()).problem == "was stopped by KeyError: no message"


def test_what_a_network_has_returned_is_told_with_its_own_remedy():
    said = as_input_error("a", NonFiniteOutputError(3, 8))
    assert str(said).startswith(
        "a (key 'case'): the network returned 3 values of 8 that are NaN or infinite. Compute in"
    )


def test_what_cannot_be_written_is_told_with_its_file(tmp_path: Path):
    (tmp_path / "map.nii.gz").mkdir()
    with pytest.raises(OSError) as caught:
        (tmp_path / "map.nii.gz").write_bytes(b"")
    said = as_input_error("a", raised_in_a_transform(caught.value))
    assert (said.file, said.key) == (str(tmp_path / "map.nii.gz"), "output")
    assert said.problem == "cannot be read or written (Is a directory)" and "--output_dir" in said.remedy


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("out"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.nii.gz"),
        DataListError("wrong list"),
        WeightsError("model.pt: no weights"),
    ],
)
def test_what_is_not_of_one_case_ends_the_run(error: Exception):
    cases = remaining("a", "b")
    for one in (error, raised_in_a_transform(error)):
        assert ends_the_run(one)
        with pytest.raises(type(one)) as caught:
            cases.leave_out("a", one)
        assert caught.value is one
    assert not cases.failures and len(cases.cases) == 2


@pytest.mark.parametrize("code", [errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG, errno.EDQUOT])
def test_what_may_be_of_one_file_does_not(code: int):
    assert not ends_the_run(OSError(code, os.strerror(code), "a.nii.gz"))
    assert not ends_the_run(BAD) and not is_out_of_memory(BAD)


def test_a_case_is_left_out_once_and_logged_with_where_it_was_stopped_at_debug_level(caplog):
    cases = remaining("a", "b")
    with caplog.at_level(logging.DEBUG):
        cases.leave_out("a", raised_in_a_transform(BAD))
        cases.leave_out("a", BAD)
    said = {"case_id": "a", "file": "a.nii", "key": "t1", "error": "is bad", "remedy": "Mend it"}
    assert cases.failures == [said] and cases.cases == [{"case_id": "b"}]
    error, trace = caplog.records[:2]
    assert (error.levelname, error.getMessage()) == ("ERROR", f"case 'a' left out: {BAD}")
    assert trace.levelname == "DEBUG" and trace.exc_info


def test_the_run_ends_with_code_2_where_some_remain_and_with_an_error_where_none_does():
    cases = remaining("a", "b")
    cases.conclude()
    cases.leave_out("a", BAD)
    with pytest.raises(SystemExit) as stopped:
        cases.conclude()
    assert stopped.value.code == 2
    cases.leave_out("b", BAD)
    with pytest.raises(NoUsableCaseError, match="none of the 2 cases can be used"):
        cases.conclude()


def test_one_process_has_nobody_to_ask():
    cases = remaining("a", "b")
    cases.leave_out("a", BAD)
    cases.share()
    assert len(cases.failures) == 1
