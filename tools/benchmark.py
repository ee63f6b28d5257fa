"""Cost and quality of IterMask3D's schedules, side by side on the same cases in one run.

    python tools/benchmark.py DATALIST.json --section validation --output_dir OUT

DATALIST.json holds labelled cases (``tools/make_datalist.py implanted`` makes one; cases of the group "healthy" count
as lesion-free). For each setting it gives network evaluations, FLOPs, time relative to the first row, and Dice at the
stored threshold, best Dice and AUPRC, with the paired difference of Dice to the first setting.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "bundles" / "brain_mri_anomaly_itermask3d"
sys.path[:0] = [str(ROOT), str(BUNDLE)]

from shared.evaluation.cohort import HEALTHY, case_metrics, write_table  # noqa: E402
from shared.evaluation.statistics import bootstrap_interval, paired_difference  # noqa: E402

FULL_FIELD = [96, 112, 96]  # voxels of 2 mm that hold the paper's 192 mm field and any head in MNI space
SETTINGS: dict[str, dict[str, Any]] = {
    "paper: 100 points, full field, unfused": {"percents": list(range(100)), "box": FULL_FIELD, "fused": False},
    "100 points, brain box, unfused": {"percents": list(range(100)), "fused": False},
    "100 points, brain box, fused": {"percents": list(range(100))},
    "default": {},
    "single pass (no iteration)": {"percents": []},
}


def prepare(args: argparse.Namespace, setting: dict[str, Any]) -> ConfigParser:
    """The bundle's inference config with the overrides of one setting."""
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    overrides = {"bundle_root": str(BUNDLE), "datalist": args.datalist, "section": args.section, "save": []}
    for key, value in {**overrides, **setting}.items():
        parser["network_def#fused" if key == "fused" else key] = value
    return parser


def run_setting(args: argparse.Namespace, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Cost of one setting and a row of metrics per case."""
    parser = prepare(args, SETTINGS[name])
    network, inferer = (parser.get_parsed_content(key) for key in ("network", "inferer"))
    preprocess, postprocess = (parser.get_parsed_content(key) for key in ("preprocessing", "postprocessing"))
    door = parser.get_parsed_content("door")
    door.require_some()
    cases = [case for case in door.cases if "label" in case or case.get("group") == HEALTHY][: args.cases]
    rows, seconds, flops = [], 0.0, 0
    for case in tqdm(cases, desc=name):
        data = preprocess(dict(case))
        counter = FlopCounterMode(display=False) if not rows else None
        started = time.perf_counter()
        if counter:
            with counter:
                data["pred"] = inferer(data["image"][None], network)[0]
            flops = counter.get_total_flops()
            first = inferer.history[0]["network_evaluations"]
            started = time.perf_counter()
        data["pred"] = inferer(data["image"][None], network)[0]
        seconds += time.perf_counter() - started
        data = postprocess(data)
        mask, anomaly_map, brain = (np.asarray(data[k][0]) for k in ("pred", "anomaly_map", "native_brain_mask"))
        label = np.asarray(data["label"][0]) if "label" in data else np.zeros_like(mask)
        metrics = case_metrics(mask, anomaly_map, label, brain, np.asarray(data["native_image"].affine))
        evaluations = inferer.history[0]["network_evaluations"]
        rows.append({"setting": name, "case_id": case["case_id"], "group": case.get("group", "all"), **metrics,
                     "network_evaluations": evaluations})
    evaluations = float(np.mean([row["network_evaluations"] for row in rows]))
    per_evaluation = flops / first / 1e9
    cost = {"setting": name, "evaluations": evaluations, "gflop_per_evaluation": per_evaluation,
            "tflop_per_case": evaluations * per_evaluation / 1e3, "seconds_per_case": seconds / len(rows)}
    return cost, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist")
    parser.add_argument("--section", default="validation")
    parser.add_argument("--output_dir", default="benchmark_output")
    parser.add_argument("--cases", type=int, default=None, help="only the first cases of the section")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS), metavar="SETTING")
    args = parser.parse_args()
    args.datalist = str(Path(args.datalist).resolve())
    costs, tables = zip(*(run_setting(args, name) for name in args.settings))
    reference = {row["case_id"]: row["dice"] for row in tables[0]}
    summary = []
    for cost, rows in zip(costs, tables):
        relative = {"flops_saved": costs[0]["tflop_per_case"] / cost["tflop_per_case"],
                    "speed_up": costs[0]["seconds_per_case"] / cost["seconds_per_case"]}
        for group in dict.fromkeys(row["group"] for row in rows):
            members = [row for row in rows if row["group"] == group]
            quality = {key: bootstrap_interval(np.array([row[key] for row in members])).estimate
                       for key in ("dice", "best_dice", "auprc", "false_positive_ml")}
            difference = paired_difference(np.array([row["dice"] for row in members]),
                                           np.array([reference[row["case_id"]] for row in members]))
            paired = {f"dice_difference{end}": getattr(difference, key)
                      for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high"))}
            summary.append({**cost, **relative, "group": group, "cases": len(members), **quality,
                            **(paired if group != HEALTHY else dict.fromkeys(paired, float("nan")))})
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    write_table(output / "benchmark_cases.csv", [row for rows in tables for row in rows])
    write_table(output / "benchmark.csv", summary)
    for row in summary:
        print("  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    print(f"columns: {', '.join(summary[0])}\nwritten: {output.resolve()}/benchmark.csv and benchmark_cases.csv")


if __name__ == "__main__":
    main()
