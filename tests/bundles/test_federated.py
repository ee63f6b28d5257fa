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

from tests.helpers.bundle import environment
from tests.helpers.paths import ROOT
from tests.helpers.tiny_data import BUNDLES

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
