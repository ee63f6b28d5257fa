"""Say what a quickstart run found, beside what was put in: ``python -m tools.quickstart_summary OUTPUT_DIR``."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes


def summary_lines(output_dir: Path) -> list[str]:
    """Return a line per case of ``input/datalist.json``, from ``report.csv``, masks and labels, and one of warnings.

    Raises:
        FileNotFoundError: the report, the list or a mask is missing.
        LookupError: a case of the list is not in the report.
    """
    from shared.evaluation.segmentation import (  # late: --help answers at once
        FOUND_LESION_COVERAGE,
        segmentation_metrics,
    )

    made = output_dir / "input"
    cases = json.loads((made / "datalist.json").read_text(encoding="utf-8"))["test"]
    with (output_dir / "report.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["case_id"]: row for row in csv.DictReader(stream)}
    lines = []
    for case in cases:
        case_id = case["case_id"]
        if case_id not in rows:
            raise LookupError(f"case '{case_id}' is not in {output_dir / 'report.csv'}")
        name = case_id.rsplit("_", 1)[-1]
        if not rows[case_id]["anomaly_ml"]:
            lines.append(f"{name}: could not be used, see report.html")
            continue
        above = f"{float(rows[case_id]['anomaly_ml']):.1f} ml above the threshold"
        if "label" in case:
            mask = nib.load(output_dir / f"{case_id}_anomaly_mask.nii.gz")
            label = np.asarray(nib.load(made / case["label"]).dataobj)
            found = segmentation_metrics(np.asarray(mask.dataobj), label, voxel_sizes(mask.affine))
            verdict = "found" if found["recall"] >= FOUND_LESION_COVERAGE else "MISSED"
            lines.append(
                f"{name}: anomaly {verdict} ({100 * found['recall']:.0f} % of its {found['label_ml']:.1f} ml), "
                f"{above}, Dice with the known lesion {found['dice']:.2f}"
            )
        else:
            lines.append(f"{name}: {above} (false positives)")
        if warnings := rows[case_id].get("warnings"):
            lines.append(f"{name}: warning: {warnings}")
    return lines


def main(output_dir: Path) -> None:
    """Print the summary."""
    print("\nWhat was found:")
    for line in summary_lines(output_dir):
        print(f"  {line}")
    print("These brains are simulated: the run shows that everything works, not how accurate it is on patients.\n")
    print(f"Report with a picture of each case:  {output_dir / 'report.html'}")
    print(f"Maps, masks, pseudo-healthy brains:  {output_dir / '<case>_anomaly_map.nii.gz'}, ...")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="of the quickstart")
    main(parser.parse_args().output_dir)
