"""IterMask3D through the real command: what training learns, calibration, evaluation."""

from __future__ import annotations

import json
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from shared.runs.weights import sha256
from tests.helpers.run_outputs import number, scalars, table
from tests.helpers.tiny_trainings import EPOCHS
from tests.helpers.whole_trainings import Whole

TINY = {"spacing": "[4,4,4]", "box": "[48,48,48]", "network_def#width": 2}


@pytest.fixture(scope="module")
def trained(whole) -> Whole:
    """One of its cases has to be left out."""
    return whole("itermask3d")


def test_a_broken_file_is_named_and_the_others_train(trained):
    assert "4 of 5 cases done, left out" in trained.log
    assert "broken: is no .nii.gz: not gzip-compressed. Convert it to NIfTI, or rename it" in trained.log


def test_losses_fall(trained):
    """Within the first epochs: what is learnt is the mean intensity of brain and background."""
    loss, validation = scalars(trained.out, "train_loss"), scalars(trained.out, "val_mse")
    assert len(loss) == 2 * EPOCHS and len(validation) == EPOCHS // 2
    assert np.mean(loss[-2:]) < 0.95 * np.mean(loss[:2])
    assert validation[0] > validation[1] > validation[2]


@pytest.fixture(scope="module")
def applied(itermask3d, trained, tmp_path_factory) -> dict[str, Any]:
    """Options of an inference with the trained weights, and the calibration that was fitted for them."""
    folder = tmp_path_factory.mktemp("applied")
    options = {**TINY, "datalist": trained.data / "datalist.json", "weights": trained.out / "model.pt"}
    options["calibration_file"] = folder / "calibration.json"
    done = itermask3d.run("inference.json calibrate.json", {**options, "output_dir": folder / "calibrate"})
    assert done.returncode == 0, done.stderr
    assert not (folder / "calibrate").exists()  # no maps, no report
    return options


def test_calibration_leaves_two_in_a_thousand_healthy_voxels_above_the_threshold(applied, trained):
    stored = json.loads(applied["calibration_file"].read_text())
    assert stored["cases"] == ["validation4", "validation5"]
    assert stored["weights_sha256"] == sha256(trained.out / "model.pt")
    assert stored["threshold"] == stored["thresholds"]["0.002"]
    thresholds = [stored["thresholds"][rate] for rate in ("0.05", "0.02", "0.01", "0.002", "0.001")]
    assert thresholds == sorted(thresholds) and thresholds[0] > 0
    assert np.mean(stored["healthy_scores"]) == pytest.approx(0.002, abs=1e-4)


def test_evaluation_measures_labelled_and_healthy_cases(itermask3d, trained, applied, tmp_path):
    done = itermask3d.run("inference.json evaluate.json", {**applied, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    assert {f.name for f in tmp_path.iterdir()} == {"metrics.csv", "metrics_summary.csv"}

    tumour, healthy = table(tmp_path / "metrics.csv")
    assert (tumour["case_id"], tumour["group"]) == ("tumour6", "tumour")
    assert (healthy["case_id"], healthy["group"]) == ("healthy7", "healthy")
    label = nib.load(trained.data / "tumour6_label.nii.gz").get_fdata()
    assert float(tumour["label_ml"]) == pytest.approx(label.sum() * 4**3 / 1000)
    assert 0 <= float(tumour["dice"]) <= float(tumour["best_dice"]) <= 1
    assert float(healthy["label_ml"]) == 0
    assert float(healthy["false_positive_ml"]) == pytest.approx(float(healthy["volume_ml"]))
    rows = table(tmp_path / "metrics_summary.csv")
    summary = {(row["group"], row["metric"]): number(row["estimate"]) for row in rows}
    assert summary["tumour", "dice"] == pytest.approx(float(tumour["dice"]))
    assert summary["tumour", "detection_auroc"] == (float(tumour["score"]) > float(healthy["score"]))
