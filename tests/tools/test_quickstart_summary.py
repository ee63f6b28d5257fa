"""quickstart_summary: what it says of a run is computed from its report, masks and labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tools.quickstart_summary import CaseFindings, case_findings, main, totals

HEALTHY, TUMOUR = "phantom0000_healthy", "phantom0001_tumour"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run's output: 10 false voxels of 8 mm3 in the healthy brain; half of 40 lesion voxels, and 20 others."""
    made = tmp_path / "input"
    made.mkdir()
    cases = [{"case_id": HEALTHY, "t1": "x"}, {"case_id": TUMOUR, "t1": "x", "label": f"{TUMOUR}_label.nii.gz"}]
    (made / "datalist.json").write_text(json.dumps({"test": cases}))
    affine = np.diag([2, 2, 2, 1])
    label, mask = np.zeros((10, 10, 10), np.uint8), np.zeros((10, 10, 10), np.uint8)
    label.flat[:40] = 1
    mask.flat[20:60] = 1
    nib.save(nib.Nifti1Image(label, affine), made / f"{TUMOUR}_label.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), tmp_path / f"{TUMOUR}_anomaly_mask.nii.gz")
    write_report(tmp_path, {HEALTHY: "0.08", TUMOUR: "0.32"})
    return tmp_path


def summary_lines(folder: Path) -> list[str]:
    return [line for case in case_findings(folder) for line in case.lines]


def write_report(folder: Path, volumes: dict[str, str]) -> None:
    with (folder / "report.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["case_id", "status", "anomaly_ml"], *([case, "done", ml] for case, ml in volumes.items())])


def test_the_summary_is_computed_from_report_masks_and_labels(results):
    assert summary_lines(results) == [
        "healthy: 0.1 ml above the threshold (false positives)",
        "tumour: anomaly found (50 % of its 0.3 ml), 0.3 ml above the threshold, Dice with the known lesion 0.50",
    ]


def test_warnings_of_a_case_follow_it(results):
    lines = summary_lines(results)
    table = results / "report.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{header},warnings", f"{rows[0]},36 % of the brain is marked", f"{rows[1]},"]))
    assert summary_lines(results) == [lines[0], "healthy: warning: 36 % of the brain is marked", lines[1]]


def test_a_missed_lesion_is_called_missed(results):
    empty = nib.Nifti1Image(np.zeros((10, 10, 10), np.uint8), np.diag([2, 2, 2, 1]))
    nib.save(empty, results / f"{TUMOUR}_anomaly_mask.nii.gz")
    write_report(results, {HEALTHY: "0", TUMOUR: "0"})
    assert summary_lines(results)[1].startswith("tumour: anomaly MISSED (0 % of its 0.3 ml), 0.0 ml above")


def test_a_case_that_was_left_out_or_is_not_reported_does_not_pass_for_a_result(results):
    write_report(results, {HEALTHY: "", TUMOUR: "0.32"})
    assert summary_lines(results)[0] == "healthy: could not be used, see report.html"
    write_report(results, {HEALTHY: "0.08"})
    with pytest.raises(LookupError, match=f"{TUMOUR}.*report.csv"):
        summary_lines(results)


def test_lesions_of_more_than_3_ml_are_counted_one_by_one(results):
    """Of 512 voxels of 8 mm3 (4.1 ml) a tenth is marked, of another lesion of that size less; a small one is none."""
    label, mask = np.zeros((30, 10, 10), np.uint8), np.zeros((30, 10, 10), np.uint8)
    label[:8, :8, :8] = label[10:18, :8, :8] = label[20:22, :2, :2] = 1
    mask[0, :8, :7], mask[10, :8, :6] = 1, 1
    affine = np.diag([2, 2, 2, 1])
    nib.save(nib.Nifti1Image(label, affine), results / "input" / f"{TUMOUR}_label.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), results / f"{TUMOUR}_anomaly_mask.nii.gz")
    healthy, tumour = case_findings(results)
    assert healthy.lesions is None and tumour.lesions == pytest.approx([56 / 512, 48 / 512])
    assert totals([healthy, tumour]) == (pytest.approx(0.08), 2, 1)


def test_totals_leave_out_what_could_not_be_used():
    found = [CaseFindings([], 1.0), CaseFindings([], 2.0), CaseFindings([]), CaseFindings([], 9.0, [0.5, 0.05])]
    assert totals(found) == (1.5, 2, 1)


def test_the_command_prints_the_lines_and_where_the_report_is(results, capsys):
    main(results)
    said = capsys.readouterr().out
    assert "Healthy brains: 0.1 ml marked on average. Lesions of more than 3 ml: 0 of 0 found." in said
    assert all(f"  {line}\n" in said for line in summary_lines(results)) and str(results / "report.html") in said
