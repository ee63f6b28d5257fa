"""Each bundle as a client of federated learning: MonaiAlgo takes global weights, trains a round, returns its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, environment, tumours_and_healthy

from shared.cycle.cyclegan import CycleGAN
from shared.data import phantom_brain, phantom_tibia
from shared.data.weights import save_half

# Two rounds; the second starts from zeros in place of the mean of the clients, so that it shows what it starts from.
ROUNDS = """
import json, sys
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

root, options = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, root)
client = MonaiAlgo(root, send_weight_diff=False, train_kwargs=options, config_evaluate_filename=None)
client.initialize({ExtraItems.CLIENT_NAME: "hospital"})
def parameters(state):
    return {k: torch.as_tensor(v).cpu() for k, v in state.items() if "running" not in k and "num_batches" not in k}
def largest(state):
    return max(float(v.abs().max()) for v in parameters(state).values() if v.is_floating_point())
rounds, weights = [], client.trainer.network.state_dict()
for scale in (1.0, 0.0):
    given = {k: (scale * v if v.is_floating_point() else v).clone() for k, v in weights.items()}
    client.train(ExchangeObject(weights={k: v.numpy() for k, v in given.items()}), {})
    weights = {k: torch.as_tensor(v).cpu() for k, v in client.get_weights({}).weights.items()}
    average = client.train_workflow.parser.get_parsed_content("ema").ema_model.state_dict()
    rounds.append({
        "names": sorted(weights) == sorted(client.trainer.network.state_dict()),
        "moved": largest({k: v - given[k] for k, v in parameters(weights).items()}),
        "size": largest(weights),
        "average": largest(average),
        "steps": client.trainer.state.iteration,
    })
print(json.dumps(rounds))
"""
UNET = {"unet#multipliers": [1, 2], "unet#attention_levels": [1]}


def itermask3d(folder: Path) -> dict[str, Any]:
    phantom_brain.write_dataset(folder, 8, [None], ["t1"], 4.0, seed=0)
    return {"dataset_dir": str(folder), "spacing": [4, 4, 4], "box": [48, 48, 48], "network_def#width": 2}


def mmccd(folder: Path) -> dict[str, Any]:
    phantom_brain.write_dataset(folder, 8, [None], ["flair", "t1"], 4.0, seed=0)
    few = {"slices_per_case": 2, "cases_per_batch": 2}
    return {"datalist": str(folder / "datalist.json"), "pixel_mm": 8, "unet#width": 4, **UNET, **few}


def tsgm(folder: Path) -> dict[str, Any]:
    (folder / "list.json").write_text(json.dumps(tumours_and_healthy(folder, ("t1", "t1ce", "flair"), spacing=5.0)))
    save_half(CycleGAN(3, residual=True, width=4, blocks=1).generators, folder / "cyclegan.pt")
    files = {"datalist": str(folder / "list.json"), "cyclegan_weights": str(folder / "cyclegan.pt")}
    small = {"pixel_mm": 4, "unet#width": 8, **UNET, "generator#width": 4, "generator#blocks": 1}
    return {**files, **small, "pairs_per_epoch": 4, "batch_size": 2, "val_pairs": 2}


def macdm(folder: Path) -> dict[str, Any]:
    phantom_tibia.write_dataset(folder, 8, [None, "corner"], 48, seed=0)
    few = {"samples_per_epoch": 4, "batch_size": 2, "val_noises": 1}
    return {"dataset_dir": str(folder), "size": 32, "unet#width": 16, **UNET, **few}


BUNDLES = {
    "brain_mri_anomaly_itermask3d": itermask3d,
    "brain_mri_anomaly_mmccd": mmccd,
    "brain_mri_anomaly_tsgm": tsgm,
    "tibia_radiograph_synthesis_macdm": macdm,
}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_client_trains_from_the_weights_it_is_given_and_returns_its_own(name: str, tmp_path):
    torch.manual_seed(0)
    prepare: Callable[[Path], dict[str, Any]] = BUNDLES[name]
    (tmp_path / "data").mkdir()
    options = prepare(tmp_path / "data")
    out = {"bundle_root": str(ROOT / "bundles" / name), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    options |= {**out, "num_workers": 0, "val_interval": 1, "learning_rate": 1e-4}
    command = [sys.executable, "-W", "ignore", "-c", ROUNDS, out["bundle_root"], json.dumps(options)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert first["names"] and 0 < first["moved"] < 1 and second["steps"] > first["steps"]
    assert second["size"] < 0.01 < first["size"], "a few steps of 1e-4 from zeros"
    assert second["average"] < 0.01, "the average that is validated starts anew from what the client was given"
