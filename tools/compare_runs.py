"""Compare evaluated runs on the same cases: a table with paired differences to the first, and a picture by case.

    python -m tools.compare_runs TABLE.md "default=OUT" "thresholded FLAIR=OUT_FLAIR" ...

Each folder holds the ``metrics.csv`` of an ``evaluate.json`` run. TABLE.md gets a Markdown table, TABLE.png the Dice of
every case. Intervals are 95 % intervals of Student's t over the cases that have a Dice, whose number is in the table.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from shared.evaluation.statistics import mean_interval, paired_difference
from shared.runs.files import replacing

ROOT = Path(__file__).resolve().parents[1]

MEANS = {
    "auprc": "AUPRC",
    "best_dice": "best Dice",
    "precision": "precision",
    "recall": "recall",
    "iou": "IoU",
    "hd95_in_plane_mm": "HD95 in plane, nominal mm",
    "false_positive_rate_free_slices": "marked in lesion-free slices, %",
}
PERCENT = {"false_positive_rate_free_slices"}


def read_run(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of ``metrics.csv`` by case."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def compare(runs: dict[str, dict[str, dict[str, str]]]) -> list[str]:
    """Lines of the table.

    Raises:
        SystemExit: the runs hold other cases than the first.
    """
    (first, reference), *_ = runs.items()
    for name, rows in runs.items():
        if set(rows) != set(reference):
            differing = ", ".join(sorted(set(rows) ^ set(reference)))
            raise SystemExit(f"'{name}' and '{first}' hold different cases ({differing}): evaluate both on one list")

    def values(name: str, key: str) -> np.ndarray:
        cells = (runs[name][case_id][key] for case_id in reference)
        return np.array([float(cell or "nan") for cell in cells])  # an empty cell is an undefined metric

    header = ["run", "Dice", "per lesion slice", "difference of Dice", "lowest Dice", "cases", *MEANS.values()]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in runs:
        dice = mean_interval(values(name, "dice"))
        difference = paired_difference(values(name, "dice"), values(first, "dice"))
        slices = values(name, "lesion_slices")
        per_slice = np.average(np.nan_to_num(values(name, "dice_lesion_slices")), weights=slices)
        cells = [
            name,
            dice.text(),
            f"{per_slice:.3f}",
            "" if name == first else difference.text("+.3f"),
            f"{np.nanmin(values(name, 'dice')):.2f}",
            f"{np.isfinite(values(name, 'dice')).sum()}",
        ]
        for key in MEANS:
            mean = float(np.nanmean(values(name, key)))
            cells.append(f"{100 * mean:.2f}" if key in PERCENT else f"{mean:.3f}" if mean < 1 else f"{mean:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def draw(runs: dict[str, dict[str, dict[str, str]]], path: Path) -> None:
    """Dice of every case and run, cases in the order of the first run's Dice."""
    reference = next(iter(runs.values()))
    order = sorted(reference, key=lambda case_id: float(reference[case_id]["dice"]))
    figure = Figure(figsize=(max(5, 0.55 * len(order)), 4.5), layout="constrained")
    axes = figure.subplots()
    for name, rows in runs.items():
        axes.plot([float(rows[case_id]["dice"]) for case_id in order], "o-", label=name, markersize=4, linewidth=0.6)
    axes.set(ylabel="Dice", ylim=(0, 1), xticks=range(len(order)))
    axes.set_xticklabels(order, rotation=60, ha="right", fontsize=7)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    args = parser.parse_args()
    if unnamed := [run for run in args.runs if "=" not in run]:
        parser.error(f"name the runs, such as 'default={unnamed[0]}'")
    folders = dict(run.split("=", 1) for run in args.runs)
    if absent := [folder for folder in folders.values() if not (Path(folder) / "metrics.csv").is_file()]:
        parser.error(f"no metrics.csv in {', '.join(absent)}: run evaluate.json with that --output_dir first")
    runs = {name: read_run(Path(folder)) for name, folder in folders.items()}
    lines = compare(runs)
    with replacing(args.table) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(runs, args.table.with_suffix(".png"))
    print("\n".join(lines), f"\nwritten: {args.table.resolve()} and {args.table.with_suffix('.png').name}")


if __name__ == "__main__":
    main()
