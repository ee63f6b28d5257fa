"""Every training as its configs say: nothing is built before its folders are its own, nothing written unchecked."""

from __future__ import annotations

import pytest

from tests.helpers.tiny_trainings import TRAININGS


@pytest.mark.parametrize("name", TRAININGS)
def test_every_training_is_locked_checked_first_and_written_last(name):
    parser = TRAININGS[name].parsed
    handlers = [handler["_target_"].split(".")[-1] for handler in parser.get("train#handlers")]
    assert handlers[0] == "FiniteTraining" and handlers.index("TrainingState") < handlers.index("StatsHandler")
    assert parser.get("run")[0] == "$@start"
    assert parser.get("start")["folders"] == ["@output_dir", "@ckpt_dir"]
