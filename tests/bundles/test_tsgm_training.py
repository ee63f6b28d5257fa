"""The second stage of TSGM through the real command: what training leaves behind, exact resume, the paper's form."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from shared.methods.tsgm.conditional import ConditionalDenoiser
from shared.methods.tsgm.cyclegan import CycleGAN
from shared.runs.weights import load_weights, save_half
from tests.helpers.bundle import tumours_and_healthy
from tests.helpers.run_outputs import assert_same_end, differences, halved, load, scalars

SEQUENCES = ("t1", "t1ce", "flair")
EPOCHS = 4
PAIRS = 6
UNET = {"width": 8, "multipliers": [1, 2], "attention_levels": [1]}
GENERATOR = {"width": 4, "blocks": 1}
TINY = {
    "pixel_mm": 4,
    **{f"unet#{k}": v for k, v in UNET.items()},
    **{f"generator#{k}": v for k, v in GENERATOR.items()},
    "max_epochs": EPOCHS,
    "pairs_per_epoch": PAIRS,
    "batch_size": 2,
    "val_pairs": 4,
    "val_interval": 2,
    "learning_rate": 0.01,
    "ema_momentum": 0.2,
}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """In each section a phantom with a tumour and one without; ``faulty`` has one without FLAIR; a tiny CycleGAN."""
    folder = tmp_path_factory.mktemp("phantoms")
    sections = tumours_and_healthy(folder, SEQUENCES, spacing=5.0)
    (folder / "list.json").write_text(json.dumps(sections))
    sections["training"].insert(1, {**sections["training"][1], "case_id": "no_flair"})
    del sections["training"][1]["flair"]
    (folder / "faulty.json").write_text(json.dumps(sections))
    torch.manual_seed(0)
    network = CycleGAN(len(SEQUENCES), residual=True, **GENERATOR)
    save_half(network.generators, folder / "cyclegan.pt")
    return SimpleNamespace(good=folder / "list.json", faulty=folder / "faulty.json", cyclegan=folder / "cyclegan.pt")


def training(given: SimpleNamespace, out: Path, faulty: bool = False, **more: Any) -> dict[str, Any]:
    files = {"datalist": given.faulty if faulty else given.good, "cyclegan_weights": given.cyclegan}
    return {**TINY, **files, "ckpt_dir": out, "output_dir": out, **more}


@pytest.fixture(scope="module")
def denoiser(tsgm):
    """The network of train.json, as small as it is trained here."""

    def build(channels: int) -> ConditionalDenoiser:
        config = tsgm.config("train.json")
        names = [name for name in config["network_def"] if name not in ("_target_", "channels", "unet")]
        return ConditionalDenoiser(channels, {**config["unet"], **UNET}, **{name: config[name] for name in names})

    return build


@pytest.fixture(scope="module")
def trained(tsgm, given, tmp_path_factory) -> SimpleNamespace:
    """A whole run without interruption, one of whose cases has to be left out."""
    out = tmp_path_factory.mktemp("trained")
    done = tsgm.run("train.json", training(given, out, faulty=True))
    assert done.returncode == 2, done.stderr
    return SimpleNamespace(out=out, log=done.stdout)


def test_case_that_lacks_a_sequence_is_named_and_the_others_train(trained):
    assert "2 of 3 cases done, left out" in trained.log
    assert "no_flair: has no 'flair' (it has t1, t1ce). Add it to the datalist, each case needs its" in trained.log
    losses = scalars(trained.out, "train_loss")
    assert len(losses) == EPOCHS * PAIRS // 2 and np.isfinite(losses).all()


def test_weights_are_the_best_ones_of_the_average_in_half_precision(trained, denoiser):
    weights, state = load(trained.out / "model.pt"), load(trained.out / "checkpoint.pt")
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float16}
    losses = scalars(trained.out, "val_loss")
    assert len(losses) == EPOCHS // 2 and state["best"]["best"] == pytest.approx(min(losses), rel=1e-5)
    assert bool(differences(weights, halved(state["ema"]))) == (losses[0] <= losses[1]), "the last are not the best"
    assert differences(state["ema"], state["network"])  # the averaged weights, not those of the last step
    network = load_weights(denoiser(channels=3), trained.out / "model.pt")
    assert network.unet.last[-1].weight.any(), "it has learnt"


def test_state_is_that_after_the_last_epoch(trained):
    state = load(trained.out / "checkpoint.pt")
    assert set(state) == {"network", "ema", "optimizer", "lr_scheduler", "best", "trainer"}
    assert (state["trainer"]["iteration"], state["trainer"]["epoch_length"]) == (EPOCHS * PAIRS // 2, PAIRS // 2)
    assert state["lr_scheduler"]["last_epoch"] == EPOCHS
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-9)


def test_killed_and_resumed_training_ends_at_the_same_weights(tsgm, given, trained, tmp_path):
    """Killed without warning once a checkpoint is there; with two workers until then; without the faulty case."""
    options = training(given, tmp_path)
    started = {**options, "num_workers": 2}
    tsgm.run_until(tmp_path / "checkpoint.pt", "train.json", started, tmp_path / "killed.log")
    assert 1 <= load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"] < EPOCHS

    done = tsgm.run("train.json", {**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(trained.out, tmp_path)


def test_paper_form_is_trained_one_sequence_at_a_time(tsgm, given, denoiser, tmp_path):
    options = training(given, tmp_path, max_epochs=1, pairs_per_epoch=2, val_pairs=2, val_interval=1)
    done = tsgm.run("train.json train_single_channel.json", options)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "checkpoint.pt")["trainer"]["iteration"] == 1
    assert load_weights(denoiser(channels=1), tmp_path / "model.pt").channels == 1


@pytest.mark.slow
def test_two_processes_train_together_from_another_folder(tsgm, given, tmp_path):
    """Each writes its parameters at the end (batch statistics are its own); all else comes from the first alone."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = tmp_path / "report.json"
    written = f"$torch.save(dict(@network.named_parameters()), '{tmp_path}/%d.pt' % @rank)"
    report.write_text(json.dumps({"+finalize": [written]}))
    options = training(given, out, max_epochs=2, pairs_per_epoch=8)
    tsgm.train_in_two_processes(options, elsewhere, f"train.json multi_gpu_train.json {report}")

    states, last = [load(tmp_path / f"{rank}.pt") for rank in (0, 1)], load(out / "checkpoint.pt")
    assert not differences(*states) and not differences(states[0], {k: last["network"][k] for k in states[0]})
    assert last["trainer"]["iteration"] == 4  # 8 pairs an epoch, 2 at a time in each of 2 processes
    assert load(out / "model.pt")
    names = sorted(f.name.split(".tfevents.")[0] for f in out.iterdir())
    assert names == ["checkpoint.pt", "events.out", "events.out", "model.pt"]
