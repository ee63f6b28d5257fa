"""See the collection work, from a bare Python: ``python tools/quickstart.py [--bundle mmccd|tsgm] [--output_dir OUT]``.

Makes the environment, simulates three brains (healthy and two with a lesion) and healthy ones that set the threshold,
runs the bundle on them through ``python -m monai.bundle run``, and says what was found. A few minutes on 2 cores after
the installation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.environment import ROOT, EnvironmentFailure, environment_python  # noqa: E402

SEED = 9000  # subjects that no network was trained on


@dataclass(frozen=True)
class Demo:
    """What is simulated for a bundle, and the options that keep it within minutes."""

    title: str
    bundle: Path
    sequences: tuple[str, ...]
    lesions: tuple[str, str]
    healthy: int
    overlays: tuple[str, ...] = ()
    note: str = ""


DEMOS = {
    "itermask3d": Demo("IterMask3D", ROOT / "bundles/brain_mri_anomaly_itermask3d", ("t1",), ("tumour", "stroke"), 8),
    "mmccd": Demo("MMCCD", ROOT / "bundles/brain_mri_anomaly_mmccd", ("flair",), ("tumour", "ms"), 4),
    "tsgm": Demo(
        "TSGM",
        ROOT / "bundles/brain_mri_anomaly_tsgm",
        ("t1", "t1ce", "flair"),
        ("tumour", "ms"),
        4,
        overlays=("inference_fast.json",),
        note=" with fewer slices, samples and evaluations than usual (inference_fast.json)",
    ),
}


@dataclass(frozen=True)
class Step:
    """One command, run at the root of the collection; ``says`` tells the user what it is for."""

    says: str
    command: list[str]


class StepFailure(RuntimeError):
    """A step ended with an error; the message names it."""


def steps(python: Path, output_dir: Path, demo: Demo) -> list[Step]:
    """Return the steps of a bundle's demonstration, with ``output_dir`` absolute."""
    # MONAI warns that a config runs code and should be trusted, and this one comes with the tool that runs it; the
    # other warnings left out are about MONAI's own calls. Errors and all other warnings are shown.
    quiet = ["-W", "ignore:parsing config_file", "-W", "ignore:Parameter `min_size` is deprecated"]
    made, healthy, calibration = output_dir / "input", output_dir / "healthy", output_dir / "calibration.json"
    subjects = ["--cases", "3", "--lesions", ",".join(("none", *demo.lesions)), "--spacing", "1"]
    sequences = ["--sequences", ",".join(demo.sequences)]
    names = " ".join(demo.sequences).upper()
    configs = [str(demo.bundle / "configs" / name) for name in ("inference.json", *demo.overlays)]
    bundle = [str(python), *quiet, "-m", "monai.bundle", "run", "--bundle_root", str(demo.bundle)]
    bundle += ["--logging_file", str(ROOT / "tools" / "quickstart_logging.conf")]
    bundle += ["--calibration_file", str(calibration)]
    return [
        Step(
            f"Simulating three {names} brains: {', '.join(('healthy', *demo.lesions))}, into {made}",
            [str(python), "-m", "shared.data.phantom_brain", str(made), *subjects, *sequences]
            + ["--seed", str(SEED), "--section", "test"],
        ),
        Step(
            f"Simulating {demo.healthy} healthy brains of the same scanner, into {healthy}",
            [str(python), "-m", "shared.data.phantom_brain", str(healthy), "--cases", str(demo.healthy)]
            + [*sequences, "--spacing", "2", "--seed", str(SEED + 100), "--section", "validation"],
        ),
        Step(
            "Fitting the threshold to them, as every site does with its own healthy scans (1 to 2 minutes)",
            [*bundle, "--config_file", str([*configs, str(demo.bundle / "configs" / "calibrate.json")])]
            + ["--datalist", str(healthy / "datalist.json")],
        ),
        Step(
            f"Looking for anomalies with {demo.title}{demo.note} (1 to 2 minutes)",
            [*bundle, "--config_file", str(configs)]
            + ["--datalist", str(made / "datalist.json"), "--output_dir", str(output_dir)],
        ),
        Step(
            "Comparing with the lesions that were put in",
            [str(python), "-W", "ignore:monai.metrics.utils get_mask_edges", "-m", "tools.quickstart_summary"]
            + [str(output_dir)],
        ),
    ]


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
    parser.add_argument("--bundle", choices=DEMOS, default="itermask3d")
    options = parser.parse_args(arguments)
    output_dir = options.output_dir.resolve()
    try:
        python = environment_python()
        started = time.monotonic()
        run(steps(python, output_dir, DEMOS[options.bundle]))
    except (EnvironmentFailure, StepFailure) as failure:
        print(f"quickstart: {failure}", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
