"""run_tests: pytest's arguments, where it runs, and its exit code."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import run_tests
from tools.environment import EnvironmentFailure


def test_pytest_gets_the_fast_set_all_or_the_users_selection():
    python, start = Path("python"), ["python", "-m", "pytest", *run_tests.PARALLEL]
    assert run_tests.pytest_command(python, []) == [*start, *run_tests.FAST]
    assert run_tests.pytest_command(python, ["--all", "-x", "tests/brains"]) == [*start, "-x", "tests/brains"]
    assert run_tests.pytest_command(python, ["-m", "slow"])[-4:] == [*run_tests.FAST, "-m", "slow"]  # the last -m holds


def test_run_tests_passes_on_pytests_exit_code_and_runs_at_the_root(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_tests, "environment_python", lambda: Path(sys.executable))
    assert run_tests.main(["-n", "0", "--collect-only", "-q", "tests/tools/test_run_tests.py"]) == 0
    assert run_tests.main(["-n", "0", "-q", "tests/no_such_test.py"]) == 4


def test_without_an_environment_it_says_why_and_fails(monkeypatch, capsys):
    def unavailable() -> Path:
        raise EnvironmentFailure("no network")

    monkeypatch.setattr(run_tests, "environment_python", unavailable)
    assert run_tests.main([]) == 1 and capsys.readouterr().err == "run_tests: no network\n"
