"""A full disk and a device that is not there, through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.simulation.phantom_brain import make_phantom, write_phantom

TINY = {"spacing": "[4,4,4]", "box": "[48,48,48]", "network_def#width": 2}
# No file may grow beyond a size, as if the disk were full.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture(scope="module")
def datalist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    cases = [write_phantom(make_phantom(seed, None, ("t1",), spacing=4.0), folder, f"brain{seed}") for seed in range(3)]
    path = folder / "list.json"
    path.write_text(json.dumps({"training": cases[:1], "validation": cases[1:2], "test": cases[2:]}))
    return path


@pytest.mark.slow
def test_training_on_a_full_disk_keeps_the_last_weights_and_leaves_no_part_of_new_ones(itermask3d, datalist, tmp_path):
    folders = {"datalist": datalist, "ckpt_dir": tmp_path, "output_dir": tmp_path}
    options = {**TINY, **folders, "max_epochs": 1, "val_interval": 1, "num_workers": 0}
    assert itermask3d.run("train.json", options).returncode == 0
    before = {name: (tmp_path / name).read_bytes() for name in ("model.pt", "checkpoint.pt")}
    done = itermask3d.run("train.json", {**options, "seed": 1}, launcher=("-c", LIMITED, "8000"))
    assert done.returncode not in (0, 2) and "File too large" in done.stderr
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_inference_on_a_full_disk_ends_with_an_error(itermask3d, datalist, tmp_path):
    options = {**TINY, "network_def#width": 8, "datalist": datalist, "output_dir": tmp_path}
    done = itermask3d.run("inference.json", options, launcher=("-c", LIMITED, "8000"))
    assert done.returncode not in (0, 2) and "File too large" in done.stderr
    assert "stopped in or after case brain2" in done.stdout and not list(tmp_path.glob("*.nii.gz"))


@pytest.mark.slow
def test_a_device_that_is_not_there_is_named(itermask3d, datalist, tmp_path):
    options = {**TINY, "network_def#width": 8, "datalist": datalist, "output_dir": tmp_path / "out"}
    done = itermask3d.run("inference.json", {**options, "device": "cuda:7"})
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("error: device 'cuda:7' cannot be used"), done.stderr
    assert "Traceback" not in done.stderr and last.endswith("Write --device cpu, or one that is there")
    assert not (tmp_path / "out").exists()
