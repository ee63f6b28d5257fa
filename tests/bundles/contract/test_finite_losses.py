"""Every training through the real command: a loss that is not finite ends it before anything is overwritten."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from shared.runs.weights import sha256
from tests.helpers.tiny_trainings import FIRST, TRAININGS
from tests.helpers.whole_trainings import WholeTrainings


def hashes(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in ("checkpoint.pt", "model.pt")}


def listed(data: Path) -> set[str]:
    """The cases to train on."""
    lists = [json.loads(path.read_text())["training"] for path in data.glob("*.json")]
    return {case["case_id"] for cases in lists for case in cases}


@pytest.mark.parametrize("name", FIRST)
def test_a_loss_that_is_not_finite_stops_the_training_and_overwrites_nothing(whole: WholeTrainings, name, tmp_path):
    """An absurd learning rate: the weights after the first step give no finite loss, or are not finite themselves."""
    out = tmp_path / "out"
    shutil.copytree(whole(name).out, out)
    before = hashes(out)
    done = TRAININGS[name].run(whole(name).options(out, max_epochs=3, learning_rate=1e30))
    assert done.returncode == 1
    (message,) = set(re.findall(r"error: (.*)", done.stderr))
    assert re.match(r".* (is|are) (nan|inf|not finite) at step \d+ \(epoch 1\), learning rate 1e\+30", message)
    if "cases" in message:
        named = re.search("cases (.*?)[.] Look at these", message)[1].split(", ")
        assert named and set(named) <= listed(whole(name).data)
    assert "lower --learning_rate" in message and "stay as they are" in message
    assert hashes(out) == before
