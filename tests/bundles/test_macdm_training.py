"""Denoiser and noisy classifier of MaC-DM through the real command: what is trained, other forms, bad cases."""

from __future__ import annotations

import json

import pytest
import torch

from shared.diffusion.noise_levels import linear_alphas_cumprod
from shared.diffusion.noisy_classifier import NoisyClassifier
from shared.diffusion.unet import DiffusionUNet, UNetShape
from shared.diffusion.velocity import VelocityNetwork
from shared.runs.weights import load_weights
from tests.helpers.tiny_data import UNET
from tests.helpers.whole_trainings import Whole

NET = {"width": 16, **UNET}


@pytest.fixture(scope="module")
def denoiser(whole) -> Whole:
    return whole("macdm denoiser")


def unet(channels: int) -> DiffusionUNet:
    return DiffusionUNet(3, 2 * channels, UNetShape(**NET, blocks=1, dropout=0.1, patch=2))


def network_of(kind: str) -> torch.nn.Module:
    if kind == "denoiser":
        return VelocityNetwork(unet(3), linear_alphas_cumprod(), [1.0] * 3)
    return NoisyClassifier(3, shape=UNetShape(**NET, blocks=1, dropout=0.3, patch=2, batch_norm=True))


@pytest.mark.parametrize("kind", ["denoiser", "classifier"])
def test_bad_cases_are_named_with_a_remedy_and_the_others_train(whole, kind):
    trained = whole(f"macdm {kind}")
    assert "8 of 11 cases done, left out" in trained.log
    assert "contradiction: shows a lesion of" in trained.log and "Mend the class_label" in trained.log
    assert "no_tibia: is empty. Outline what it is to show" in trained.log
    assert "no_class: has no class. Say 0 (normal) or 1 (fracture) in the datalist" in trained.log
    load_weights(network_of(kind), trained.out / "model.pt")


@pytest.mark.parametrize(
    "form, channels", [({"masks_given": True}, 1), ({"weight_mode": "input"}, 3), ({"velocity": False}, 3)]
)
def test_other_forms_of_state_and_loss_are_trained_too(macdm, denoiser, tmp_path, form, channels):
    done = macdm.run("train.json", denoiser.options(tmp_path, max_epochs=1, val_interval=1, **form))
    assert done.returncode == 0, done.stderr
    network = unet(channels)
    if form.get("velocity", True):
        network = VelocityNetwork(network, linear_alphas_cumprod(), [1.0] * channels)
    load_weights(network, tmp_path / "model.pt")


def test_one_class_only_is_refused_with_a_remedy(macdm, denoiser, tmp_path):
    lists = json.loads((denoiser.data / "datalist.json").read_text())
    normals = [case for case in lists["training"] if case["class_label"] == 0]
    files = ("image", "tibia_mask", "lesion_mask")
    normals = [{**case, **{key: str(denoiser.data / case[key]) for key in files}} for case in normals]
    one_class = tmp_path / "one_class.json"
    one_class.write_text(json.dumps({"training": normals, "validation": []}))
    done = macdm.run("train.json", denoiser.options(tmp_path, datalist=one_class))
    assert done.returncode == 1
    assert "all 4 usable cases are of class 0 (normal); add cases of class_label 1 (fracture)" in done.stderr
    assert not list(tmp_path.glob("*.pt"))
