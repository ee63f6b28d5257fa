"""TSGM through the real command: the search for fusion weights, baselines, what is refused, what MONAI asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from shared.anomaly.calibration import Calibration
from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.run_outputs import table

SEQUENCES = ("t1", "t1ce", "flair")
SPACING = 5.0
COARSE = {"steps": 2, "samples": 1, "min_step_mm": 20}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory) -> SimpleNamespace:
    """Two simulated brains with a tumour in datalists, an axial slice of the second, and all of it in a 4D file."""
    folder = tmp_path_factory.mktemp("subjects")
    phantoms = {f"case{seed}": make_phantom(seed, "tumour", SEQUENCES, spacing=SPACING) for seed in (9003, 9004)}
    cases = [write_phantom(phantom, folder, case_id) for case_id, phantom in phantoms.items()]
    (folder / "labelled.json").write_text(json.dumps({"validation": cases}))
    (folder / "split.json").write_text(json.dumps({"training": cases[:1], "validation": cases[1:]}))
    *_, phantom = phantoms.values()
    level = int(phantom.label.sum(axis=(0, 1)).argmax())
    lifted = phantom.affine.copy()
    lifted[2, 3] += level * SPACING
    slices = {name: folder / f"slice_{name}.nii.gz" for name in SEQUENCES}
    for name, path in slices.items():
        nib.save(nib.Nifti1Image(phantom.images[name][:, :, [level]], lifted), path)
    stacked = np.stack([phantom.images[name] for name in SEQUENCES], axis=-1)
    nib.save(nib.Nifti1Image(stacked, phantom.affine), folder / "volumes.nii.gz")
    return SimpleNamespace(folder=folder, slices=slices, cases=list(phantoms))


def test_search_on_labelled_patients_writes_weights_and_nothing_else(tsgm, subjects, tmp_path):
    options = {**COARSE, "datalist": subjects.folder / "labelled.json", "output_dir": tmp_path}
    done = tsgm.run("inference.json search_fusion.json", options)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    found = json.loads(path.read_text())
    assert path.name == "fusion_weights.json" and found["cases"] == subjects.cases
    assert list(found["weights"]) == list(SEQUENCES) and sum(found["weights"].values()) == pytest.approx(1)
    assert len(found["table"]) == 66 and found["table"][0] == {k: found[k] for k in ("weights", "dice")}
    assert 0 < found["dice"] == max(row["dice"] for row in found["table"]) < 1


@pytest.mark.slow
def test_a_sequence_that_was_moved_is_registered_when_asked(tsgm, subjects, tmp_path):
    """T1 with a shift of 8 mm in its header: the map is that of the pair in its place."""
    given = {name: subjects.folder / f"case9003_{name}.nii.gz" for name in ("t1", "flair")}
    t1 = nib.load(given["t1"])
    there = t1.affine.copy()
    there[1, 3] += 8
    nib.save(nib.Nifti1Image(np.asarray(t1.dataobj), there), tmp_path / "moved_t1.nii.gz")
    runs = {"in place": given, "registered": {**given, "t1": tmp_path / "moved_t1.nii.gz", "register": True}}
    for name, files in runs.items():
        done = tsgm.run("inference.json", {**COARSE, **files, "output_dir": tmp_path / name})
        assert done.returncode == 0, done.stderr
    (row,) = table(tmp_path / "registered" / "report.csv")
    shift = re.search(r"t1: registered: moved by (\S+) mm and turned by (\S+) degrees", row["warnings"])
    assert float(shift[1]) == pytest.approx(8, abs=1) and float(shift[2]) < 1
    maps = [nib.load(tmp_path / name / "case9003_anomaly_map.nii.gz").get_fdata() for name in runs]
    assert np.corrcoef(*(values.ravel() for values in maps))[0, 1] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["baseline_cyclegan", "baseline_intensity", "baseline_flair_minus_t1"])
def test_baselines_are_calibrated_and_evaluated(tsgm, subjects, baseline, tmp_path):
    options = {"datalist": subjects.folder / "labelled.json", "section": "validation", "min_step_mm": 20}
    options["calibration_file"] = tmp_path / "calibration.json"
    for task in ("calibrate", "evaluate"):
        done = tsgm.run(f"inference.json {baseline}.json {task}.json", {**options, "output_dir": tmp_path / task})
        assert done.returncode == 0, done.stderr
    stored = json.loads(options["calibration_file"].read_text())
    assert "lesion-free brain voxels of 2 scans" in stored["rule"] and "its threshold belongs to" not in done.stdout
    rows = table(tmp_path / "evaluate" / "metrics.csv")
    assert [row["case_id"] for row in rows] == subjects.cases
    assert all(0 < float(row["best_dice"]) < 1 and float(row["label_ml"]) > 1 for row in rows)


REFUSED = {  # options, what is said
    "4d without names": (
        {"image": "volumes.nii.gz"},
        r"error: .*volumes.nii.gz.*holds 3 volumes.*Name the volumes.*--channels",
    ),
    "unknown name of a volume": (
        {"image": "volumes.nii.gz", "channels": "['flair','t1','t1c']"},
        r"error: --channels \['flair', 't1', 't1c'\]: a list with a name for each volume, of t1, ",
    ),
    "unknown file": (
        {"t1": "slice_t1.nii.gz", "t2": "slice_t1.nii.gz"},
        r"error: --t2 FILE: not one of the sequences in use \(t1\)",
    ),
    "unknown sequence": (
        {"image": "slice_t1.nii.gz", "sequence": "t2"},
        "the weights do not know t2, only t1, t1ce, flair",
    ),
    "two sources": (
        {"flair": "slice_flair.nii.gz", "image": "slice_flair.nii.gz"},
        "error: pass the sequences of one brain .*; --flair and --image given",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_computed(tsgm, subjects, calibration_file, name, tmp_path):
    options, message = REFUSED[name]
    given = {**options, "calibration_file": calibration_file, "output_dir": tmp_path}
    done = tsgm.run("inference.json", given, cwd=subjects.folder)
    assert done.returncode not in (0, 2)
    assert re.search(message, done.stderr), done.stderr
    assert not list(tmp_path.glob("*.nii.gz"))


@pytest.fixture(scope="module")
def calibration_file(tmp_path_factory) -> Path:
    """A threshold for any weights."""
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    Calibration(0.5, "made up", 0.02, {"0.02": 0.5}, [0.02], ["case"], "").save(path)
    return path


def test_workflows_have_all_properties_that_monai_asks_for(tsgm, subjects, calibration_file, tmp_path):
    inference = {**subjects.slices, "calibration_file": calibration_file, "output_dir": tmp_path}
    training = {"datalist": subjects.folder / "split.json", "output_dir": tmp_path, "ckpt_dir": tmp_path}
    assert tsgm.missing_properties(inference, training) == {"infer": [], "train": []}
