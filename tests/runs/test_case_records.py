"""What is recorded of finished cases, and when a run may count on it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import monai.bundle.__main__ as program
import pytest

from shared.runs.case_records import CaseRecords
from shared.runs.errors import OutputError

CASES = [{"case_id": name} for name in ("b", "a", "ü 1")]


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", [program.__file__, "run", "--config_file", "", "--output_dir", "out", "--seed", "1"]
    )


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


def remaining(folder: Path, cases: list[dict[str, str]]) -> list[str]:
    return [case["case_id"] for case in CaseRecords(str(folder), cases, [str(folder / "model.pt")], True).remaining]


def test_cases_of_other_options_or_weights_are_done_again_and_the_log_says_why(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    (tmp_path / "model.pt").write_bytes(b"weights")
    records(tmp_path).save({"case_id": "a"}, b"")
    assert remaining(tmp_path, CASES) == ["b", "ü 1"]
    (tmp_path / "model.pt").write_bytes(b"others")
    assert remaining(tmp_path, CASES) == ["b", "a", "ü 1"]
    assert f"case 'a' is done again: {tmp_path / 'model.pt'} is another one" in caplog.text
    (tmp_path / "model.pt").write_bytes(b"weights")
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-1], "2"])
    assert remaining(tmp_path, CASES) == ["b", "a", "ü 1"]
    assert "case 'a' is done again: option seed is another one" in caplog.text


@pytest.mark.parametrize("changed", ["models/model.pt", "models/classifier/model.pt", "configs/calibration.json"])
def test_files_of_one_name_are_told_apart_wherever_their_folder_lies(tmp_path, caplog, changed):
    caplog.set_level("INFO")
    names = ["models/model.pt", "models/classifier/model.pt", "configs/calibration.json"]
    for name in names:
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_text(name)

    def run(bundle: Path) -> CaseRecords:
        return CaseRecords(str(tmp_path), CASES[:1], [str(bundle / name) for name in names], resume=True)

    run(tmp_path / "bundle").save({"case_id": "b"})
    moved = (tmp_path / "bundle").rename(tmp_path / "moved")
    assert run(moved).remaining == []
    (moved / changed).write_text("another")
    assert run(moved).remaining == CASES[:1]
    assert f"case 'b' is done again: {moved / changed} is another one" in caplog.text


def test_where_cases_and_results_lie_does_not_matter(tmp_path, monkeypatch):
    records(tmp_path).save({"case_id": "a"})
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--datalist", "other.json", "--debug", "true", "--resume", "true"])
    assert remaining(tmp_path, CASES) == ["b", "ü 1"]


@pytest.fixture
def scan(tmp_path: Path) -> list[dict[str, str]]:
    """One case, finished, with an input and an output."""
    for name in ("scan.nii.gz", "mask.nii.gz", "out/a_map.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"voxels")
    cases = [{"case_id": "a", "image": str(tmp_path / "scan.nii.gz"), "sequence": "t1"}]
    records(tmp_path / "out", cases=cases).save({"case_id": "a"}, b"", [tmp_path / "out" / "a_map.nii.gz"])
    assert remaining(tmp_path / "out", cases) == []
    return cases


def test_a_file_that_was_touched_or_copied_is_the_same(tmp_path, scan):
    os.utime(scan[0]["image"], (1, 1))
    assert remaining(tmp_path / "out", scan) == []
    shutil.copy(scan[0]["image"], tmp_path / "copy.nii.gz")
    assert remaining(tmp_path / "out", [{**scan[0], "image": str(tmp_path / "copy.nii.gz")}]) == []


def test_a_case_whose_files_or_facts_are_others_is_done_again(tmp_path, scan, caplog):
    caplog.set_level("INFO")
    out, mask = tmp_path / "out", str(tmp_path / "mask.nii.gz")
    for changed, why in (({"sequence": "t2"}, "sequence"), ({"brain_mask": mask}, "brain_mask")):
        assert remaining(out, [{**scan[0], **changed}]) == ["a"]
        assert f"case 'a' is done again: {why} is another one" in caplog.text
    Path(scan[0]["image"]).write_bytes(b"VOXELS")
    assert remaining(out, scan) == ["a"] and "done again: image is another one" in caplog.text


def test_a_case_whose_output_is_gone_is_done_again(tmp_path, scan, caplog):
    caplog.set_level("INFO")
    (tmp_path / "out" / "a_map.nii.gz").unlink()
    assert remaining(tmp_path / "out", scan) == ["a"]
    assert "case 'a' is done again: a_map.nii.gz is gone" in caplog.text


def test_what_is_to_be_done_again_is_no_longer_recorded_when_the_run_starts(tmp_path, scan):
    (tmp_path / "out" / "a_map.nii.gz").unlink()
    assert records(tmp_path / "out", True, scan).read() == []


@pytest.mark.parametrize("content", [b"", b"another"])
def test_a_case_whose_output_was_emptied_or_changed_is_done_again(tmp_path, scan, caplog, content):
    caplog.set_level("INFO")
    (tmp_path / "out" / "a_map.nii.gz").write_bytes(content)
    assert remaining(tmp_path / "out", scan) == ["a"]
    assert "case 'a' is done again: a_map.nii.gz is another one" in caplog.text


def test_results_that_were_copied_elsewhere_are_the_same(tmp_path, scan):
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)  # with times of their own
    assert remaining(tmp_path / "copy", scan) == []


FIRST = {"origin": {"files": {}, "options": {}}, "row": {"case_id": "a"}, "picture": ""}
BY_NAME = {"files": {"model.pt": ""}, "options": {}, "case": {}, "outputs": {}, "row": {"case_id": "a"}, "picture": ""}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"null", b"[]", b"{}", json.dumps(FIRST).encode(), json.dumps(BY_NAME).encode()]
    + ["of another case", "a folder"],
)
def test_a_record_that_cannot_be_read_or_is_older_costs_its_own_case_alone(tmp_path, caplog, content):
    caplog.set_level("INFO")
    first, record = records(tmp_path), tmp_path / ".finished" / "a.json"
    for case in CASES:
        first.save({"case_id": case["case_id"]}, b"png")
    if isinstance(content, bytes):
        record.write_bytes(content)
    elif content == "a folder":
        record.unlink()
        (record / "within").mkdir(parents=True)
    else:
        shutil.copy(record.with_name("b.json"), record)
    again = records(tmp_path, resume=True)
    assert [case["case_id"] for case in again.remaining] == ["a"] and len(again.read()) == 2
    assert "case 'a' is done again: its record cannot be read or is of an older version" in caplog.text
    again.save({"case_id": "a"}, b"png")
    assert remaining(tmp_path, CASES) == []


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_in_the_place_of_the_records_is_named(tmp_path, resume):
    (tmp_path / ".finished").touch()
    with pytest.raises(OutputError, match=r"\.finished: is a file, where .* a folder .* Rename or remove it"):
        records(tmp_path, resume)
