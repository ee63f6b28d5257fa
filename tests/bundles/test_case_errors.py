"""What goes wrong with one case, through the real command: it is named in the report, and the others are finished."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.simulation.phantom_brain import make_phantom
from tests.helpers.run_outputs import report_rows

FAST = {"spacing": "[4,4,4]", "box": "[48,48,48]"}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory) -> Path:
    """One brain in four shapes, with masks of five axes."""
    folder, phantom = tmp_path_factory.mktemp("shapes"), make_phantom(9010, None, ("t1",), 4.0)
    brain = phantom.images["t1"]
    cases = []
    for axes in (3, 4, 5, 6):
        case = {"case_id": f"axes{axes}"}
        for key, voxels in (("t1", brain), ("brain_mask", (brain > 0).astype(np.uint8))):
            shape = (*brain.shape, *[1] * (axes - 3))
            case[key] = f"{case['case_id']}_{key}.nii.gz"
            nib.save(nib.Nifti1Image(voxels.reshape(shape), phantom.affine), folder / case[key])
        cases.append(case)
    (folder / "list.json").write_text(json.dumps({"test": cases}))
    return folder / "list.json"


@pytest.mark.slow
def test_further_axes_of_1_change_nothing_and_an_output_in_the_way_costs_its_case_alone(itermask3d, datalist, tmp_path):
    blocked = tmp_path / "axes4_anomaly_mask.nii.gz"
    blocked.mkdir()
    done = itermask3d.run("inference.json", {**FAST, "datalist": datalist, "output_dir": tmp_path})
    assert done.returncode == 2, done.stderr
    rows = report_rows(tmp_path)
    assert {name: row["status"] for name, row in rows.items()} == {
        "axes3": "done", "axes5": "done", "axes6": "done", "axes4": "failed"
    }  # fmt: skip
    assert rows["axes4"]["error"] == "cannot be read or written (Is a directory)" and rows["axes4"]["file"] == str(
        blocked
    )
    assert "<td>axes4</td>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 of 4 cases done, left out:\n  axes4: " in done.stdout
    assert [file for file in tmp_path.glob("axes4_*")] == [blocked]
    maps = [nib.load(tmp_path / f"axes{axes}_anomaly_map.nii.gz") for axes in (3, 5, 6)]
    assert all(np.array_equal(m.get_fdata(), maps[0].get_fdata()) for m in maps) and maps[0].ndim == 3
