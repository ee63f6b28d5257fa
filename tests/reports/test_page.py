"""The three files of a report: what programs read comes back, what people read is complete, safe and self-contained."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from shared.reports.page import Html, table, write_report

PNG = b"\x89PNG\r\n\x1a\nnot really"
FAILURE = {
    "case_id": "bad",
    "file": "/in/<bad>.nii.gz",
    "key": "t1",
    "error": "the file ends early",
    "remedy": "Copy it again",
}


def row(case_id, anomaly_ml=0.0, **more):
    return {"case_id": case_id, "anomaly_ml": anomaly_ml, "score": 0.123456789, "warnings": [], **more}


def written(folder, rows, failures=(), run=None, **more):
    pictures = {each["case_id"]: PNG for each in rows}
    page = write_report(folder, "A <title>", rows, pictures, list(failures), run or {"seed": 0}, **more)
    with open(folder / "report.csv", newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    return page.read_text(encoding="utf-8"), records, json.loads((folder / "report.json").read_text(encoding="utf-8"))


class Tags(HTMLParser):
    """All tags, with a check that they nest."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_csv_round_trip(tmp_path):
    first = row('a, "b"\n;', 1.5, warnings=["one", "two"])
    rows = [first, row("ü", np.float64(2 / 3), extra=np.nan, count=np.int64(3))]
    _, records, _ = written(tmp_path, rows, [FAILURE])
    assert list(records[0])[:5] == ["case_id", "status", "anomaly_ml", "score", "warnings"]
    assert [r["case_id"] for r in records] == ['a, "b"\n;', "ü", "bad"]
    assert [r["status"] for r in records] == ["done", "done", "failed"]
    assert records[0]["warnings"] == "one; two"
    assert float(records[1]["anomaly_ml"]) == 2 / 3  # full precision
    assert records[1]["extra"] == "" and records[0]["extra"] == "" and records[1]["count"] == "3"
    assert records[2]["anomaly_ml"] == "" and records[2]["remedy"] == "Copy it again"


def test_json_is_valid_and_holds_everything(tmp_path):
    run = {"seed": 3, "weights": tmp_path, "levels": np.array([1.0, np.nan]), "rule": {"q": np.float32(0.5)}}
    rows = [row("a", threshold=np.inf, other=np.nan)]
    _, _, content = written(tmp_path, rows, [FAILURE], run)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert set(content) == {"run", "cases", "failures"}
    assert content["cases"][0]["other"] is None and content["cases"][0]["threshold"] == "inf"
    assert content["run"]["levels"] == [1.0, None] and content["run"]["rule"] == {"q": 0.5}
    assert content["failures"] == [FAILURE]


def test_page_is_self_contained_and_escaped(tmp_path):
    rows = [row("<case>", 1.0, warnings=["<script>alert(1)</script> & more"]), row("x", note='"><img src=y>')]
    page, _, _ = written(tmp_path, rows, [FAILURE], {"command": "run --image <x>"}, sections=[("S<", "a < b")])
    tags = Tags(page).seen
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert "http://" not in page and "https://" not in page
    assert "<case>" not in page and "&lt;case&gt;" in page and "<title>A &lt;title&gt;</title>" in page
    images = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert [base64.b64decode(src.removeprefix("data:image/png;base64,")) for src in images] == [PNG, PNG]
    targets = {attributes["id"] for tag, attributes in tags if tag == "figure"}
    assert {attributes["href"][1:] for tag, attributes in tags if tag == "a"} == targets and len(targets) == 2


def test_page_says_what_happened(tmp_path):
    rows = [row("a", 1.5, score_percentile=97.53219), row("b", 0.0, warnings=["thick slices"]), row("c", 2.0)]
    page, _, _ = written(tmp_path, rows, [FAILURE])
    assert "4 cases: 2 with an anomaly above the threshold, 1 without, 1 with warnings, 1 failed" in page
    assert page.index("the file ends early") < page.index("<h2>Cases") < page.index("<h2>Pictures")
    for text in ("Copy it again", "/in/&lt;bad&gt;.nii.gz", "97.53", "0.1235", "thick slices", "not a medical device"):
        assert text in page
    assert "0.123456789" not in page


def test_only_failures_and_no_case_at_all(tmp_path):
    page, records, content = written(tmp_path / "new" / "folder", [], [FAILURE])
    assert "1 case: 0 with an anomaly" in page and "<h2>Pictures" not in page
    assert records[0]["status"] == "failed" and content["cases"] == []
    page, records, _ = written(tmp_path, [])
    assert "0 cases" in page and records == []


def test_a_case_without_picture_has_no_link(tmp_path):
    page = write_report(tmp_path, "t", [row("a"), row("b")], {"b": PNG}, [], {}).read_text(encoding="utf-8")
    assert page.count("<figure") == 1 and page.count("href=") == 1


def test_file_names_that_are_not_unicode(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    page, records, content = written(tmp_path, [row(name)], [{**FAILURE, "file": name}])
    assert "caf\\udce9" in page and len(records) == 2 and "caf" in content["cases"][0]["case_id"]


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    written(tmp_path, [row("old")])
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, "t", [row("new")], {}, [], {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.html", "report.json"]
    assert "old" in (tmp_path / "report.csv").read_text(encoding="utf-8")


def test_table_escapes_all_but_html():
    made = table(["<h>"], [[Html("<b>x</b>")], ["<i>"], [0.1234567], [float("nan")], [1234567.8], [["a", 2.0]]])
    cells = re.findall("<td>(.*?)</td>", made)
    assert cells == ["<b>x</b>", "&lt;i&gt;", "0.1235", "", "1234568", "a; 2"]
    assert "<th>&lt;h&gt;</th>" in made and isinstance(made, Html)
