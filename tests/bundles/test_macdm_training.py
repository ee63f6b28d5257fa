"""Denoiser and noisy classifier of MaC-DM through the real command: what training leaves behind, exact resume."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.diffusion.noise_levels import linear_alphas_cumprod
from shared.diffusion.noisy_classifier import NoisyClassifier
from shared.diffusion.unet import DiffusionUNet
from shared.diffusion.velocity import VelocityNetwork
from shared.runs.weights import load_weights
from shared.simulation.phantom_tibia import write_dataset
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import assert_same_end, differences, halved, load, scalars

EPOCHS, BATCHES = 4, 2  # batches an epoch, of 4 of the 8 cases
SIZE = 32
NET = {"width": 16, "multipliers": [1, 2], "attention_levels": [1]}
TINY = {
    "size": SIZE,
    **{f"unet#{key}": value for key, value in NET.items()},
    "max_epochs": EPOCHS,
    "samples_per_epoch": 8,
    "batch_size": 4,
    "val_interval": 2,
    "learning_rate": 0.01,
    "ema_momentum": 0.2,
    "val_noises": 2,
}
TINY_CLASSIFIER = {**TINY, **{f"classifier#{key}": value for key, value in NET.items()}}
CONFIGS = {"denoiser": "train.json", "classifier": "train.json train_classifier.json"}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """Eight radiographs to train on and four to validate; in ``faulty`` there are three more, none of any use."""
    folder = tmp_path_factory.mktemp("radiographs")
    lists = {}
    for section, cases, seed in (("training", 8, 0), ("validation", 4, 100)):
        write_dataset(folder / section, cases, (None, "corner"), size=48, seed=seed, section=section)
        listed = json.loads((folder / section / "datalist.json").read_text())[section]
        files = ("image", "tibia_mask", "lesion_mask")
        lists[section] = [{**case, **{key: f"{section}/{case[key]}" for key in files}} for case in listed]
    (folder / "list.json").write_text(json.dumps(lists))
    normal, fracture = lists["training"][:2]
    Image.new("L", (48, 48)).save(folder / "empty.png")
    lists["training"] = [
        {**fracture, "case_id": "contradiction", "class_label": 0},
        {**normal, "case_id": "no_tibia", "tibia_mask": "empty.png"},
        {key: value for key, value in {**normal, "case_id": "no_class"}.items() if key != "class_label"},
        *lists["training"],
    ]
    (folder / "faulty.json").write_text(json.dumps(lists))
    return SimpleNamespace(good=folder / "list.json", faulty=folder / "faulty.json")


def training(given: SimpleNamespace, kind: str, out: Path, faulty: bool = False, **more: Any) -> dict[str, Any]:
    tiny = TINY if kind == "denoiser" else TINY_CLASSIFIER
    return {**tiny, "datalist": given.faulty if faulty else given.good, "ckpt_dir": out, "output_dir": out, **more}


@pytest.fixture(scope="module", params=CONFIGS)
def trained(request, macdm: Bundle, given, tmp_path_factory) -> SimpleNamespace:
    """A whole run without interruption, three of whose cases have to be left out."""
    kind, out = request.param, tmp_path_factory.mktemp(request.param)
    done = macdm.run(CONFIGS[kind], training(given, kind, out, faulty=True))
    assert done.returncode == 2, done.stderr
    return SimpleNamespace(kind=kind, out=out, log=done.stdout)


def unet(channels: int) -> DiffusionUNet:
    return DiffusionUNet(3, 2 * channels, **NET, blocks=1, dropout=0.1, patch=2)


def network_of(kind: str) -> torch.nn.Module:
    if kind == "denoiser":
        return VelocityNetwork(unet(3), linear_alphas_cumprod(), [1.0] * 3)
    return NoisyClassifier(3, **NET, blocks=1, dropout=0.3, patch=2, batch_norm=True)


def test_bad_cases_are_named_with_a_remedy_and_the_others_train(trained):
    assert "8 of 11 cases done, left out" in trained.log
    assert "contradiction: shows a lesion of" in trained.log and "Mend the class_label" in trained.log
    assert "no_tibia: is empty. Outline what it is to show" in trained.log
    assert "no_class: has no class. Say 0 (normal) or 1 (fracture) in the datalist" in trained.log
    losses = scalars(trained.out, "train_loss")
    assert len(losses) == EPOCHS * BATCHES and np.isfinite(losses).all()


def test_weights_are_the_best_ones_of_the_average_in_half_precision(trained):
    weights, state = load(trained.out / "model.pt"), load(trained.out / "checkpoint.pt")
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float16}
    losses = scalars(trained.out, "val_loss")
    assert len(losses) == EPOCHS // 2 and state["best"]["best"] == pytest.approx(min(losses), rel=1e-5)
    assert bool(differences(weights, halved(state["ema"]))) == (losses[0] <= losses[1]), "the last are not the best"
    assert differences(state["ema"], state["network"])  # the averaged weights, not those of the last step
    load_weights(network_of(trained.kind), trained.out / "model.pt")


def test_killed_and_resumed_training_ends_at_the_same_weights(macdm, given, trained, tmp_path):
    """Killed without warning once a checkpoint is there; with two workers until then; without the faulty case."""
    options, configs = training(given, trained.kind, tmp_path), CONFIGS[trained.kind]
    macdm.run_until(tmp_path / "checkpoint.pt", configs, {**options, "num_workers": 2}, tmp_path / "killed.log")
    assert 1 <= load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"] < EPOCHS

    done = macdm.run(configs, {**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(trained.out, tmp_path)


@pytest.mark.parametrize(
    "form, channels", [({"masks_given": True}, 1), ({"weight_mode": "input"}, 3), ({"velocity": False}, 3)]
)
def test_other_forms_of_state_and_loss_are_trained_too(macdm, given, tmp_path, form, channels):
    options = training(given, "denoiser", tmp_path, max_epochs=1, val_interval=1)
    done = macdm.run("train.json", {**options, **form})
    assert done.returncode == 0, done.stderr
    network = unet(channels)
    if form.get("velocity", True):
        network = VelocityNetwork(network, linear_alphas_cumprod(), [1.0] * channels)
    load_weights(network, tmp_path / "model.pt")


def test_one_class_only_is_refused_with_a_remedy(macdm, given, tmp_path):
    lists = json.loads(given.good.read_text())
    lists["training"] = [case for case in lists["training"] if case["class_label"] == 0]
    one_class = given.good.with_name("one_class.json")
    one_class.write_text(json.dumps(lists))
    done = macdm.run("train.json", {**training(given, "denoiser", tmp_path), "datalist": one_class})
    assert done.returncode == 1
    assert "all 4 usable cases are of class 0 (normal); add cases of class_label 1 (fracture)" in done.stderr
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_two_processes_train_together_from_another_folder(macdm, given, kind, tmp_path):
    """Each writes its parameters at the end (batch statistics are its own); all else comes from the first alone."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = tmp_path / "report.json"
    written = f"$torch.save(dict(@network.named_parameters()), '{tmp_path}/%d.pt' % @rank)"
    report.write_text(json.dumps({"+finalize": [written]}))
    options = training(given, kind, out, max_epochs=2, batch_size=2)
    macdm.train_in_two_processes(options, elsewhere, f"{CONFIGS[kind]} multi_gpu_train.json {report}")

    states, last = [load(tmp_path / f"{rank}.pt") for rank in (0, 1)], load(out / "checkpoint.pt")
    assert not differences(*states) and not differences(states[0], {k: last["network"][k] for k in states[0]})
    assert last["trainer"]["iteration"] == 4  # 8 cases an epoch, 2 at a time in each of 2 processes
    assert load(out / "model.pt")
