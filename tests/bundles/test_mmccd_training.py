"""MMCCD through the real command: what training learns, calibration, evaluation."""

from __future__ import annotations

import json
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from shared.runs.weights import sha256
from tests.helpers.run_outputs import number, scalars, table
from tests.helpers.tiny_data import UNET, within
from tests.helpers.tiny_trainings import EPOCHS
from tests.helpers.whole_trainings import Whole

NETWORK = {"pixel_mm": 8, **within("unet", {"width": 4, **UNET})}


@pytest.fixture(scope="module")
def trained(whole) -> Whole:
    """One of its cases has to be left out."""
    return whole("mmccd")


def test_case_that_lacks_a_sequence_is_named_and_the_others_train(trained):
    assert "4 of 5 cases done, left out" in trained.log
    assert "only_flair: has no 't1' (it has flair). Add it to the datalist, each case needs its t1" in trained.log
    assert len(scalars(trained.out, "train_loss")) == 2 * EPOCHS


def test_cases_with_and_without_a_label_train_together(trained):
    first, second, *_ = json.loads((trained.data / "datalist.json").read_text())["training"]
    assert "label" in first and "label" not in second


def test_losses_fall_and_add_up(trained):
    """Within the first epochs: what is learnt is little more than the mean of brain and background."""
    total, f, g = (scalars(trained.out, f"val_{name}") for name in ("loss", "f", "g"))
    assert len(total) == EPOCHS // 2 and total[0] > total[1] > total[2]
    assert np.allclose(np.add(f, g), total, rtol=1e-4)
    assert min(f) > 0 and min(g) > 0


@pytest.fixture(scope="module")
def applied(mmccd, trained, tmp_path_factory) -> dict[str, Any]:
    """Options of an inference with the trained weights, and the calibration that was fitted for them."""
    folder = tmp_path_factory.mktemp("applied")
    options = {**NETWORK, "datalist": trained.data / "datalist.json", "weights": trained.out / "model.pt"}
    options["calibration_file"] = folder / "calibration.json"
    done = mmccd.run("inference.json calibrate.json", {**options, "output_dir": folder / "calibrate"})
    assert done.returncode == 0, done.stderr
    assert not (folder / "calibrate").exists()  # no maps, no report
    return options


def test_calibration_leaves_two_percent_of_healthy_tissue_above_the_threshold(applied, trained):
    stored = json.loads(applied["calibration_file"].read_text())
    assert stored["cases"] == ["validation4", "validation5"]
    assert stored["weights_sha256"] == sha256(trained.out / "model.pt")
    assert stored["threshold"] == stored["thresholds"]["0.02"] > 0
    assert np.mean(stored["healthy_scores"]) == pytest.approx(0.02, abs=1e-3)


def test_evaluation_measures_labelled_and_healthy_cases(mmccd, trained, applied, tmp_path):
    done = mmccd.run("inference.json evaluate.json", {**applied, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    tables = {"metrics.csv", "metrics_summary.csv", "false_positives_by_height.csv"}
    assert {f.name for f in tmp_path.iterdir()} == tables

    tumour, healthy = table(tmp_path / "metrics.csv")
    assert (tumour["case_id"], tumour["group"]) == ("tumour6", "tumour")
    assert (healthy["case_id"], healthy["group"]) == ("healthy7", "healthy")
    label = nib.load(trained.data / "tumour6_label.nii.gz").get_fdata()
    assert float(tumour["label_ml"]) == pytest.approx(label.sum() * 4**3 / 1000)
    assert int(tumour["lesion_slices"]) == label.any(axis=(0, 1)).sum() and int(healthy["lesion_slices"]) == 0
    assert 0 <= float(tumour["dice"]) <= 1 and 0 < float(tumour["best_dice"]) <= 1
    assert float(healthy["label_ml"]) == 0

    heights = table(tmp_path / "false_positives_by_height.csv")
    assert [int(row["tenth"]) for row in heights] == list(range(1, 11))
    assert all(0 <= float(row["estimate"]) <= 1 and 1 <= int(row["cases"]) <= 2 for row in heights)
    rows = table(tmp_path / "metrics_summary.csv")
    summary = {(row["group"], row["metric"]): number(row["estimate"]) for row in rows}
    assert summary["tumour", "dice"] == pytest.approx(float(tumour["dice"]))
    assert summary["tumour", "detection_auroc"] == (float(tumour["score"]) > float(healthy["score"]))
