"""Every training through the real command: a loss that is not finite, Ctrl-C, a second one in the same folder."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_outputs import load
from tiny_trainings import TRAININGS

from shared.data.weights import sha256

FAST = "itermask3d"
NAMES = [name if name == FAST else pytest.param(name, marks=pytest.mark.slow) for name in TRAININGS]


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory) -> SimpleNamespace:
    """A training of one epoch that has come to its end, and how to start another in the same folder."""
    training, folder = TRAININGS[request.param], tmp_path_factory.mktemp("training")
    options, out = training.prepare(folder / "data"), folder / "out"
    done = training.run(options(out, max_epochs=1))
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(name=request.param, training=training, options=options, out=out, data=folder / "data")


def hashes(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in ("checkpoint.pt", "model.pt")}


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_loss_that_is_not_finite_stops_the_training_and_overwrites_nothing(trained):
    """An absurd learning rate: the weights after the first step give no finite loss, or are not finite themselves."""
    before = hashes(trained.out)
    done = trained.training.run(trained.options(trained.out, max_epochs=3, learning_rate=1e30))
    assert done.returncode == 1
    (message,) = set(re.findall(r"NonFiniteError: (.*)", done.stderr))
    assert re.match(r".* (is|are) (nan|inf|not finite) at step \d+ \(epoch 1\), learning rate 1e\+30", message)
    if "cases" in message:
        section = json.loads(next(trained.data.glob("*list.json")).read_text())["training"]
        named = re.search("cases (.*?)[.] Look at these", message)[1].split(", ")
        assert set(named) <= {case["case_id"] for case in section} and named
    assert "lower --learning_rate" in message and "stay as they are" in message
    assert hashes(trained.out) == before


def test_ctrl_c_leaves_a_state_to_resume_and_says_so_in_a_line(trained, tmp_path):
    process = trained.training.start(trained.options(tmp_path, max_epochs=1000), tmp_path / "log")
    wait_for(lambda: (tmp_path / "checkpoint.pt").is_file() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    log = (tmp_path / "log").read_text()
    assert f"--resume true goes on from {tmp_path / 'checkpoint.pt'}" in log
    done = load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"]
    again = trained.training.run(trained.options(tmp_path, max_epochs=done + 1, resume=True))
    assert again.returncode == 0 and f"after epoch {done}" in again.stdout, again.stderr
    assert load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"] == done + 1


def test_a_second_training_in_the_folder_is_refused_until_the_first_is_dead(trained, tmp_path):
    process = trained.training.start(trained.options(tmp_path, max_epochs=1000, num_workers=1), tmp_path / "log")
    wait_for(lambda: (tmp_path / "checkpoint.pt").is_file() or process.poll() is not None)
    for options in (trained.options(tmp_path), trained.options(tmp_path, output_dir=tmp_path / "other")):
        second = trained.training.run(options)
        assert second.returncode == 1
        assert re.search(f"OutputError: {tmp_path}: in use by another run, process {process.pid} on ", second.stderr)
    assert process.poll() is None, "the first goes on"
    process.kill()  # its worker lives on for some seconds
    process.wait()
    done = load(tmp_path / "checkpoint.pt")["lr_scheduler"]["last_epoch"]
    (tmp_path / ".checkpoint.pt.123").write_bytes(b"half a checkpoint")
    third = trained.training.run(trained.options(tmp_path, max_epochs=done + 1, resume=True))
    assert third.returncode == 0, third.stderr
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".")]
