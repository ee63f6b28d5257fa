"""Weights and states of trainings: whole or not at all, exact on resume, and one line where Ctrl-C ends them."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from monai.handlers import StatsHandler

from shared.runs.errors import WeightsError
from shared.runs.weights import load_weights, sha256
from shared.training.checkpoints import AverageFromStart, BestWeights, LatestWeights, TrainingState


def network(seed: int = 0, width: int = 4) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv3d(1, width, 3, padding=1), torch.nn.BatchNorm3d(width))


def test_best_weights_are_those_of_the_lowest_metric(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    trained, path = network(), tmp_path / "models" / "model.pt"
    best = BestWeights(str(path), trained)
    metrics = iter([3.0, 2.0, float("nan"), 2.5, 1.0, 1.0])
    engine = Engine(lambda engine, batch: None)
    engine.state.metrics, engine.state.key_metric_name = {}, "val_mse"
    best.attach(engine)
    kept = []
    with caplog.at_level(logging.INFO):
        for step, metric in enumerate(metrics):
            torch.nn.init.constant_(trained[0].bias, step)
            best(SimpleNamespace(state=SimpleNamespace(metrics={"val_mse": metric}, key_metric_name="val_mse")))
            kept.append(float(torch.load(path, weights_only=True)["0.bias"][0]))
    assert kept == [0, 1, 1, 1, 4, 4]
    state = torch.load(path, weights_only=True)
    assert {v.dtype for k, v in state.items() if "num_batches" not in k} == {torch.float16}
    assert state["1.num_batches_tracked"].dtype == torch.int64
    assert load_weights(network(), path)[0].bias[0] == 4
    assert len(caplog.records) == 3
    resumed = BestWeights(str(path), trained)
    resumed.load_state_dict(best.state_dict())
    assert resumed.best == 1.0


def test_best_weights_run_when_a_validation_is_complete(tmp_path: Path):
    engine = Engine(lambda engine, batch: None)
    engine.state.metrics, engine.state.key_metric_name = {"val_mse": 0.5}, "val_mse"
    best = BestWeights(str(tmp_path / "model.pt"), network())
    best.attach(engine)

    @engine.on("EPOCH_COMPLETED")
    def metric(engine: Engine) -> None:
        engine.state.metrics, engine.state.key_metric_name = {"val_mse": 0.5}, "val_mse"

    engine.run([0], max_epochs=1)
    assert best.best == 0.5 and (tmp_path / "model.pt").is_file()


def test_latest_weights_are_those_after_every_epoch(tmp_path: Path):
    trained, path = network(), tmp_path / "models" / "model.pt"
    engine, kept = Engine(lambda engine, batch: torch.nn.init.constant_(trained[0].bias, engine.state.iteration)), []
    LatestWeights(str(path), trained).attach(engine)

    @engine.on("ITERATION_STARTED")
    def of_the_epoch_before(engine: Engine) -> None:
        kept.append(float(torch.load(path, weights_only=True)["0.bias"][0]) if path.is_file() else None)

    engine.run([0, 0], max_epochs=3)
    assert kept == [None, None, 2, 2, 4, 4]
    state = torch.load(path, weights_only=True)
    assert state["0.bias"].dtype == torch.float16 and (state["0.bias"] == 6).all()


def train(path: Path, epochs: int, resume: bool = False, write: bool = True) -> tuple[dict, list[int], list[float]]:
    """A training with momentum and a falling learning rate; the data depends on the iteration."""
    model = network(seed=99 if resume else 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    seen, rates = [], []

    def step(engine: Engine, batch: int) -> None:
        seen.append(engine.state.iteration)
        rates.append(optimizer.param_groups[0]["lr"])
        torch.manual_seed(engine.state.iteration)
        optimizer.zero_grad()
        model(torch.randn(2, 1, 4, 4, 4)).pow(2).mean().backward()
        optimizer.step()

    trainer = Engine(step)
    trainer.add_event_handler("EPOCH_COMPLETED", lambda: scheduler.step())
    objects = {"network": model, "optimizer": optimizer, "lr_scheduler": scheduler}
    TrainingState(str(path), objects, resume=resume, write=write).attach(trainer)
    trainer.run(range(3), max_epochs=epochs)
    return model.state_dict(), seen, rates


def test_resumed_training_equals_the_uninterrupted(tmp_path: Path):
    whole, seen, rates = train(tmp_path / "whole.pt", 4)
    train(tmp_path / "part.pt", 2)
    rest, seen_later, rates_later = train(tmp_path / "part.pt", 4, resume=True)
    assert seen == list(range(1, 13)) and seen_later == list(range(7, 13))
    assert rates_later == pytest.approx(rates[6:])
    assert all(torch.equal(rest[name], whole[name]) for name in whole)


def test_other_processes_read_but_do_not_write(tmp_path: Path):
    train(tmp_path / "state.pt", 1)
    before = sha256(tmp_path / "state.pt")
    _, seen, _ = train(tmp_path / "state.pt", 2, resume=True, write=False)
    assert seen == [4, 5, 6]
    assert sha256(tmp_path / "state.pt") == before


def test_nothing_to_resume_from(tmp_path: Path):
    with pytest.raises(WeightsError, match="no checkpoint to resume from"):
        train(tmp_path / "state.pt", 1, resume=True)


def test_damaged_checkpoint_is_named(tmp_path: Path):
    (tmp_path / "state.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(WeightsError, match=r"state\.pt"):
        train(tmp_path / "state.pt", 1, resume=True)


def test_the_average_starts_from_weights_that_were_loaded_at_the_start_and_then_lags_behind():
    trained = network()
    average = EMAHandler(trained, momentum=0.25)

    def step(engine: Engine, batch: int) -> None:
        with torch.no_grad():
            trained[0].bias += 1

    engine = Engine(step)
    average.attach(engine)
    loaded = network(seed=1)
    engine.add_event_handler(Events.STARTED, lambda: trained.load_state_dict(loaded.state_dict()))
    AverageFromStart(average).attach(engine)
    engine.run([0])
    torch.testing.assert_close(average.ema_model[0].weight, loaded[0].weight)
    torch.testing.assert_close(average.ema_model[0].bias, loaded[0].bias + 0.25)


def interrupted(path: Path, error: type[BaseException], epoch: int) -> None:
    """A training that is ended by an error in an epoch."""
    network = torch.nn.Linear(1, 1)

    def step(engine: Engine, batch: int) -> None:
        if engine.state.epoch == epoch:
            raise error("the reason")

    trainer = Engine(step)
    TrainingState(str(path), {"network": network}).attach(trainer)
    trainer.run([0], max_epochs=3)


SAID = {1: "epoch 1; nothing was written yet", 3: "epoch 3; --resume true goes on from"}


@pytest.mark.parametrize("epoch, said", SAID.items())
def test_a_training_says_whether_it_can_be_resumed(tmp_path, caplog, epoch, said):
    with caplog.at_level(logging.WARNING), pytest.raises(SystemExit) as ended:
        interrupted(tmp_path / "checkpoint.pt", KeyboardInterrupt, epoch)
    assert ended.value.code == 130 and f"stopped by Ctrl-C: {said}" in caplog.text
    assert (tmp_path / "checkpoint.pt").is_file() == (epoch > 1)


def test_an_error_of_a_training_is_not_hidden(tmp_path):
    with pytest.raises(RuntimeError, match="the reason"):
        interrupted(tmp_path / "checkpoint.pt", RuntimeError, 2)


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
