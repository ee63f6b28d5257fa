"""MMCCD through the real command: training, exact resume, several processes, calibration, evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from shared.runs.weights import sha256
from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.run_outputs import assert_same_end, differences, halved, load, scalars, table

NETWORK = {"pixel_mm": 8, "unet#width": 4, "unet#multipliers": "[1,2]", "unet#attention_levels": "[1]"}
TINY = {**NETWORK, "slices_per_case": 2, "cases_per_batch": 2, "learning_rate": 0.01, "ema_momentum": 0.2}
EPOCHS = 6


@pytest.fixture(scope="module")
def datalists(tmp_path_factory) -> SimpleNamespace:
    """4 phantoms to train, one with a tumour, 2 to validate, 2 to test; ``faulty`` has a fifth that lacks its T1."""
    folder = tmp_path_factory.mktemp("phantoms")

    def written(name: str, seed: int, lesion: str | None = None) -> dict[str, str]:
        return write_phantom(make_phantom(seed, lesion, ("flair", "t1"), spacing=4.0), folder, name)

    sections = {
        "training": [written(f"training{seed}", seed, "tumour" if seed == 0 else None) for seed in range(4)],
        "validation": [written(f"validation{seed}", seed) for seed in (4, 5)],
        "test": [
            {**written("tumour6", 6, "tumour"), "group": "tumour"},
            {**written("healthy7", 7), "group": "healthy"},
        ],
    }
    assert "label" in sections["training"][0] and "label" not in sections["training"][1]
    (folder / "datalist.json").write_text(json.dumps(sections))
    lacking = {"case_id": "only_flair", "flair": sections["training"][1]["flair"]}
    sections["training"].insert(2, lacking)
    (folder / "faulty.json").write_text(json.dumps(sections))
    return SimpleNamespace(good=folder / "datalist.json", faulty=folder / "faulty.json")


def training(datalist: Path, out: Path, **more: Any) -> dict[str, Any]:
    folders = {"datalist": datalist, "ckpt_dir": out, "output_dir": out}
    return {**TINY, **folders, "max_epochs": EPOCHS, "val_interval": 2, "num_workers": 0, **more}


@pytest.fixture(scope="module")
def trained(mmccd, datalists, tmp_path_factory) -> SimpleNamespace:
    """A whole run without interruption, one of whose cases has to be left out."""
    out = tmp_path_factory.mktemp("trained")
    done = mmccd.run("train.json", training(datalists.faulty, out))
    assert done.returncode == 2, done.stderr
    return SimpleNamespace(out=out, weights=out / "model.pt", log=done.stdout)


def test_case_that_lacks_a_sequence_is_named_and_the_others_train(trained):
    assert "4 of 5 cases done, left out" in trained.log
    assert "only_flair: has no 't1' (it has flair). Add it to the datalist, each case needs its t1" in trained.log
    assert len(scalars(trained.out, "train_loss")) == 2 * EPOCHS


def test_losses_fall_and_add_up(trained):
    """Within the first epochs: what is learnt is little more than the mean of brain and background."""
    total, f, g = (scalars(trained.out, f"val_{name}") for name in ("loss", "f", "g"))
    assert len(total) == EPOCHS // 2 and total[0] > total[1] > total[2]
    assert np.allclose(np.add(f, g), total, rtol=1e-4)
    assert min(f) > 0 and min(g) > 0


def test_weights_are_the_best_ones_in_half_precision(trained):
    weights, state = load(trained.weights), load(trained.out / "checkpoint.pt")
    assert all(v.dtype == torch.float16 for v in weights.values() if v.is_floating_point())
    assert state["best"]["best"] == pytest.approx(min(scalars(trained.out, "val_loss")), rel=1e-5)
    assert not differences(weights, halved(state["ema"]))
    assert differences(state["ema"], state["network"])  # the averaged weights, not the last ones


def test_killed_and_resumed_training_ends_at_the_same_weights(mmccd, datalists, trained, tmp_path):
    """Killed without warning once a checkpoint is there; with two workers, against none; without the faulty case."""
    options = training(datalists.good, tmp_path, num_workers=2)
    mmccd.run_until(tmp_path / "checkpoint.pt", "train.json", options, tmp_path / "killed.log")
    assert 1 <= load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"] < EPOCHS

    done = mmccd.run("train.json", {**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(trained.out, tmp_path)


@pytest.mark.slow
def test_number_of_workers_does_not_matter(mmccd, datalists, trained, tmp_path):
    done = mmccd.run("train.json", training(datalists.good, tmp_path, num_workers=2))
    assert done.returncode == 0, done.stderr
    assert_same_end(trained.out, tmp_path)


@pytest.mark.slow
def test_two_processes_train_together_from_another_folder(mmccd, datalists, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    mmccd.train_in_two_processes(training(datalists.good, out, max_epochs=2, cases_per_batch=1), cwd=elsewhere)
    assert {"model.pt", "checkpoint.pt"} <= {f.name for f in out.iterdir()}
    assert load(out / "checkpoint.pt")["trainer"]["iteration"] == 4  # 4 cases, 1 at a time in each of 2 processes


@pytest.fixture(scope="module")
def applied(mmccd, datalists, trained) -> dict[str, Any]:
    """Options of an inference with the trained weights, and the calibration that was fitted for them."""
    options = {**NETWORK, "datalist": datalists.good, "weights": trained.weights}
    options["calibration_file"] = trained.out / "calibration.json"
    done = mmccd.run("inference.json calibrate.json", {**options, "output_dir": trained.out / "calibrate"})
    assert done.returncode == 0, done.stderr
    assert not (trained.out / "calibrate").exists()  # no maps, no report
    return options


def test_calibration_leaves_two_percent_of_healthy_tissue_above_the_threshold(applied, trained):
    stored = json.loads(applied["calibration_file"].read_text())
    assert stored["cases"] == ["validation4", "validation5"]
    assert stored["weights_sha256"] == sha256(trained.weights)
    assert stored["threshold"] == stored["thresholds"]["0.02"] > 0
    assert np.mean(stored["healthy_scores"]) == pytest.approx(0.02, abs=1e-3)


def test_evaluation_measures_labelled_and_healthy_cases(mmccd, datalists, applied, tmp_path):
    done = mmccd.run("inference.json evaluate.json", {**applied, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    tables = {"metrics.csv", "metrics_summary.csv", "false_positives_by_height.csv"}
    assert {f.name for f in tmp_path.iterdir()} == tables

    tumour, healthy = table(tmp_path / "metrics.csv")
    assert (tumour["case_id"], tumour["group"]) == ("tumour6", "tumour")
    assert (healthy["case_id"], healthy["group"]) == ("healthy7", "healthy")
    label = nib.load(datalists.good.parent / "tumour6_label.nii.gz").get_fdata()
    assert float(tumour["label_ml"]) == pytest.approx(label.sum() * 4**3 / 1000)
    assert int(tumour["lesion_slices"]) == label.any(axis=(0, 1)).sum() and int(healthy["lesion_slices"]) == 0
    assert 0 <= float(tumour["dice"]) <= 1 and 0 < float(tumour["best_dice"]) <= 1
    assert float(healthy["label_ml"]) == 0

    heights = table(tmp_path / "false_positives_by_height.csv")
    assert [int(row["tenth"]) for row in heights] == list(range(1, 11))
    assert all(0 <= float(row["estimate"]) <= 1 and 1 <= int(row["cases"]) <= 2 for row in heights)
    summary = {(row["group"], row["metric"]): float(row["estimate"]) for row in table(tmp_path / "metrics_summary.csv")}
    assert summary["tumour", "dice"] == pytest.approx(float(tumour["dice"]))
    assert summary["tumour", "detection_auroc"] == (float(tumour["score"]) > float(healthy["score"]))
