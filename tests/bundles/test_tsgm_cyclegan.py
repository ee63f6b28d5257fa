"""The first stage of TSGM through the real command: what training leaves behind, exact resume, several processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.methods.tsgm.cyclegan import CycleGAN
from shared.runs.weights import load_weights
from tests.helpers.bundle import tumours_and_healthy
from tests.helpers.run_outputs import assert_same_end, differences, halved, load, scalars

SEQUENCES = ("t1", "t1ce", "flair")
EPOCHS = 4
PAIRS = 6
TINY = {
    "pixel_mm": 4,
    "generator#width": 4,
    "generator#blocks": 1,
    "max_epochs": EPOCHS,
    "pairs_per_epoch": PAIRS,
    "batch_size": 2,
    "pool_size": 3,
}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory) -> Path:
    """In each section a phantom with a tumour and one without."""
    folder = tmp_path_factory.mktemp("phantoms")
    path = folder / "datalist.json"
    path.write_text(json.dumps(tumours_and_healthy(folder, SEQUENCES, spacing=4.0)))
    return path


def training(datalist: Path, out: Path, **more: Any) -> dict[str, Any]:
    return {**TINY, "datalist": datalist, "ckpt_dir": out, "output_dir": out, **more}


@pytest.fixture(scope="module")
def trained(tsgm, datalist, tmp_path_factory) -> Path:
    """Folder of a whole run without interruption."""
    out = tmp_path_factory.mktemp("trained")
    done = tsgm.run("train_cyclegan.json", training(datalist, out))
    assert done.returncode == 0, done.stderr
    return out


def test_weights_are_the_last_ones_of_the_generators_in_half_precision(trained):
    weights, state = load(trained / "model.pt"), load(trained / "checkpoint.pt")["network"]
    network = CycleGAN(channels=3, width=4, blocks=1, residual=True)
    generators = load_weights(network.generators, trained / "model.pt")
    assert {v.dtype for v in weights.values()} == {torch.float16}
    assert not differences(weights, halved({k: state[f"generators.{k}"] for k in weights}))
    assert all(generator.last.weight.any() for generator in generators.values()), "they have learnt"


def test_losses_are_logged_and_add_up_as_configured(trained, tsgm):
    names = ("loss", "adversarial", "cycle", "identity", "discriminator")
    losses = {name: np.array(scalars(trained, name)) for name in names}
    assert {len(values) for values in losses.values()} == {EPOCHS * PAIRS // 2}
    weight = {name: tsgm.config("train_cyclegan.json")[f"{name}_weight"] for name in ("cycle", "identity")}
    total = losses["adversarial"] + sum(weight[name] * losses[name] for name in weight)
    np.testing.assert_allclose(losses["loss"], total, rtol=1e-5)
    for name in weight:
        assert losses[name][0] == 0 and losses[name][1:].all(), "training starts at the identity"


def test_state_is_that_after_the_last_epoch(trained):
    state = load(trained / "checkpoint.pt")
    assert (state["trainer"]["iteration"], state["trainer"]["epoch_length"]) == (EPOCHS * PAIRS // 2, PAIRS // 2)
    for name in ("", "discriminator_"):
        assert state[f"{name}lr_scheduler"]["last_epoch"] == EPOCHS
        assert state[f"{name}optimizer"]["param_groups"][0]["lr"] == 0
    for name in ("healthy_pool", "tumor_pool"):
        assert state[name]["seen"] == EPOCHS * PAIRS and state[name]["images"].shape == (3, 3, 48, 64)
    assert differences(state["healthy_pool"]["images"], state["tumor_pool"]["images"])


def test_samples_show_slices_before_and_after_each_generator(trained):
    """4 pairs of 3 sequences, 6 columns of slices of 48 x 64 pixels."""
    grid = np.asarray(Image.open(trained / "samples.png"), dtype=int)
    assert grid.shape == (12 * 64, 6 * 48)
    columns = grid.reshape(12, 64, 6, 48).transpose(2, 0, 1, 3)
    for real, fake, change in (columns[:3], columns[3:]):
        assert real[:, 16:48, 12:36].mean() > 50 and (real[:, 0] == 0).all(), "a brain on black"
        unclipped = (real < 255) & (fake > 0) & (fake < 255)
        assert np.abs(change - 127.5 - (fake - real))[unclipped].max() <= 2
    assert list((trained / "samples").iterdir())


def test_killed_and_resumed_training_ends_at_the_same_weights(tsgm, datalist, trained, tmp_path):
    """Killed without warning once a checkpoint is there; with two workers until then, against none."""
    options = training(datalist, tmp_path)
    started = {**options, "num_workers": 2}
    tsgm.run_until(tmp_path / "checkpoint.pt", "train_cyclegan.json", started, tmp_path / "killed.log")
    assert 1 <= load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"] < EPOCHS

    done = tsgm.run("train_cyclegan.json", {**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(trained, tmp_path)


@pytest.mark.slow
def test_two_processes_train_together_from_another_folder(tsgm, datalist, tmp_path):
    """Each writes its networks at the end; all else comes from the first alone."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"+finalize": [f"$torch.save(@network.state_dict(), '{tmp_path}/%d.pt' % @rank)"]}))
    options = training(datalist, out, max_epochs=2, pairs_per_epoch=8)
    tsgm.train_in_two_processes(options, elsewhere, f"train_cyclegan.json multi_gpu_train_cyclegan.json {report}")

    states, last = [load(tmp_path / f"{rank}.pt") for rank in (0, 1)], load(out / "checkpoint.pt")
    assert not differences(*states) and not differences(states[0], last["network"])
    assert last["trainer"]["iteration"] == 4  # 8 pairs an epoch, 2 at a time in each of 2 processes
    assert load_weights(CycleGAN(3, 4, 1, residual=True).generators, out / "model.pt")
    names = sorted(f.name.split(".tfevents.")[0] for f in out.iterdir())
    assert names == ["checkpoint.pt", "events.out", "model.pt", "samples", "samples.png"]
    assert len(list((out / "samples").iterdir())) == 2, "one log an epoch"
