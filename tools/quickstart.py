"""See the collection work, from a bare Python: ``python -m tools.quickstart [--bundle mmccd] [--output_dir OUT]``.

Makes the environment, simulates what the bundle takes, runs it through ``python -m monai.bundle run``, and says what
was found: for the bundles of anomalies three brains (healthy, and with a tumour or a stroke) and twelve healthy ones
that set the threshold; for ``macdm`` radiographs of ankles. A few minutes on 2 cores after the installation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.environment import ROOT, EnvironmentFailure, environment_python
from tools.quickstart_steps import BRAIN_DEMOS, Step, steps


class StepFailure(RuntimeError):
    """A step ended with an error; the message names it."""


def run(todo: Sequence[Step]) -> None:
    """Run the steps one after another; their output and progress bars pass through.

    Raises:
        StepFailure: a step's exit code is not 0; no later one is run.
    """
    for number, step in enumerate(todo, 1):
        print(f"[{number}/{len(todo)}] {step.says} ...", flush=True)
        code = subprocess.run(step.command, cwd=ROOT).returncode
        if code:
            command = subprocess.list2cmdline(step.command)
            raise StepFailure(
                f"step {number} of {len(todo)} failed with exit code {code}: {step.says}.\n"
                f"Its messages are above. The command, run in {ROOT}, was:\n{command}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with the failing step on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("quickstart_output"))
    parser.add_argument("--bundle", choices=[*BRAIN_DEMOS, "macdm"], default="itermask3d")
    parser.add_argument("--subjects", type=int, default=1, help="brains of each kind; 10 for the figures of results.md")
    options = parser.parse_args(arguments)
    output_dir = options.output_dir.resolve()
    try:
        python = environment_python()
        started = time.monotonic()
        run(steps(python, output_dir, options.bundle, options.subjects))
    except (EnvironmentFailure, StepFailure) as failure:
        print(f"quickstart: {failure}", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
