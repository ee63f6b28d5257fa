"""The job that trains a bundle at several sites: its files, its errors, and (slow) two rounds by FLARE's simulator."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import torch

from shared.simulation import phantom_tibia
from tools import federated_job
from tools.environment import FLARE, ROOT, environment_python

MACDM = ROOT / "bundles" / "tibia_radiograph_synthesis_macdm"


def test_a_job_has_one_app_for_the_server_and_one_with_its_own_data_for_each_site(tmp_path):
    sites = ["--site", "a=/data/a", "--site", "b=/data/b"]
    options = ["--rounds", "3", "--local_epochs", "2", "--", "--size", "32", "--amp", "false", "--weights", "[1, 1, 1]"]
    options += ["--output_dir", "20240115", "--resume", "no"]
    assert federated_job.main([str(MACDM), str(tmp_path / "job"), *sites, *options]) == 0
    meta = json.loads((tmp_path / "job" / "meta.json").read_text())
    assert meta["deploy_map"] == {"app_server": ["server"], "app_a": ["a"], "app_b": ["b"]}
    server = json.loads((tmp_path / "job" / "app_server" / "config" / "config_fed_server.json").read_text())
    assert server["workflows"][0]["args"]["num_rounds"] == 3
    assert server["workflows"][0]["args"]["min_clients"] == meta["min_clients"] == 2
    for site in "ab":
        client = json.loads((tmp_path / "job" / f"app_{site}" / "config" / "config_fed_client.json").read_text())
        algorithm = client["components"][0]["args"]
        assert algorithm["local_epochs"] == 2 and algorithm["bundle_root"] == str(MACDM)
        given = algorithm["train_kwargs"]
        assert (given["dataset_dir"], given["size"], given["amp"]) == (f"/data/{site}", 32, False)
        assert (given["output_dir"], given["resume"]) == ("20240115", False), "text stays text"
        assert given["weights"] == [1, 1, 1] and algorithm["eval_kwargs"] == given


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere", "job", "--site", "a=/a"], "nowhere has no configs/train.json"),
        ([str(MACDM), ".", "--site", "a=/a"], r"\. exists: name a new folder"),
        ([str(MACDM), "job", "--site", "a=/a", "--initial_weights", "models/none.pt"], "none.pt is not there"),
        ([str(MACDM), "job", "--site", "a=/a", "--", "--size"], "write '--key value' after '--', not --size"),
    ],
)
def test_what_cannot_be_a_job_is_said_and_nothing_is_written(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert federated_job.main(words) == 1
    assert re.search(says, capsys.readouterr().err) and not (tmp_path / "job").exists()


@pytest.mark.parametrize("site", ["a", "server=/data", "../a=/data"])
def test_a_site_is_a_name_and_a_folder(site, capsys):
    with pytest.raises(SystemExit):
        federated_job.main([str(MACDM), "job", "--site", site])
    assert "write name=folder" in capsys.readouterr().err


@pytest.mark.slow
def test_two_rounds_of_two_sites_lower_the_validation_loss_of_the_weights_they_share(tmp_path):
    python = environment_python(wanted=FLARE)
    words = [str(MACDM), str(tmp_path / "job"), "--rounds", "2", "--initial_weights", "models/model.pt"]
    for site in ("hospital_a", "hospital_b"):
        phantom_tibia.write_dataset(tmp_path / site, 8, (None, "corner"), 48, seed=0)
        words += ["--site", f"{site}={tmp_path / site}"]
    small = {"size": 32, "samples_per_epoch": 4, "batch_size": 2, "val_noises": 1}
    out = {"ckpt_dir": tmp_path / "out", "output_dir": tmp_path / "out"}
    assert federated_job.main([*words, "--", *(str(w) for k, v in (small | out).items() for w in (f"--{k}", v))]) == 0
    flare = [
        str(Path(python).parent / "nvflare"),
        "simulator",
        str(tmp_path / "job"),
        "-w",
        str(tmp_path / "workspace"),
    ]
    done = subprocess.run(
        [*flare, "-n", "2", "-c", "hospital_a,hospital_b"],
        env={**os.environ, "PYTHONPATH": str(MACDM), "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0 and log.count("ACCEPTED by the aggregator") == 4, log[-3000:]
    losses = [float(value) for value in re.findall(r"val_loss best value: ([\d.]+)", log)]  # a, b, a, b
    assert len(losses) == 4 and max(losses[2:]) < min(losses[:2])
    model = tmp_path / "workspace" / "server" / "simulate_job" / "app_server" / "FL_global_model.pt"
    shared = torch.load(model, weights_only=True)["model"]
    delivered = torch.load(MACDM / "models" / "model.pt", weights_only=True)
    assert sorted(shared) == sorted(delivered)
    assert 0 < max(float((shared[k].float() - delivered[k].float()).abs().max()) for k in delivered) < 0.1
