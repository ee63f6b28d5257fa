"""Comparison of evaluated runs, through the real command."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runs.tables import write_csv
from tests.helpers.paths import ROOT

KEYS = ("auprc", "best_dice", "precision", "recall", "iou", "hd95_in_plane_mm", "false_positive_rate_free_slices")


def write_run(folder: Path, dice: dict[str, float]) -> Path:
    folder.mkdir()
    rows = [
        {
            "case_id": case_id,
            "dice": value,
            "dice_lesion_slices": value / 2,
            "lesion_slices": 1 + (case_id == "a"),
            **dict.fromkeys(KEYS, value / 4),
        }
        for case_id, value in dice.items()
    ]
    with open(folder / "metrics.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def compare(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.compare_runs", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_differences_are_paired_by_case_not_by_row(tmp_path):
    first = write_run(tmp_path / "first", {"a": 0.2, "b": 0.6, "c": 0.7})
    other = write_run(tmp_path / "other", {"c": 0.8, "a": 0.3, "b": 0.7})
    done = compare(tmp_path / "table.md", f"ours={first}", f"theirs={other}")
    assert done.returncode == 0, done.stderr
    header, _, ours, theirs = (tmp_path / "table.md").read_text().splitlines()
    assert done.stdout.startswith(header) and str(tmp_path / "table.md") in done.stdout
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, theirs)), strict=True))
    assert cells["run"] == "theirs" and cells["Dice"].startswith("0.600 (-0.057 to 1.257)")
    assert cells["cases"] == "3"
    assert cells["difference of Dice"] == "+0.100 (+0.100 to +0.100)"
    assert cells["per lesion slice"] in ("0.262", "0.263") and cells["lowest Dice"] == "0.30"
    assert cells["IoU"] == "0.150" and cells["marked in lesion-free slices, %"] == "15.00"
    assert "| ours | 0.500 (" in ours and "|  |" in ours, "no difference to itself"
    assert (tmp_path / "table.png").stat().st_size > 5000


def test_an_empty_cell_is_an_undefined_metric_and_no_part_of_a_mean(tmp_path):
    folder = write_run(tmp_path / "first", {"a": 0.2, "b": 0.6, "c": 0.7})
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    write_csv(folder / "metrics.csv", [*rows[:2], {**rows[2], "iou": float("nan")}])
    done = compare(tmp_path / "table.md", f"ours={folder}")
    assert done.returncode == 0, done.stderr
    header, _, ours = (tmp_path / "table.md").read_text().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, ours)), strict=True))
    assert cells["IoU"] == "0.100"  # the mean of 0.05 and 0.15


def test_one_case_has_no_interval(tmp_path):
    done = compare(tmp_path / "table.md", f"ours={write_run(tmp_path / 'first', {'a': 0.2})}")
    assert done.returncode == 0 and "| ours | 0.200 |" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{first}"], "name the runs, such as 'default="),
        (["a={first}", "b={folder}/nowhere"], "no metrics.csv in .*nowhere: run evaluate.json"),
        (["a={first}", "b={less}"], "'b' and 'a' hold different cases \\(z\\)"),
    ],
)
def test_what_cannot_be_compared(tmp_path, arguments, message):
    first = write_run(tmp_path / "first", {"a": 0.5, "z": 0.5})
    less = write_run(tmp_path / "less", {"a": 0.5})
    done = compare(tmp_path / "t.md", *(a.format(first=first, less=less, folder=tmp_path) for a in arguments))
    assert done.returncode != 0 and not (tmp_path / "t.md").exists()
    assert re.search(message, done.stderr), done.stderr
