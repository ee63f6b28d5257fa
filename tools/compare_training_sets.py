"""What generated radiographs are worth: ResNet-34 and U-Net trained with and without them, on held-out radiographs.

    python -m tools.compare_training_sets --reference REFERENCE.json --held_out TEST.json --generated SAMPLES.json \\
        --output_dir OUT [--tasks resnet34,unet] [--seeds 0,1,2] [-- --max_epochs 30 --size 128]

REFERENCE.json has the sections training and validation, TEST.json the section test, SAMPLES.json the section training,
as an inference of MaC-DM writes it. Each task is trained with each seed on the reference, the augmented reference, and
both of these with the samples, and evaluated on the test cases, under OUT/<task>/<training set>/seed<n>. What follows
``--`` is handed to all trainings and evaluations. When stopped and started again, it goes on where it was. At the end
OUT holds comparison.html, .csv and .json, and comparison.png with what the U-Nets outline in test cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.cases.datalist_files import read_section
from shared.cases.splits import check_splits
from shared.evaluation.training_sets import MEASURES, compare_training_sets
from shared.reports.page import failed_cases, write_page
from shared.reports.training_sets_page import (
    comparison_table,
    introduction,
    outlines_figure,
    outlines_grid,
)
from shared.runs.errors import DataListError
from shared.runs.files import replacing
from shared.runs.run_information import run_information
from shared.runs.tables import (
    write_csv,
    write_json,
)
from shared.runs.weights import sha256
from tools.training_set_runs import ARMS, Run, RunFailure, carry_out

ROOT = Path(__file__).resolve().parents[1]


def check_lists(given: argparse.Namespace) -> list[dict[str, Any]]:
    """The held-out cases as they are listed.

    Raises:
        DataListError: a wrong list, no held-out case, or one that a network would be trained on.
    """
    listed = {section: read_section(given.reference, section) for section in ("training", "validation")}
    listed["generated"] = read_section(given.generated, "training")
    held_out = read_section(given.held_out, "test")
    if not held_out:
        raise DataListError(f"{given.held_out}: its section 'test' is empty")
    for section, cases in listed.items():
        try:
            check_splits({section: cases, "held out": held_out})
        except DataListError as error:
            raise DataListError(f"{given.held_out} is not held out from {given.reference}: {error}") from error
    return held_out


def check_settings(given: argparse.Namespace) -> None:
    """Keep what all runs of a folder must have in common.

    Raises:
        DataListError: the folder holds runs of other lists or options.
    """
    lists = {key: sha256(getattr(given, key)) for key in ("reference", "held_out", "generated")}
    file, settings = given.output_dir / "settings.json", {**lists, "options": given.options}
    if file.is_file():
        earlier = json.loads(file.read_text(encoding="utf-8"))
        if differing := [key for key in settings if earlier[key] != settings[key]]:
            raise DataListError(f"{given.output_dir} holds runs of other {', '.join(differing)}: choose another folder")
    else:
        given.output_dir.mkdir(parents=True, exist_ok=True)
        write_json(file, settings)


def compare(runs: Sequence[Run], given: argparse.Namespace) -> Path:
    """Write the comparison of finished runs; return where its page is."""
    out, tables = given.output_dir, {}
    left_out = list({failure["case_id"]: failure for run in runs for failure in run.report["failures"]}.values())
    parts = [introduction(len(given.seeds)), failed_cases(left_out)]
    for task in given.tasks:
        reports = {arm: [run.report["cases"] for run in runs if (run.task, run.arm) == (task, arm)] for arm in ARMS}
        tables[task] = compare_training_sets(MEASURES[task], reports)
        cases = len(next(iter(reports.values()))[0])
        parts.append(comparison_table(f"{task} on {cases} held-out cases", tables[task]))
    if "unet" in given.tasks:
        masks = {arm: Run("unet", arm, given.seeds[0], out).folder / "test" / "masks.npz" for arm in ARMS}
        picture, shown = outlines_grid(masks, str(given.held_out))
        if shown:
            with replacing(out / "comparison.png") as temporary:
                temporary.write_bytes(picture)
            parts.append(outlines_figure(picture, list(ARMS), shown, given.seeds[0]))
    facts = {**run_information(), **json.loads((out / "settings.json").read_text()), "seeds": given.seeds}
    write_csv(out / "comparison.csv", [{"task": task, **row} for task, rows in tables.items() for row in rows])
    write_json(out / "comparison.json", {"run": facts, "tasks": tables, "failures": left_out})
    write_page(out / "comparison.html", "Training sets with and without generated radiographs", parts, facts)
    return out / "comparison.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with the problem on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    for name in ("reference", "held_out", "generated"):
        parser.add_argument(f"--{name}", type=lambda path: Path(path).resolve(), required=True, metavar="DATALIST")
    parser.add_argument("--output_dir", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument("--tasks", default=",".join(MEASURES), help="comma-separated")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="of all trainings and evaluations")
    given = parser.parse_args(arguments)
    given.tasks = list(dict.fromkeys(given.tasks.split(",")))
    if unknown := [task for task in given.tasks if task not in MEASURES]:
        parser.error(f"no task {unknown}; choose among {list(MEASURES)}")
    if wrong := [seed for seed in given.seeds.split(",") if not seed.isdecimal()]:
        parser.error(f"--seeds are whole numbers, such as 0,1,2; not {wrong}")
    given.seeds = list(dict.fromkeys(map(int, given.seeds.split(","))))
    try:
        held_out = check_lists(given)
        check_settings(given)
        runs = [Run(task, arm, seed, given.output_dir) for task in given.tasks for seed in given.seeds for arm in ARMS]
        carry_out(runs, given, len(held_out))
        print(f"comparison: {compare(runs, given)}")
    except (DataListError, RunFailure) as problem:
        print(f"compare_training_sets: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
