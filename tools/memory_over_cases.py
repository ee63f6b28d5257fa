"""Draw the memory of an inference run over its cases; what follows the picture are options of the bundle's command.

    python -m tools.memory_over_cases CURVE.png --config_file .../inference.json --bundle_root ... --output_dir OUT ...

OUT is one of no earlier run. Linux only: the kernel says how much memory is resident.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

_EVERY = 0.2  # seconds


def resident_mb(process_id: int) -> float:
    """Megabytes of a process that are in memory; 0 where it has ended."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) / 1e6 for line in lines if line.startswith("VmRSS"))


def watch(options: Sequence[str], output_dir: Path) -> tuple[int, np.ndarray]:
    """Run a bundle to its end; returns its exit code and ``N 2``: finished cases and MB, at regular moments."""
    process = subprocess.Popen([sys.executable, "-m", "monai.bundle", "run", *options])
    samples = []
    while process.poll() is None:
        finished = len(list((output_dir / ".finished").glob("*.json")))
        samples.append((finished, resident_mb(process.pid)))
        time.sleep(_EVERY)
    return process.returncode, np.array(samples)


def growth_per_case(samples: np.ndarray) -> float:
    """Slope, MB per case, of a line through the samples after the first fifth of the cases, when all is loaded."""
    finished, megabytes = samples.T
    settled = (finished >= finished.max() / 5) & (finished < finished.max())  # the report comes after the last case
    return float(np.polyfit(finished[settled], megabytes[settled], 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--output_dir", type=Path, required=True, help="of the run")
    args, options = parser.parse_known_args()
    code, samples = watch([*options, "--output_dir", str(args.output_dir)], args.output_dir)
    growth = growth_per_case(samples)
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(*samples.T, linewidth=0.8)
    axes.set(xlabel="finished cases", ylabel="resident memory, MB", ylim=(0, 1.1 * samples[:, 1].max()))
    axes.set_title(f"{growth:+.3f} MB per case after the first fifth", fontsize=10)
    axes.grid(alpha=0.3)
    figure.savefig(args.picture, dpi=110)
    print(f"{args.picture}: {growth:+.3f} MB per case, at most {samples[:, 1].max():.0f} MB, exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
