"""The comparison of methods, through the real command on simulated brains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.simulation.phantom_brain import write_dataset
from tests.helpers.paths import ROOT
from tools.benchmark_methods import METHODS, missing_sequences


def test_a_method_misses_the_sequences_that_any_case_lacks():
    cases = [{"flair": "a", "t1": "a", "t1ce": "a"}, {"flair": "b", "t1": "b"}]
    assert missing_sequences(METHODS["cyclegan"], cases) == ["t1ce"]
    assert missing_sequences(METHODS["mmccd_t1"], cases) == []
    assert missing_sequences(METHODS["itermask3d"], [{"flair": "a"}]) == ["t1"]


def benchmark(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.benchmark_methods", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def brains(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("brains")
    write_dataset(folder, cases=2, lesions=("tumour",), sequences=("flair",), spacing=4, seed=9000, section="test")
    return folder / "datalist.json"


def test_a_table_and_a_page_of_what_can_run_and_why_the_rest_cannot(brains, tmp_path):
    words = (brains, "--output_dir", tmp_path, "--methods", "flair", "atlas")
    done = benchmark(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "table.md").read_text()
    assert "| FLAIR |" in table and "atlas z-score, T1: not run: needs t1" in table
    page = (tmp_path / "table.html").read_text()
    assert "F1 by lesions" in page and "needs t1" in page and "data:image/png" in page
    assert "finished before" in benchmark(*words).stdout


def test_a_method_that_fails_is_named_and_nothing_else_is_claimed(brains, tmp_path):
    done = benchmark(brains, "--output_dir", tmp_path, "--methods", "flair", "--threshold", "-1")
    assert done.returncode != 0 and "flair/log.txt" in done.stderr
