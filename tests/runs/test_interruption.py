"""Ctrl-C ends a training in one line; any other error stays what it is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import StatsHandler

from shared.runs.interruption import end_if_interrupted
from shared.runs.weights import BestWeights, TrainingState


def train(path: Path, error: type[BaseException], epoch: int) -> None:
    """A training that is ended by an error in an epoch."""
    network = torch.nn.Linear(1, 1)

    def step(engine: Engine, batch: int) -> None:
        if engine.state.epoch == epoch:
            raise error("the reason")

    trainer = Engine(step)
    TrainingState(str(path), {"network": network}).attach(trainer)
    trainer.run([0], max_epochs=3)


def test_other_errors_pass(caplog: pytest.LogCaptureFixture):
    end_if_interrupted(ValueError("no"), "nothing")
    assert not caplog.records


SAID = {1: "epoch 1; nothing was written yet", 3: "epoch 3; --resume true goes on from"}


@pytest.mark.parametrize("epoch, said", SAID.items())
def test_a_training_says_whether_it_can_be_resumed(tmp_path, caplog, epoch, said):
    with caplog.at_level(logging.WARNING), pytest.raises(SystemExit) as ended:
        train(tmp_path / "checkpoint.pt", KeyboardInterrupt, epoch)
    assert ended.value.code == 130 and f"stopped by Ctrl-C: {said}" in caplog.text
    assert (tmp_path / "checkpoint.pt").is_file() == (epoch > 1)


def test_an_error_of_a_training_is_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="the reason"):
        train(tmp_path / "checkpoint.pt", RuntimeError, 2)


def test_ctrl_c_in_a_validation_is_said_in_the_one_line_of_the_training(tmp_path, caplog, capfd):
    def validate(engine: Engine, batch: int) -> None:
        raise KeyboardInterrupt

    network = torch.nn.Linear(1, 1)
    trainer, validator = Engine(lambda engine, batch: None), Engine(validate)
    BestWeights(str(tmp_path / "model.pt"), network).attach(validator)
    TrainingState(str(tmp_path / "checkpoint.pt"), {"network": network}).attach(trainer)
    for engine in (validator, trainer):
        StatsHandler(iteration_log=False, epoch_log=False).attach(engine)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: validator.run([0]))
    with caplog.at_level(logging.WARNING), pytest.raises(SystemExit) as ended:
        trainer.run([0], max_epochs=1)
    assert ended.value.code == 130
    assert caplog.text.count("stopped by Ctrl-C") == 1
    assert "Traceback" not in "".join(capfd.readouterr())
