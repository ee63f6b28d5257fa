"""What is recorded of finished cases, and when a run may count on it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shared.runs.case_records import CaseRecords
from shared.runs.errors import OutputError

CASES = [{"case_id": name} for name in ("b", "a", "ü 1")]


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["monai", "run", "--output_dir", "out", "--seed", "1"])


def records(folder: Path, resume: bool = False, cases: list[dict[str, str]] = CASES) -> CaseRecords:
    made = CaseRecords(str(folder), cases, [str(folder / "model.pt"), ""], resume)
    made.start()
    return made


def test_finished_cases_are_read_in_the_order_of_the_run_and_the_rest_remains(tmp_path):
    first = records(tmp_path)
    assert first.remaining == CASES and first.read() == []
    row = {"case_id": "a", "score": float("nan"), "notes": ["thick", "ü"]}
    first.save(row, b"\x89PNG")
    first.save({"case_id": "b", "score": 0.1}, b"")
    expected = [({"case_id": "b", "score": 0.1}, b""), ({**row, "score": None}, b"\x89PNG")]
    assert first.read() == expected
    again = records(tmp_path, resume=True)
    assert again.remaining == [{"case_id": "ü 1"}] and again.read() == expected
    assert [row["case_id"] for row, _ in records(tmp_path, True, CASES[1:]).read()] == ["a"], "other cases do not count"


def test_without_resume_a_run_starts_anew(tmp_path):
    records(tmp_path).save({"case_id": "a"}, b"")
    assert records(tmp_path).read() == []
    assert records(tmp_path, resume=True).remaining == CASES


@pytest.mark.parametrize("words", [["--resume", "true"], ["--resume=True"]])
def test_the_command_is_the_same_with_and_without_resume(tmp_path, monkeypatch, words):
    records(tmp_path).save({"case_id": "a"}, b"")
    monkeypatch.setattr(sys, "argv", [*sys.argv[:2], *words, *sys.argv[2:]])
    assert len(records(tmp_path, resume=True).remaining) == 2


def test_cases_of_another_command_or_of_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_bytes(b"weights")
    records(tmp_path).save({"case_id": "a"}, b"")
    assert len(records(tmp_path, resume=True).remaining) == 2
    (tmp_path / "model.pt").write_bytes(b"others")
    with pytest.raises(OutputError, match="'a' is from another command, or weights or.*--output_dir"):
        records(tmp_path, resume=True)
    (tmp_path / "model.pt").write_bytes(b"weights")
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-1], "2"])
    with pytest.raises(OutputError, match="another command"):
        records(tmp_path, resume=True)
