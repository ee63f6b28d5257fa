"""What two processes learn from in one step is what one process would from both of their batches.

The configs of training on several GPUs are used as they are, with dropout off and batch norm frozen: each process has
statistics of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.bundle import environment
from tests.helpers.paths import ROOT
from tests.helpers.tiny_data import BUNDLES

STEP = """
import copy, json, os, sys
import torch
import torch.distributed as dist
from monai.bundle import ConfigParser

root, configs, options = sys.argv[1], sys.argv[2].split(), json.loads(sys.argv[3])
sys.path.insert(0, root)
dist.init_process_group("gloo")
rank = dist.get_rank()
parser = ConfigParser(ConfigParser.load_config_files([f"{root}/configs/{name}" for name in configs]))
parser.update(options)
build = parser.get_parsed_content
torch.manual_seed(0)
network, loss, prepare = build("network"), build("loss"), build("train#trainer#prepare_batch")
with torch.no_grad():  # layers that start at 0 pass nothing on to those before them
    for n, parameter in enumerate(network.parameters()):
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))
        parameter.add_(0.05 * noise)
for layer in network.modules():
    if isinstance(layer, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.dropout._DropoutNd)):
        layer.eval()
alone = copy.deepcopy(network.module)
torch.manual_seed(rank)
batch = next(iter(build("train#dataloader")))
given, target, *more = prepare(batch, torch.device("cpu"))
given = (given, *(more[0] if more else ()))
loss(network(*given), target).backward()
parts = [None, None]
dist.all_gather_object(parts, (given, target))
def gradient(inputs, target):
    alone.zero_grad()
    loss(alone(*inputs), target).backward()
    return [p.grad.clone() for p in alone.parameters() if p.grad is not None]
each = [gradient(*part) for part in parts]
mean = [(a + b) / 2 for a, b in zip(*each)]
doubled = gradient([torch.cat(pair) for pair in zip(parts[0][0], parts[1][0])], torch.cat([parts[0][1], parts[1][1]]))
found = [p.grad for p in network.module.parameters() if p.grad is not None]
def apart(some, others):
    size = max(float(other.abs().max()) for other in others)
    return max(float((a - b).abs().max()) for a, b in zip(some, others)) / size
if rank == 0:
    print(json.dumps({"mean": apart(found, mean), "doubled": apart(found, doubled), "each": apart(each[0], each[1])}))
dist.destroy_process_group()
"""
# The loss of these is a mean over what counts (tissue without lesion), whose amount differs between batches: the mean
# of two such means, which DistributedDataParallel gives, is not the mean over both.
UNEQUAL = {"brain_mri_anomaly_mmccd", "brain_mri_anomaly_tsgm"}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLES)
def test_the_gradient_is_that_of_both_batches(name: str, tmp_path: Path):
    (tmp_path / "data").mkdir()
    options: dict[str, Any] = {**BUNDLES[name](tmp_path / "data"), "num_workers": 0}
    options |= {"bundle_root": str(ROOT / "bundles" / name), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    script = tmp_path / "step.py"
    script.write_text(STEP)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2"]
    words = [options["bundle_root"], "train.json multi_gpu_train.json", json.dumps(options)]
    command = [sys.executable, "-W", "ignore", *launcher, str(script), *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["each"] > 0.01, "the processes have batches of their own"
    assert found["mean"] < 1e-5
    assert found["doubled"] < (0.5 if name in UNEQUAL else 1e-4), "convolutions round otherwise in larger batches"
