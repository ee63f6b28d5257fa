"""Every training through the real command: a loss that is not finite, Ctrl-C, a second one in the same folder."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.runs.weights import sha256
from tests.helpers.run_outputs import load
from tests.helpers.tiny_trainings import TRAININGS

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


def test_a_loss_that_is_not_finite_stops_the_training_and_overwrites_nothing(trained):
    """An absurd learning rate: the weights after the first step give no finite loss, or are not finite themselves."""
    before = hashes(trained.out)
    done = trained.training.run(trained.options(trained.out, max_epochs=3, learning_rate=1e30))
    assert done.returncode == 1
    (message,) = set(re.findall(r"NonFiniteLossError: (.*)", done.stderr))
    assert re.match(r".* (is|are) (nan|inf|not finite) at step \d+ \(epoch 1\), learning rate 1e\+30", message)
    if "cases" in message:
        section = json.loads(next(trained.data.glob("*list.json")).read_text())["training"]
        named = re.search("cases (.*?)[.] Look at these", message)[1].split(", ")
        assert set(named) <= {case["case_id"] for case in section} and named
    assert "lower --learning_rate" in message and "stay as they are" in message
    assert hashes(trained.out) == before


@pytest.fixture(scope="module")
def stopped(trained, tmp_path_factory) -> SimpleNamespace:
    """A training that is stopped by Ctrl-C after its first checkpoint; while it was on, others were started."""
    out = tmp_path_factory.mktemp("stopped")
    options = trained.options(out, max_epochs=1000, val_interval=1000)  # MONAI logs what stops a validation at length
    process = trained.training.start(options, out / "log")
    while not (out / "checkpoint.pt").is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    others = [trained.options(out), trained.options(out, output_dir=out / "other")]
    refused = [trained.training.run(options) for options in others]
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    code = process.wait(120)
    return SimpleNamespace(out=out, code=code, pid=process.pid, log=(out / "log").read_text(), refused=refused)


@pytest.mark.parametrize("trained", [FAST], indirect=True)
def test_a_second_training_in_one_of_the_folders_is_refused(stopped):
    for done in stopped.refused:
        assert done.returncode == 1
        assert re.search(f"OutputError: {stopped.out}: in use by another run, process {stopped.pid} on .*", done.stderr)
    assert not (stopped.out / "other").exists()


@pytest.mark.parametrize("trained", [FAST], indirect=True)
def test_ctrl_c_leaves_a_state_to_resume_and_says_so_in_a_line(stopped, trained):
    assert stopped.code == 130
    assert f"--resume true goes on from {stopped.out / 'checkpoint.pt'}" in stopped.log
    assert "Traceback" not in stopped.log
    done = load(stopped.out / "checkpoint.pt")["lr_scheduler"]["last_epoch"]
    again = trained.training.run(trained.options(stopped.out, max_epochs=done + 1, resume=True))
    assert again.returncode == 0 and f"after epoch {done}" in again.stdout, again.stderr
    assert load(stopped.out / "checkpoint.pt")["lr_scheduler"]["last_epoch"] == done + 1
    assert not [file.name for file in stopped.out.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("name", TRAININGS)
def test_every_training_is_locked_checked_first_and_written_last(name):
    """As the files say: nothing is built before the folders are this run's, nothing learnt or written unchecked."""
    parser = TRAININGS[name].parsed
    handlers = [handler["_target_"].split(".")[-1] for handler in parser.get("train#handlers")]
    assert handlers[0] == "FiniteTraining" and handlers.index("TrainingState") < handlers.index("StatsHandler")
    assert parser.get("run")[:2] == ["$@options", "$@lock"] and parser.get("lock")["folders"] == [
        "@output_dir",
        "@ckpt_dir",
    ]
