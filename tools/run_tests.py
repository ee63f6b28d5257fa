"""Run the tests in the collection's own environment: ``python -m tools.run_tests [--all] [pytest arguments]``.

The fast set by default; ``--all`` adds the slow tests and those on the real data in ``../shared/data``. A process per
core, each with one thread, takes the test files in turn; ``-n 0`` runs all in one process, as a debugger needs it.
Paths among pytest's arguments start at the root of the collection.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.environment import ROOT, EnvironmentFailure, environment_python

FAST = ("-m", "not slow and not real_data")
PARALLEL = ("-n", str(os.cpu_count() or 1), "--dist", "loadfile")  # a file's fixtures are set up once


def pytest_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command; a selection ``-m`` among ``arguments`` takes the place of the fast set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--all", action="store_true", help="all tests")
    options, passed_on = parser.parse_known_args(arguments)
    return [str(python), "-m", "pytest", *PARALLEL, *(() if options.all else FAST), *passed_on]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return pytest's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    pytest_command(Path(), given)  # --help needs no environment
    try:
        python = environment_python()
    except EnvironmentFailure as failure:
        print(f"run_tests: {failure}", file=sys.stderr)
        return 1
    one_thread = {"OMP_NUM_THREADS": "1", **os.environ}
    return subprocess.run(pytest_command(python, given), cwd=ROOT, env=one_thread).returncode


if __name__ == "__main__":
    sys.exit(main())
