"""The example of a bundle: a case that is simulated anew wherever it is needed, and what the bundle finds in it.

``docs/example.json`` of a bundle says how the case is made, which options the run has, and which numbers of the report
are to come out, each with its tolerance, as other processors round differently.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "example"


class ExampleFailure(RuntimeError):
    """The example does not run; the message ends with what the command said."""


def described(bundle: Path) -> dict[str, Any]:
    """What ``docs/example.json`` says: ``phantom``, ``options`` and ``expected``."""
    return json.loads((bundle / "docs" / "example.json").read_text(encoding="utf-8"))


def write_example(bundle: Path) -> None:
    """Simulate the case into the folder ``example`` of a bundle; one that is run without a case gets none."""
    from shared.simulation import phantom_brain  # late: --help answers at once

    if phantom := described(bundle)["phantom"]:
        phantom_brain.write_dataset(bundle / FOLDER, **phantom, section="test")


def run_example(bundle: Path, output_dir: Path) -> dict[str, float]:
    """Run a bundle on its example, started in another folder and without this repository on the path.

    Args:
        bundle: folder of a bundle that holds its example.
        output_dir: of the run.

    Returns:
        the numbers that ``expected`` names, each the mean over the cases of the report.

    Raises:
        ExampleFailure: an exit code other than 0.
    """
    example = described(bundle)
    options = {"bundle_root": bundle, "output_dir": output_dir, **example["options"]}
    if example["phantom"]:
        options["datalist"] = bundle / FOLDER / "datalist.json"
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(bundle / "configs" / "inference.json")]
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    output_dir.mkdir(parents=True, exist_ok=True)
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=output_dir, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise ExampleFailure(f"exit code {done.returncode}: {subprocess.list2cmdline(command)}\n{done.stderr[-2000:]}")
    cases = json.loads((output_dir / "report.json").read_text(encoding="utf-8"))["cases"]
    return {key: float(np.mean([case[key] for case in cases])) for key in example["expected"]}


def differences(found: Mapping[str, float], expected: Mapping[str, tuple[float, float]]) -> list[str]:
    """What lies further from what is expected than its tolerance, in words."""
    return [
        f"{key} is {found[key]:.4g}, expected {value:.4g} within {tolerance:.4g}"
        for key, (value, tolerance) in expected.items()
        if not abs(found[key] - value) <= tolerance  # NaN differs
    ]
