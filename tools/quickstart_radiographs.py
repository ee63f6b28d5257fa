"""Say what a quickstart run of MaC-DM drew: ``python -m tools.quickstart_radiographs OUTPUT_DIR``."""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from pathlib import Path


def summary_lines(output_dir: Path) -> list[str]:
    """Return what ``samples.csv`` and the reports of the segmenter say.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    lines = []
    for folder, how in ((output_dir, "from noise"), (output_dir / "from_images", "from the simulated radiographs")):
        with (folder / "samples.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        drawn = Counter(row["class"] for row in rows)
        accepted = Counter(row["class"] for row in rows if row["accepted"] == "True")
        counts = " and ".join(f"{accepted[name]} of {number} {name}" for name, number in drawn.items())
        lines.append(f"drawn {how}: {counts} accepted (class and masks agree)")
    for kind in ("simulated", "generated"):
        path = output_dir / f"segmenter_{kind}" / "report.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        dice = ", ".join(f"{mask} {metrics[f'{mask}_dice'][0]:.2f}" for mask in ("tibia", "lesion"))
        lines.append(f"Dice of the segmenter with the {kind} masks: {dice}")
    return lines


def main(output_dir: Path) -> None:
    """Print the summary."""
    print("\nWhat was drawn:")
    for line in summary_lines(output_dir):
        print(f"  {line}")
    print("All training images are simulated: the run shows that everything works, not how it does on patients.\n")
    print(f"Pictures, from noise:            {output_dir / 'report.html'}")
    print(f"From the simulated radiographs:  {output_dir / 'from_images' / 'report.html'}")
    print(f"The segmenter's outlines:        {output_dir / 'segmenter_generated' / 'report.html'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="of the quickstart")
    main(parser.parse_args().output_dir)
