"""IterMask3D through the real command: training, exact resume, several processes, calibration, evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from shared.runs.weights import sha256
from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.run_outputs import assert_same_end, differences, halved, load, scalars, table

TINY = {"spacing": "[4,4,4]", "box": "[48,48,48]", "network_def#width": 2}
EPOCHS = 6


@pytest.fixture(scope="module")
def datalist(tmp_path_factory) -> Path:
    """4 healthy phantoms to train, 2 to validate; a tumour and a healthy one to test."""
    folder = tmp_path_factory.mktemp("phantoms")

    def written(name: str, seed: int, lesion: str | None = None) -> dict[str, str]:
        return write_phantom(make_phantom(seed, lesion, ("t1",), spacing=4.0), folder, name)

    sections = {
        "training": [written(f"training{seed}", seed) for seed in range(4)],
        "validation": [written(f"validation{seed}", seed) for seed in (4, 5)],
        "test": [
            {**written("tumour6", 6, "tumour"), "group": "tumour"},
            {**written("healthy7", 7), "group": "healthy"},
        ],
    }
    path = folder / "datalist.json"
    path.write_text(json.dumps(sections))
    return path


def training(datalist: Path, out: Path, **more: Any) -> dict[str, Any]:
    folders = {"dataset_dir": datalist.parent, "ckpt_dir": out, "output_dir": out}
    return {**TINY, **folders, "max_epochs": EPOCHS, "num_workers": 0, **more}


@pytest.fixture(scope="module")
def trained(itermask3d, datalist, tmp_path_factory) -> Path:
    """Folder of a whole run without interruption."""
    out = tmp_path_factory.mktemp("trained")
    done = itermask3d.run("train.json", training(datalist, out))
    assert done.returncode == 0, done.stderr
    return out


def test_losses_fall(trained):
    """Within the first epochs: what is learnt is the mean intensity of brain and background."""
    loss, validation = scalars(trained, "train_loss"), scalars(trained, "val_mse")
    assert len(loss) == 2 * EPOCHS and len(validation) == EPOCHS // 2
    assert np.mean(loss[-2:]) < 0.95 * np.mean(loss[:2])
    assert validation[0] > validation[1] > validation[2]


def test_weights_are_the_best_ones_in_half_precision(trained):
    weights, state = load(trained / "model.pt"), load(trained / "checkpoint.pt")
    assert all(v.dtype == torch.float16 for v in weights.values() if v.is_floating_point())
    assert state["best"]["best"] == pytest.approx(min(scalars(trained, "val_mse")), rel=1e-5)
    assert not differences(weights, halved(state["ema"]))
    assert differences(state["ema"], state["network"])  # the averaged weights, not the last ones


def test_killed_and_resumed_training_ends_at_the_same_weights(itermask3d, datalist, trained, tmp_path):
    """Killed without warning once a checkpoint is there; with two workers, against none."""
    options = training(datalist, tmp_path, num_workers=2)
    itermask3d.run_until(tmp_path / "checkpoint.pt", "train.json", options, tmp_path / "killed.log")
    assert 1 <= load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"] < EPOCHS

    done = itermask3d.run("train.json", {**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(trained, tmp_path)


def test_resume_without_a_checkpoint_is_an_error(itermask3d, datalist, tmp_path):
    done = itermask3d.run("train.json", training(datalist, tmp_path, resume=True))
    assert done.returncode != 0
    assert f"{tmp_path / 'checkpoint.pt'}: no checkpoint to resume from. Start without --resume." in done.stderr
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.slow
def test_number_of_workers_does_not_matter(itermask3d, datalist, trained, tmp_path):
    done = itermask3d.run("train.json", training(datalist, tmp_path, num_workers=2))
    assert done.returncode == 0, done.stderr
    assert_same_end(trained, tmp_path)


@pytest.mark.slow
def test_two_processes_train_together_from_another_folder(itermask3d, datalist, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    itermask3d.train_in_two_processes(training(datalist, out, max_epochs=2), cwd=elsewhere)
    assert {"model.pt", "checkpoint.pt"} <= {f.name for f in out.iterdir()}
    assert load(out / "checkpoint.pt")["trainer"]["iteration"] == 2  # 4 cases, 2 at a time in each of 2 processes


@pytest.fixture(scope="module")
def calibrated(itermask3d, datalist, trained) -> Path:
    """The calibration file that belongs to the trained weights."""
    path = trained / "calibration.json"
    options = {**TINY, "datalist": datalist, "weights": trained / "model.pt", "calibration_file": path}
    done = itermask3d.run("inference.json calibrate.json", {**options, "output_dir": trained / "calibrate"})
    assert done.returncode == 0, done.stderr
    assert not (trained / "calibrate").exists()  # no maps, no report
    return path


def test_calibration_leaves_one_percent_of_healthy_tissue_above_the_threshold(calibrated, trained):
    stored = json.loads(calibrated.read_text())
    assert stored["cases"] == ["validation4", "validation5"]
    assert stored["weights_sha256"] == sha256(trained / "model.pt")
    assert stored["threshold"] == stored["thresholds"]["0.01"]
    thresholds = [stored["thresholds"][rate] for rate in ("0.05", "0.02", "0.01", "0.001")]
    assert thresholds == sorted(thresholds) and thresholds[0] > 0
    assert np.mean(stored["healthy_scores"]) == pytest.approx(0.01, abs=5e-4)


def test_evaluation_measures_labelled_and_healthy_cases(itermask3d, datalist, trained, calibrated, tmp_path):
    options = {**TINY, "datalist": datalist, "weights": trained / "model.pt", "calibration_file": calibrated}
    done = itermask3d.run("inference.json evaluate.json", {**options, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    assert {f.name for f in tmp_path.iterdir()} == {"metrics.csv", "metrics_summary.csv"}

    tumour, healthy = table(tmp_path / "metrics.csv")
    assert (tumour["case_id"], tumour["group"]) == ("tumour6", "tumour")
    assert (healthy["case_id"], healthy["group"]) == ("healthy7", "healthy")
    label = nib.load(datalist.parent / "tumour6_label.nii.gz").get_fdata()
    assert float(tumour["label_ml"]) == pytest.approx(label.sum() * 4**3 / 1000)
    assert 0 <= float(tumour["dice"]) <= float(tumour["best_dice"]) <= 1
    assert float(healthy["label_ml"]) == 0
    assert float(healthy["false_positive_ml"]) == pytest.approx(float(healthy["volume_ml"]))
    summary = {(row["group"], row["metric"]): float(row["estimate"]) for row in table(tmp_path / "metrics_summary.csv")}
    assert summary["tumour", "dice"] == pytest.approx(float(tumour["dice"]))
    assert summary["tumour", "detection_auroc"] == (float(tumour["score"]) > float(healthy["score"]))
