"""MMCCD through the real command: its options, its mode with a second sequence, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.run_outputs import assert_mask_is_that_of_the_map, read, report_rows


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Path:
    """Folder of a simulated brain with a tumour, ``case``, its datalist, and its T1 90 mm beside it."""
    folder = tmp_path_factory.mktemp("subject")
    phantom = make_phantom(9002, "tumour", ("flair", "t1"), spacing=3.9)
    case = write_phantom(phantom, folder, "case", label=False)
    (folder / "list.json").write_text(json.dumps({"test": [case]}))
    beside = phantom.affine.copy()
    beside[0, 3] += 90
    nib.save(nib.Nifti1Image(phantom.images["t1"], beside), folder / "beside_t1.nii.gz")
    return folder


def test_sequence_and_stored_threshold(mmccd, subject, tmp_path):
    options = {"datalist": subject / "list.json", "sequence": "t1", "threshold_rule": "stored", "steps": 1}
    done = mmccd.run("inference.json", {**options, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    stored = json.loads((mmccd.folder / "models" / "calibration_t1.json").read_text(encoding="utf-8"))
    row = report_rows(tmp_path)["case"]
    assert float(row["threshold"]) == pytest.approx(stored["threshold"]) and row["threshold_source"] == stored["rule"]
    assert json.loads((tmp_path / "report.json").read_text())["run"]["sequence"] == "t1"
    assert_mask_is_that_of_the_map(tmp_path, "case", mmccd.config("inference.json")["min_component_share"])
    t1, healthy = nib.load(subject / "case_t1.nii.gz").get_fdata(), read(tmp_path, "case").pseudo_healthy.get_fdata()
    assert np.median(healthy[t1 > 0]) == pytest.approx(np.median(t1[t1 > 0]), rel=0.1)


def test_direct_mode_translates_the_t1(mmccd, subject, tmp_path):
    options = {"image": subject / "case_flair.nii.gz", "t1": subject / "case_t1.nii.gz", "output_dir": tmp_path}
    done = mmccd.run("inference.json inference_direct.json", options)
    assert done.returncode == 0, done.stderr
    row = report_rows(tmp_path)["case_flair"]
    assert row["network_evaluations"] == row["slices"] and row["stripes"] == "0"
    assert json.loads((tmp_path / "report.json").read_text())["run"]["mode"] == "direct"
    assert_mask_is_that_of_the_map(tmp_path, "case_flair", mmccd.config("inference.json")["min_component_share"])


DIRECT = "inference.json inference_direct.json"
REFUSED = {  # configs, options, what is said
    "direct without T1": (DIRECT, {}, "error: --image FILE needs the t1 of the same session.* pass --t1 FILE"),
    "direct with T1 elsewhere": (
        DIRECT,
        {"t1": "beside_t1.nii.gz"},
        r"error: \S*beside_t1.nii.gz \(key 't1'\): .*shows \d+ % of the brain of \S*case_flair",
    ),
    "unknown sequence": (
        "inference.json",
        {"sequence": "t2"},
        "the weights know no cycle for the sequence 't2', only for flair, t1",
    ),
}


@pytest.fixture(scope="module")
def refused(mmccd, subject) -> dict[str, subprocess.CompletedProcess[str]]:
    """All of them side by side, for they end before anything is computed; files are relative to where it runs."""

    def run(name: str) -> subprocess.CompletedProcess[str]:
        configs, options, _ = REFUSED[name]
        return mmccd.run(configs, {"image": "case_flair.nii.gz", "output_dir": name, **options}, cwd=subject)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(REFUSED, pool.map(run, REFUSED)))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_computed(refused, subject, name):
    assert refused[name].returncode not in (0, 2)
    assert re.search(REFUSED[name][2], refused[name].stderr), refused[name].stderr
    assert not list((subject / name).glob("*.nii.gz"))


def test_workflows_have_all_properties_that_monai_asks_for(mmccd, subject, tmp_path):
    image, t1, datalist = subject / "case_flair.nii.gz", subject / "case_t1.nii.gz", tmp_path / "list.json"
    sections = {name: [{"case_id": name, "flair": str(image), "t1": str(t1)}] for name in ("training", "validation")}
    datalist.write_text(json.dumps(sections))
    inference = {"image": image, "output_dir": tmp_path}
    training = {"datalist": datalist, "output_dir": tmp_path, "ckpt_dir": tmp_path}
    assert mmccd.missing_properties(inference, training) == {"infer": [], "train": []}
