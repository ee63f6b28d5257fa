"""Every training through the real command, killed without warning: resumed, it ends where one never stopped does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.run_outputs import assert_same_end, load
from tests.helpers.tiny_trainings import ALL, EPOCHS, FIRST, TRAININGS
from tests.helpers.whole_trainings import Whole, WholeTrainings


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


def assert_resumed_ends_the_same(whole: Whole, out: Path, options: dict[str, Any]) -> None:
    """All of it, bit for bit: weights, their average, optimizers, schedules, image pools, the best metric."""
    assert 1 <= load(out / "checkpoint.pt")["lr_scheduler"]["last_epoch"] < EPOCHS
    done = whole.training.run({**options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(whole.out, out)
    assert not list(out.glob(".*")), "what was half-written is gone"


@pytest.mark.parametrize("name", ALL)
def test_killed_and_resumed_training_ends_at_the_same_weights_and_state(whole: WholeTrainings, name, tmp_path):
    """Killed once there is a checkpoint; with two workers, against none; without the bad cases, which were left out."""
    training, options = whole(name), whole(name).options(tmp_path, num_workers=2)
    checkout, configs = training.training.checkout, training.training.configs
    checkout.run_until(tmp_path / "checkpoint.pt", configs, options, tmp_path / "killed.log")
    assert_resumed_ends_the_same(training, tmp_path, options)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["random", "writing"])
@pytest.mark.parametrize("name", TRAININGS)
def test_the_moment_of_the_kill_does_not_matter(whole: WholeTrainings, name, moment, tmp_path):
    training, options = whole(name), whole(name).options(tmp_path)
    process = training.training.start(options, tmp_path / "log")
    if moment == "random":
        kill_at_random(process, tmp_path / "checkpoint.pt", seed=name)
    else:
        kill_while_writing(process, tmp_path / "checkpoint.pt")
    assert_resumed_ends_the_same(training, tmp_path, options)


@pytest.mark.parametrize("name", FIRST)
def test_resume_without_a_checkpoint_is_an_error(whole: WholeTrainings, name, tmp_path):
    done = whole(name).training.run(whole(name).options(tmp_path, resume=True))
    assert done.returncode == 1
    assert f"{tmp_path / 'checkpoint.pt'}: no checkpoint to resume from. Start without --resume." in done.stderr
    assert not (tmp_path / "model.pt").exists()
