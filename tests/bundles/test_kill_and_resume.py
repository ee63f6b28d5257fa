"""Every training through the real command, killed without warning: resumed, it ends where one never stopped does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.run_outputs import assert_same_end, load
from tests.helpers.tiny_trainings import TRAININGS

pytestmark = pytest.mark.slow
EPOCHS = 8


@pytest.fixture(scope="module", params=TRAININGS)
def whole(request: pytest.FixtureRequest, tmp_path_factory) -> SimpleNamespace:
    """A training that has never been stopped."""
    training, folder = TRAININGS[request.param], tmp_path_factory.mktemp("training")
    options, out = training.prepare(folder / "data"), folder / "out"
    done = training.run(options(out, max_epochs=EPOCHS))
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(name=request.param, training=training, options=options, out=out)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it came to its end before"


def kill_at_random(process: subprocess.Popen[bytes], checkpoint: Path, seed: str) -> None:
    """Some epochs and some part of an epoch after the start, at a moment that depends on the seed."""
    draw, times = random.Random(seed), []
    while len(times) < 2 + draw.randrange(EPOCHS // 2) and process.poll() is None:
        written = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else None
        if written and written not in times:
            times.append(written)
        time.sleep(0.002)
    time.sleep(draw.random() * (times[-1] - times[-2]) / 1e9)
    kill(process)


def kill_while_writing(process: subprocess.Popen[bytes], checkpoint: Path) -> None:
    """While a checkpoint after the first is written: its temporary file is there as the process stands still."""
    half_written = checkpoint.with_name(f".{checkpoint.name}.{process.pid}")
    while process.poll() is None:
        if half_written.is_file() and checkpoint.is_file():
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(0.01)
            if half_written.is_file():
                break
            os.killpg(process.pid, signal.SIGCONT)
    kill(process)
    assert half_written.is_file()


@pytest.mark.parametrize("moment", ["random", "writing"])
def test_killed_and_resumed_training_ends_at_the_same_weights_and_state(whole, moment, tmp_path):
    """All of it, bit for bit: weights, their average, optimizers, schedules, image pools, the best metric."""
    checkpoint, options = tmp_path / "checkpoint.pt", whole.options(tmp_path, max_epochs=EPOCHS)
    process = whole.training.start(options, tmp_path / "log")
    if moment == "random":
        kill_at_random(process, checkpoint, seed=whole.name)
    else:
        kill_while_writing(process, checkpoint)
    assert 1 <= load(checkpoint)["lr_scheduler"]["last_epoch"] < EPOCHS

    done = whole.training.run({**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(whole.out, tmp_path)
    assert not list(tmp_path.glob(".*")), "what was half-written is gone"
