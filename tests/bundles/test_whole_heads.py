"""A whole head through the real command of each bundle: its brain is extracted, reported, and not extracted again."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.bundle import Bundle
from tests.helpers.real_data import DATA, needs_data
from tests.helpers.run_outputs import report_rows

HEADS = {
    "itermask3d": ("ixi_t1_heads/IXI465-HH-2176_T1.nii.gz", {}, 1.5),
    "mmccd": ("ms_heads/patient04_study1/flair.nii.gz", {}, 1.5),
    "tsgm": ("ms_heads/patient04_study1/flair.nii.gz", {"steps": 2, "samples": 1}, 1.5),
}


@pytest.mark.slow
@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("name", HEADS)
def test_a_raw_head_goes_in(request, name, tmp_path):
    bundle: Bundle = request.getfixturevalue(name)
    file, options, litres = HEADS[name]
    options = {**options, "image": DATA / file, "output_dir": tmp_path}
    done = bundle.run("inference.json", options)
    assert done.returncode == 0, done.stderr
    stem = Path(file).name.removesuffix(".nii.gz")
    image = nib.load(DATA / file)
    volumes = {n: nib.load(tmp_path / f"{stem}_{n}.nii.gz") for n in ("brain_mask", "anomaly_map", "pseudo_healthy")}
    for volume in volumes.values():
        assert volume.shape == image.shape and np.allclose(volume.affine, image.affine, atol=1e-4)
    brain = np.asarray(volumes["brain_mask"].dataobj) > 0
    assert not volumes["anomaly_map"].get_fdata()[~brain].any()
    (row,) = report_rows(tmp_path).values()
    assert row["brain_from"] == "deepbet 1.0.2" and float(row["brain_litres"]) == pytest.approx(litres, abs=0.05)
    assert "l, was extracted by deepbet 1.0.2" in row["warnings"]

    if name == "mmccd":  # its shading is removed: 142 ml are marked otherwise
        assert float(row["shading"]) == pytest.approx(0.14, abs=0.02) and float(row["anomaly_ml"]) < 15
    if name == "tsgm":  # 45 ml otherwise
        assert float(row["shading_flair"]) == pytest.approx(0.13, abs=0.02) and float(row["anomaly_ml"]) < 5

    before = (tmp_path / f"{stem}_brain_mask.nii.gz").stat().st_mtime_ns
    again = bundle.run("inference.json", {**options, "resume": True})
    assert again.returncode == 0 and "extracting the brain" not in again.stdout, again.stderr
    assert (tmp_path / f"{stem}_brain_mask.nii.gz").stat().st_mtime_ns == before
    assert report_rows(tmp_path)[row["case_id"]] == row


@pytest.mark.slow
@pytest.mark.real_data
@needs_data
def test_a_folder_of_heads_and_a_brain_is_read_again_where_its_masks_were_written(itermask3d, tmp_path):
    """The output folder is that of the input; what the first run wrote is no input of the second."""
    for number, file in enumerate(sorted((DATA / "ixi_t1_raw").glob("*.nii.gz"))):
        (tmp_path / f"head{number}_t1.nii.gz").write_bytes(file.read_bytes())
    brain = DATA / "ixi_t1" / "IXI013-HH-1212_T1.nii.gz"
    (tmp_path / "brain_t1.nii.gz").write_bytes(brain.read_bytes())
    options = {"dataset_dir": tmp_path, "output_dir": tmp_path}
    for _ in range(2):
        done = itermask3d.run("inference.json", options)
        assert done.returncode == 0, done.stderr
        rows = report_rows(tmp_path)
        assert {case_id: row["brain_from"] for case_id, row in rows.items()} == {
            "brain_t1": "non-zero voxels",
            "head0_t1": "deepbet 1.0.2",
            "head1_t1": "deepbet 1.0.2",
        }
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["failures"] == []
