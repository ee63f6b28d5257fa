"""All anomaly bundles and baselines on one datalist with one post-processing: a table and a page.

    python -m tools.benchmark_methods LIST.json --section validation --output_dir OUT

LIST.json holds labelled cases (``python -m tools.make_datalist``). OUT gets table.md, with paired differences to the
first row, and table.html. Each method is a bundle's inference.json with its overlay, run into OUT/<method>, with its
report, maps and metrics.csv; one that is finished is not run again. A method whose sequences a case lacks is left out,
and the page says so; one that fails costs its row, and the exit code is then 2.

The rows of MMCCD and TSGM share the smoothing, the rule of the threshold and that of components. IterMask3D smooths
as its statistics of healthy scans demand and keeps all components; it shares the rule of the threshold. A stored
threshold that was fitted with another smoothing is stale, and the reports say so. "best Dice" is an oracle: it knows
the label of each case. Options that the command does not know, such as ``--device cpu``, go to all bundles.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from shared.cases.datalist_files import read_section, resolve_path
from shared.reports.method_grid import method_grid
from shared.reports.page import figure, table, write_page
from shared.runs.tables import write_json, write_text
from tools.compare_runs import compare, read_run
from tools.quickstart_steps import ROOT, bundle_command

SMOOTHING_MM = 2.7
"""Of a Gaussian on the map: that of TSGM, whose stored thresholds and those of its baselines fit it."""

SHARED: dict[str, Any] = {"threshold_rule": "otsu"}
SHARED_2D: dict[str, Any] = {**SHARED, "median_radius": 0, "smoothing_mm": SMOOTHING_MM, "min_component_share": 0.2}
OVERLAY = {
    "+handlers": [
        {"_target_": "scripts.shared.evaluation.cohort.CohortMetrics", "output_dir": "@output_dir", "by_slice": True}
    ]
}
_SOME_LEFT_OUT = 2  # exit code of a run that left bad cases out and named them


@dataclass(frozen=True)
class Method:
    """A row of the table: the bundle, the configs laid over its inference.json, and the sequences that it needs."""

    title: str
    bundle: str
    overlays: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ("flair",)

    def command(self, args: argparse.Namespace, folder: Path) -> list[str]:
        bundle = ROOT / "bundles" / f"brain_mri_anomaly_{self.bundle}"
        configs = [bundle / "configs" / f"{name}.json" for name in ("inference", *self.overlays)]
        options = SHARED if self.bundle == "itermask3d" else SHARED_2D
        options = options | {"datalist": args.datalist, "section": args.section, "output_dir": folder}
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        files = [str(path) for path in (*configs, folder.parent / "overlay.json")]
        return [*bundle_command(Path(sys.executable), bundle), "--config_file", str(files), *words, *args.options]


METHODS = {
    "flair": Method("FLAIR", "tsgm", ("baseline_intensity",)),
    "flair_minus_t1": Method("FLAIR - 0.4 T1", "tsgm", ("baseline_flair_minus_t1",), ("flair", "t1")),
    "atlas": Method("atlas z-score, T1", "itermask3d", ("baseline_atlas",), ("t1",)),
    "cyclegan": Method("CycleGAN", "tsgm", ("baseline_cyclegan",), ("flair", "t1", "t1ce")),
    "mmccd": Method("MMCCD, masked", "mmccd"),
    "mmccd_t1": Method("MMCCD, T1 given", "mmccd", ("inference_direct",), ("flair", "t1")),
    "itermask3d": Method("IterMask3D, T1", "itermask3d", (), ("t1",)),
    "tsgm": Method("TSGM", "tsgm"),
}
"""By the names of ``--methods``; another method, such as the consensus of these, joins here."""


def missing_sequences(method: Method, cases: Sequence[dict[str, Any]]) -> list[str]:
    """The sequences that the method needs and some case lacks."""
    return [name for name in method.sequences if not all(case.get(name) for case in cases)]


def carry_out(method: Method, folder: Path, args: argparse.Namespace) -> str:
    """Run a method unless it is finished; what is wrong, empty where nothing is."""
    command, done = method.command(args, folder), folder / "finished.json"
    stamp = {"command": command, "list_changed": Path(args.datalist).stat().st_mtime_ns}
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == stamp:
        print("finished before", flush=True)
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (folder / "log.txt").open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode
    print(f"exit code {code}, {time.monotonic() - started:.0f} s", flush=True)
    if code == 0:
        write_json(done, stamp)
        return ""
    what = "cases were left out" if code == _SOME_LEFT_OUT else f"failed with exit code {code}"
    return f"{what}, see {folder.name}/log.txt"


def costs(folder: Path) -> tuple[float, float]:
    """Mean seconds and network evaluations of a case, NaN where the report does not say."""
    with open(folder / "report.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "done"]
    seconds, evaluations = (
        np.array([float(row.get(key) or "nan") for row in rows]) for key in ("seconds", "network_evaluations")
    )
    return float(seconds.mean()), float(evaluations.mean())


def rows_of(finished: Sequence[str], output_dir: Path) -> list[list[str]]:
    """The table of compare_runs, with F1 counted by lesions, HD95, seconds and evaluations added."""
    runs = {METHODS[name].title: read_run(output_dir / name) for name in finished}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in compare(runs)]
    rows[0] += ["F1 by lesions", "HD95, mm", "seconds a case", "network evaluations"]
    for row, name in zip(rows[2:], finished, strict=True):
        cases = runs[METHODS[name].title].values()
        for key in ("lesion_f1", "hd95_mm"):
            row.append(f"{np.nanmean([float(case[key] or 'nan') for case in cases]):.3f}")
        seconds, evaluations = costs(output_dir / name)
        row += [f"{seconds:.1f}", f"{evaluations:.0f}"]
    return [rows[0], *rows[2:]]


def grid(finished: Sequence[str], cases: Sequence[dict[str, Any]], output_dir: Path, base: Path) -> bytes:
    """Picture of the labelled cases by method, whose files lie relative to ``base``.

    A mask on another grid than the label, such as that of a T1 beside a FLAIR of thicker slices, is left out.
    """

    def volume(file: Path | str) -> np.ndarray:
        return np.asanyarray(nib.as_closest_canonical(nib.load(resolve_path(str(file), base))).dataobj)

    rows = []
    for case in (case for case in cases if case.get("label")):
        image = case.get("flair") or case.get("t1") or case["image"]
        files = {name: output_dir / name / f"{case['case_id']}_anomaly_mask.nii.gz" for name in finished}
        masks = {name: volume(file) for name, file in files.items() if file.is_file()}
        label = volume(case["label"])
        shown = {name: mask for name, mask in masks.items() if mask.shape == label.shape}
        rows.append({"image": volume(image), "label": label, **shown})
    return method_grid(rows, finished, [METHODS[name].title for name in finished])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--section", default="test")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    args, options = parser.parse_known_args()
    args.options = options
    args.datalist, output_dir = args.datalist.resolve(), args.output_dir.resolve()
    cases = read_section(args.datalist, args.section)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_json(output_dir / "overlay.json", OVERLAY)
    finished, left_out, failed = [], {}, {}
    for number, name in enumerate(args.methods, 1):
        method = METHODS[name]
        print(f"[{number}/{len(args.methods)}] {method.title}: ", end="", flush=True)
        if missing := missing_sequences(method, cases):
            left_out[method.title] = f"not run: needs {', '.join(missing)}"
            print(left_out[method.title])
        elif problem := carry_out(method, output_dir / name, args):
            failed[method.title] = problem
        else:
            finished.append(name)
    if not finished:
        raise SystemExit(f"no method has a result: {failed | left_out}")
    header, *rows = rows_of(finished, output_dir)
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    notes = [f"{title}: {why}" for title, why in (failed | left_out).items()]
    write_text(output_dir / "table.md", "\n".join([*lines, "", *notes]) + "\n")
    reasons = table(["method", "why it has no row"], list((failed | left_out).items()))
    caption = "The slice with the largest label: the label in blue, the mask of each method in red."
    picture = figure(grid(finished, cases, output_dir, args.datalist.parent), "slices by method", caption, "grid")
    facts = {"list": args.datalist.name, "section": args.section, "cases": len(cases), **SHARED_2D}
    write_page(output_dir / "table.html", "Methods compared", [table(header, rows), reasons, picture], facts)
    print("\n".join([*lines, *notes]))
    if failed:
        raise SystemExit(_SOME_LEFT_OUT)


if __name__ == "__main__":
    main()
