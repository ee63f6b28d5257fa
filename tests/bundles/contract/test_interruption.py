"""Every training through the real command: a second one in its folders is refused, Ctrl-C leaves a state to resume."""

from __future__ import annotations

import re
import signal
import time
from types import SimpleNamespace

import pytest

from tests.helpers.run_outputs import load
from tests.helpers.tiny_trainings import FIRST
from tests.helpers.whole_trainings import WholeTrainings


@pytest.fixture(scope="module", params=FIRST)
def stopped(request: pytest.FixtureRequest, whole: WholeTrainings, tmp_path_factory) -> SimpleNamespace:
    """A training that is stopped by Ctrl-C after its first checkpoint; while it was on, others were started."""
    given, out = whole(request.param), tmp_path_factory.mktemp("stopped")
    endless = {key: 1000 for key in ("max_epochs", "val_interval") if key in given.given}
    process = given.training.start(given.options(out, **endless), out / "log")  # of a validation MONAI logs too much
    while not (out / "checkpoint.pt").is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    others = [given.options(out), given.options(out, output_dir=out / "other")]
    refused = [given.training.run(options) for options in others]
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    code = process.wait(120)
    log = (out / "log").read_text()
    return SimpleNamespace(given=given, out=out, code=code, pid=process.pid, log=log, refused=refused)


def test_a_second_training_in_one_of_the_folders_is_refused(stopped):
    for done in stopped.refused:
        assert done.returncode == 1
        assert re.search(f"error: {stopped.out}: in use by another run, process {stopped.pid} on .*", done.stderr)
    assert not (stopped.out / "other").exists()


def test_ctrl_c_leaves_a_state_to_resume_and_says_so_in_a_line(stopped):
    assert stopped.code == 130
    assert f"--resume true goes on from {stopped.out / 'checkpoint.pt'}" in stopped.log
    assert "Traceback" not in stopped.log
    done = load(stopped.out / "checkpoint.pt")["lr_scheduler"]["last_epoch"]
    options = stopped.given.options(stopped.out, max_epochs=done + 1, resume=True)
    again = stopped.given.training.run(options)
    assert again.returncode == 0 and f"after epoch {done}" in again.stdout, again.stderr
    assert load(stopped.out / "checkpoint.pt")["lr_scheduler"]["last_epoch"] == done + 1
    assert not [file.name for file in stopped.out.iterdir() if file.name.startswith(".")]
