"""Say what a quickstart run found, beside what was put in: ``python -m tools.quickstart_summary OUTPUT_DIR``."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

LARGE_ML = 3.0  # lesions larger than this should be found


@dataclass(frozen=True)
class CaseFindings:
    """What was found in one case.

    ``lines`` tell it; ``anomaly_ml`` is what was marked, None where the case could not be used; ``lesions`` has the
    share that was marked of each lesion of more than ``LARGE_ML`` that was put in, None for a healthy brain.
    """

    lines: list[str]
    anomaly_ml: float | None = None
    lesions: list[float] | None = None


def case_findings(output_dir: Path) -> list[CaseFindings]:
    """Compare each case of ``input/datalist.json`` with ``report.csv``, its mask and its label.

    Raises:
        FileNotFoundError: the report, the list or a mask is missing.
        LookupError: a case of the list is not in the report.
    """
    cases = json.loads((output_dir / "input" / "datalist.json").read_text(encoding="utf-8"))["test"]
    with (output_dir / "report.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["case_id"]: row for row in csv.DictReader(stream)}
    if unknown := [case["case_id"] for case in cases if case["case_id"] not in rows]:
        raise LookupError(f"case '{unknown[0]}' is not in {output_dir / 'report.csv'}")
    return [_findings(output_dir, case, rows[case["case_id"]]) for case in cases]


def _findings(output_dir: Path, case: dict[str, str], row: dict[str, str]) -> CaseFindings:
    from shared.evaluation.segmentation import (  # late: --help answers at once
        FOUND_LESION_COVERAGE,
        NEIGHBOURS_26,
        segmentation_metrics,
    )

    name = case["case_id"].rsplit("_", 1)[-1]
    if not row["anomaly_ml"]:
        return CaseFindings([f"{name}: could not be used, see report.html"])
    anomaly_ml = float(row["anomaly_ml"])
    above = f"{anomaly_ml:.1f} ml above the threshold"
    warned = [f"{name}: warning: {row['warnings']}"] if row.get("warnings") else []
    if "label" not in case:
        return CaseFindings([f"{name}: {above} (false positives)", *warned], anomaly_ml)

    image = nib.load(output_dir / f"{case['case_id']}_anomaly_mask.nii.gz")
    mask = np.asarray(image.dataobj) > 0
    label = np.asarray(nib.load(output_dir / "input" / case["label"]).dataobj)
    found = segmentation_metrics(mask, label, voxel_sizes(image.affine))
    verdict = "found" if found["recall"] >= FOUND_LESION_COVERAGE else "MISSED"
    line = (
        f"{name}: anomaly {verdict} ({100 * found['recall']:.0f} % of its {found['label_ml']:.1f} ml), "
        f"{above}, Dice with the known lesion {found['dice']:.2f}"
    )
    components, count = ndimage.label(label, structure=NEIGHBOURS_26)
    lesions = [mask[components == number] for number in range(1, count + 1)]
    voxel_ml = float(np.prod(voxel_sizes(image.affine))) / 1000
    large = [float(lesion.mean()) for lesion in lesions if lesion.size * voxel_ml > LARGE_ML]
    return CaseFindings([line, *warned], anomaly_ml, large)


def totals(findings: Sequence[CaseFindings]) -> tuple[float, int, int]:
    """Return ml marked in a healthy brain on average, lesions of more than ``LARGE_ML``, and how many were found."""
    from shared.evaluation.segmentation import FOUND_LESION_COVERAGE  # late: --help answers at once

    healthy = [case.anomaly_ml for case in findings if case.lesions is None and case.anomaly_ml is not None]
    lesions = [share for case in findings for share in case.lesions or []]
    return float(np.mean(healthy)), len(lesions), sum(share >= FOUND_LESION_COVERAGE for share in lesions)


def main(output_dir: Path) -> None:
    """Print the summary."""
    findings = case_findings(output_dir)
    print("\nWhat was found in these simulated brains:")
    for line in (line for case in findings for line in case.lines):
        print(f"  {line}")
    healthy_ml, lesions, found = totals(findings)
    print(f"Healthy brains: {healthy_ml:.1f} ml marked on average. Lesions of more than {LARGE_ML:g} ml: ", end="")
    print(f"{found} of {lesions} found.")
    print("The run shows that everything works, not how accurate it is on patients.\n")
    print(f"Report with a picture of each case:  {output_dir / 'report.html'}")
    print(f"Maps, masks, pseudo-healthy brains:  {output_dir / '<case>_anomaly_map.nii.gz'}, ...")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="of the quickstart")
    main(parser.parse_args().output_dir)
