"""Cost and quality of a bundle's settings, side by side on the same cases in one run.

    python -m tools.benchmark DATALIST.json --bundle mmccd --section validation --output_dir OUT

DATALIST.json holds labelled cases (``python -m tools.make_datalist``, ``lgg2d`` or ``implanted``, makes one; cases of
the group "healthy" count as lesion-free). For each setting it gives network evaluations, FLOPs, time relative to the
first row, Dice at the threshold, best Dice and AUPRC, with the paired difference of Dice and the correlation of the
maps to the first setting; for TSGM also how its samples compare with those of the first setting: the root mean square
difference of their means and the ratio of their standard deviations. The threshold of MMCCD and TSGM is refitted for
each setting to the lesion-free tissue of the same cases.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from nibabel.affines import apply_affine
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from shared.anomaly.calibration import calibrate
from shared.anomaly.lesion_free import lesion_free_values
from shared.brains.volume import superior_axis
from shared.evaluation.cohort import HEALTHY, case_metrics
from shared.evaluation.statistics import mean_interval, paired_difference
from shared.runs.facts import facts_of
from shared.runs.tables import write_csv

ROOT = Path(__file__).resolve().parents[1]

FULL_FIELD = [96, 112, 96]  # voxels of 2 mm that hold the paper's 192 mm field and any head in MNI space
LEADING_100 = list(range(990, -1, -10))
OVERLAY = "overlay"  # name of a config of the bundle that is laid over inference.json before the other values
SAMPLED = {"posterior_mean": False}  # the mean of samples, not what the first evaluation expects
PREDICTOR_CORRECTOR = {**SAMPLED, "sampler": "predictor_corrector", "sigma_range": [0.01, 348.0]}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "itermask3d": {
        "paper: full field, unfused": {OVERLAY: "inference_paper.json", "box": FULL_FIELD, "network_def#fused": False},
        "paper: brain box, unfused": {OVERLAY: "inference_paper.json", "network_def#fused": False},
        "paper: brain box, fused": {OVERLAY: "inference_paper.json"},
        "default": {},
        "one field of noise": {"draws": 1},
    },
    "mmccd": {
        "paper: stride 2, 100 steps": {"stride": 2, "timesteps": LEADING_100},
        **{
            f"stride {stride}, {steps} steps": {"stride": stride, "steps": steps}
            for stride, steps in ((7, 20), (16, 20), (16, 7), (16, 3), (16, 2), (16, 1))
        },
        "stride 16, 7 steps, DPM-Solver++(2M)": {"stride": 16, "steps": 7, "sampler": "dpmpp_2m"},
        "cyclic U-Net": {"mode": "cyclic_unet"},
    },
    "tsgm": {
        "paper: predictor-corrector, N = 1000": {**PREDICTOR_CORRECTOR, "steps": 1000},
        **{f"predictor-corrector, N = {n}": {**PREDICTOR_CORRECTOR, "steps": n} for n in (250, 100, 20)},
        **{
            f"N = 100, snr {snr}": {**PREDICTOR_CORRECTOR, "steps": 100, "sampler_options": {"snr": snr}}
            for snr in (0.01, 0.04, 0.16)
        },
        **{f"{steps} evaluations": {**SAMPLED, "steps": steps} for steps in (20, 10, 5, 2)},
        "Euler, 20 evaluations": {**SAMPLED, "steps": 20, "sampler": "euler"},
        "default: expected, samples for the deviation": {},
        "expected by 1 evaluation": {"steps": 1, "samples": 1},
    },
}


def prepare(args: argparse.Namespace, setting: dict[str, Any]) -> ConfigParser:
    """The bundle's inference config with the overrides of one setting."""
    bundle = ROOT / "bundles" / f"brain_mri_anomaly_{args.bundle}"
    sys.path[:] = [str(bundle), *(p for p in sys.path if p != str(bundle))]
    parser = ConfigParser()
    names = ["inference.json", *([setting[OVERLAY]] if OVERLAY in setting else [])]
    parser.read_config([bundle / "configs" / name for name in names])
    overrides = {"bundle_root": str(bundle), "datalist": args.datalist, "section": args.section, "save": []}
    overrides |= {"samples": args.samples} if args.samples else {}
    for key, value in {**overrides, **setting}.items():
        if key != OVERLAY:
            parser[key] = value
    return parser


