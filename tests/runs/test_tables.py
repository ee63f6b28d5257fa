"""Tables and records as files: one text for each kind of value, and what programs read comes back."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.runs.tables import as_text, columns, write_csv, write_json, write_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2 / 3, "0.6666666666666666"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        (True, "True"),
        (None, ""),
        (float("nan"), ""),
        (float("-inf"), "-inf"),
        ([1, 0.25, "a"], "1; 0.25; a"),
        (np.array([1.5, np.nan]), "1.5; "),
        ({"sigma": 0.5, "axes": (0, 1)}, "sigma: 0.5; axes: 0; 1"),
        (Path("a/b"), "a/b"),
    ],
)
def test_text_of_a_value(value: Any, text: str):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.123"), (1234.56, "1235"), (999.4, "999"), (-0.000123456, "-0.000123"), (12345, "12345")]
    + [([0.12345, 2.0], "0.123; 2")],
)
def test_digits_round_floats_only_and_never_to_an_exponent(value: Any, text: str):
    assert as_text(value, digits=3) == text


def test_columns_stand_in_the_order_of_their_first_appearance_after_the_case():
    assert columns([{"b": 1, "case_id": "x"}, {"a": 2, "b": 3}]) == ["case_id", "b", "a"]
    assert columns([{"b": 1}, {"a": 2}]) == ["b", "a"] and columns([]) == []


def test_a_table_comes_back(tmp_path: Path):
    rows = [{"score": 2 / 3, "case_id": 'a, "b"\n'}, {"case_id": "ü", "notes": ["x", "y"], "score": float("nan")}]
    write_csv(tmp_path / "t.csv", rows)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    assert list(first) == ["case_id", "score", "notes"]
    assert first == {"case_id": 'a, "b"\n', "score": repr(2 / 3), "notes": ""}
    assert second == {"case_id": "ü", "score": "", "notes": "x; y"}


def test_a_record_comes_back_as_plain_json(tmp_path: Path):
    write_json(
        tmp_path / "r.json", {"a": np.arange(2), "b": [np.nan, np.inf], "c": {1: np.float32(0.5)}, "d": Path("x")}
    )
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    found = json.loads(text, parse_constant=pytest.fail)
    assert found == {"a": [0, 1], "b": [None, "inf"], "c": {"1": 0.5}, "d": "x"}


def test_a_name_that_is_no_unicode_does_not_cost_the_file(tmp_path: Path):
    write_text(tmp_path / "t.txt", os.fsdecode(b"caf\xe9") + " ü\n")
    assert (tmp_path / "t.txt").read_bytes() == b"caf\\udce9 \xc3\xbc\n"


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, write):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    write(tmp_path / "f", [{"a": 1}] if write is write_csv else {"a": 1})
    before = (tmp_path / "f").read_bytes()
    with pytest.raises(RuntimeError, match="no text"):
        write(tmp_path / "f", [{"a": Broken()}] if write is write_csv else {"a": Broken()})
    assert (tmp_path / "f").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
