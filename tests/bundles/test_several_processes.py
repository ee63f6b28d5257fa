"""A cohort shared by several processes: each case once, one report, the same as of one process."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import table

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2")
QUICK = {"draws": 1}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> SimpleNamespace:
    """Three phantoms and a file that is none."""
    folder = tmp_path_factory.mktemp("cohort")
    lesions = ("tumour", None, None)
    cases = [
        write_phantom(make_phantom(seed, lesion, ("t1",), spacing=4.0), folder, f"case{seed}")
        for seed, lesion in enumerate(lesions)
    ]
    (folder / "broken.nii.gz").write_text("no NIfTI")
    cases.insert(1, {"case_id": "broken", "t1": "broken.nii.gz"})
    for name, listed in (("all", cases), ("one", cases[:1])):
        (folder / f"{name}.json").write_text(json.dumps({"training": [], "validation": [], "test": listed}))
    return SimpleNamespace(all=folder / "all.json", one=folder / "one.json")


@pytest.mark.slow
def test_the_report_and_the_maps_are_those_of_one_process(itermask3d: Bundle, cohort, tmp_path: Path):
    outs = {}
    for name, launcher in (("alone", ()), ("shared", LAUNCHER)):
        configs = "inference.json" + (" multi_gpu_inference.json" if launcher else "")
        outs[name] = tmp_path / name
        options = {"datalist": cohort.all, "output_dir": outs[name], **QUICK}
        done = itermask3d.run(configs, options, cwd=tmp_path, launcher=launcher)
        assert done.returncode != 0 and "broken" in done.stdout + done.stderr
        assert (done.stdout + done.stderr).count("report: ") == 1
    rows = {name: table(out / "report.csv") for name, out in outs.items()}
    assert [row["case_id"] for row in rows["shared"]] == ["case0", "case1", "case2", "broken"]
    for alone, shared in zip(rows["alone"], rows["shared"]):
        assert {k: v for k, v in alone.items() if k != "seconds"} == {k: v for k, v in shared.items() if k != "seconds"}
    failures = [json.loads((out / "report.json").read_text())["failures"] for out in outs.values()]
    assert failures[0] == failures[1] and [failure["case_id"] for failure in failures[0]] == ["broken"]
    for file in outs["alone"].glob("*.nii.gz"):
        alone, shared = (np.asarray(nib.load(out / file.name).dataobj) for out in outs.values())
        np.testing.assert_allclose(alone, shared, atol=1e-5)


@pytest.mark.slow
def test_more_processes_than_cases_are_refused(itermask3d: Bundle, cohort, tmp_path: Path):
    options = {"datalist": cohort.one, "output_dir": tmp_path / "out", **QUICK}
    done = itermask3d.run("inference.json multi_gpu_inference.json", options, cwd=tmp_path, launcher=LAUNCHER)
    assert done.returncode != 0 and "2 processes for 1 cases; start at most 1" in done.stderr