def keep_lesion_slices(data: dict[str, Any], count: int) -> None:
    """Leave of a case only so many axial slices, those with the largest lesion; the rest is no brain any more."""
    label, image = data["label"][0], data["image"]
    axis = superior_axis(label.affine)[0]
    largest = label.sum(dim=[a for a in range(3) if a != axis]).topk(count).indices.cpu()
    centres = np.tile((np.array(label.shape) - 1) / 2, (count, 1))
    centres[:, axis] = largest
    on_grid = apply_affine(np.linalg.inv(np.asarray(image.affine)), apply_affine(np.asarray(label.affine), centres))
    image[-1] *= torch.zeros(image.shape[-1]).index_fill_(0, torch.as_tensor(on_grid[:, 2].round()).long(), 1)
    native = torch.zeros(label.shape[axis]).index_fill_(0, largest, 1)
    native = native.reshape([-1 if a == axis else 1 for a in range(3)])
    data["label"], data["native_brain_mask"] = data["label"] * native, data["native_brain_mask"] * native


def run_setting(args: argparse.Namespace, name: str) -> tuple[dict[str, Any], list[dict[str, Any]], list[tuple]]:
    """Cost of one setting, a row of metrics per case; of each case the raw map, and what was drawn, in the brain."""
    parser = prepare(args, SETTINGS[args.bundle][name])
    network, inferer, preprocess = (parser.get_parsed_content(k) for k in ("network", "inferer", "preprocessing"))
    door = parser.get_parsed_content("door")
    door.require_some()
    cases = [case for case in door.cases if "label" in case or case.get("group") == HEALTHY][: args.cases]
    done: list[tuple] = []
    seconds, flops, first = 0.0, 0, 1
    for case in tqdm(cases, desc=name):
        data = preprocess(dict(case))
        if args.lesion_slices:
            keep_lesion_slices(data, args.lesion_slices)
        if not done:  # one part of the first case, to learn what an evaluation costs
            part = data["image"].clone()
            part[-1, ..., : part.shape[-1] // 2] = 0
            with FlopCounterMode(display=False) as counter:
                result = inferer((data["image"] if args.lesion_slices else part)[None], network)
            flops, first = counter.get_total_flops(), facts_of(result)["network_evaluations"]
        started = time.perf_counter()
        data["pred"] = inferer(data["image"][None], network)[0]
        seconds += time.perf_counter() - started
        done.append((case, data, facts_of(data["pred"])["network_evaluations"]))
    if args.bundle != "itermask3d":
        to_native = parser.get_parsed_content("native_maps")
        natives = [to_native(dict(data)) for _, data, _ in done]
        configs = ROOT / "bundles" / f"brain_mri_anomaly_{args.bundle}" / "configs"
        overlay = ConfigParser.load_config_file(configs / "calibrate.json")
        parser["false_positive_rate"] = overlay["false_positive_rate"]
        fitted = calibrate(
            [lesion_free_values(d) for d in natives],
            [case["case_id"] for case, _, _ in done],
            parser.get_parsed_content("false_positive_rate"),
            parser.get_parsed_content("weights"),
        )
        parser["threshold"] = fitted.threshold
    find = parser.get_parsed_content("postprocessing")
    rows, maps = [], []
    for case, data, evaluations in done:
        drawn = data["pred"][1:, data["image"][-1] > 0].numpy()  # reconstructions[, standard deviation of the map]
        data = find(data)
        mask, anomaly_map, brain = (np.asarray(data[k][0]) for k in ("pred", "anomaly_map", "native_brain_mask"))
        label = np.asarray(data["label"][0]) if data.get("label") is not None else np.zeros_like(mask)
        metrics = case_metrics(mask, anomaly_map, label, brain, np.asarray(data["native_image"].affine))
        about = {"setting": name, "case_id": case["case_id"], "group": case.get("group", "all")}
        rows.append({**about, **metrics, "network_evaluations": evaluations})
        maps.append((anomaly_map[brain > 0], drawn))
    evaluations = float(np.mean([row["network_evaluations"] for row in rows]))
    per_evaluation = flops / first / 1e9
    cost = {"setting": name, "evaluations": evaluations, "gflop_per_evaluation": per_evaluation}
    cost |= {"tflop_per_case": evaluations * per_evaluation / 1e3, "seconds_per_case": seconds / len(rows)}
    return cost, rows, maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datalist")
    parser.add_argument("--bundle", default="itermask3d", choices=list(SETTINGS))
    parser.add_argument("--section", default="validation")
    parser.add_argument("--output_dir", default="benchmark_output")
    parser.add_argument("--cases", type=int, default=None, help="only the first cases of the section")
    parser.add_argument("--lesion_slices", type=int, default=0, help="slices per case, those of the largest lesion")
    parser.add_argument("--samples", type=int, default=0, help="drawn of each slice by TSGM, where not of the setting")
    parser.add_argument("--settings", nargs="*", metavar="SETTING", help="names, the first is the reference")
    args = parser.parse_args()
    args.datalist = str(Path(args.datalist).resolve())
    names = args.settings or list(SETTINGS[args.bundle])
    if unknown := [name for name in names if name not in SETTINGS[args.bundle]]:
        parser.error(f"no setting {unknown}; choose among {list(SETTINGS[args.bundle])}")
    costs, tables, maps = zip(*(run_setting(args, name) for name in names))
    reference = {row["case_id"]: row["dice"] for row in tables[0]}
    summary = []
    for cost, rows, own in zip(costs, tables, maps):
        relative = {
            "flops_saved": costs[0]["tflop_per_case"] / cost["tflop_per_case"],
            "speed_up": costs[0]["seconds_per_case"] / cost["seconds_per_case"],
            "map_correlation": float(np.mean([np.corrcoef(a, b)[0, 1] for (a, _), (b, _) in zip(own, maps[0])])),
        }
        if args.bundle == "tsgm":
            pairs = [(a, b) for (_, a), (_, b) in zip(own, maps[0])]
            relative["mean_difference"] = float(np.sqrt(np.mean([np.square(a[:-1] - b[:-1]).mean() for a, b in pairs])))
            relative["std_ratio"] = float(np.mean([a[-1].mean() / max(b[-1].mean(), 1e-9) for a, b in pairs]))
        for group in dict.fromkeys(row["group"] for row in rows):
            members = [row for row in rows if row["group"] == group]
            quality = {
                key: mean_interval(np.array([row[key] for row in members])).estimate
                for key in ("dice", "best_dice", "auprc", "false_positive_ml")
            }
            difference = paired_difference(
                np.array([row["dice"] for row in members]), np.array([reference[row["case_id"]] for row in members])
            )
            paired = {
                f"dice_difference{end}": getattr(difference, key) if group != HEALTHY else float("nan")
                for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high"))
            }
            summary.append({**cost, **relative, "group": group, "cases": len(members), **quality, **paired})
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    write_csv(output / "benchmark_cases.csv", [row for rows in tables for row in rows])
    write_csv(output / "benchmark.csv", summary)
    for row in summary:
        print("  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    print(f"columns: {', '.join(summary[0])}\nwritten: {output.resolve()}/benchmark.csv and benchmark_cases.csv")


if __name__ == "__main__":
    main()
