"""Files of weights: whole or not at all, and only those of the right network."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from shared.runs.errors import WeightsError
from shared.runs.weights import (
    AverageFromStart,
    BestWeights,
    LatestWeights,
    TrainingState,
    load_weights,
    save_atomically,
    save_half,
    sha256,
)


def network(seed: int = 0, width: int = 4) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv3d(1, width, 3, padding=1), torch.nn.BatchNorm3d(width))


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.victim),)


def test_sha256_of_known_content(tmp_path: Path):
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_saving_makes_folders_and_leaves_no_temporary_file(tmp_path: Path):
    path = tmp_path / "new" / "model.pt"
    save_atomically({"a": torch.ones(3)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(3))
    assert os.listdir(path.parent) == ["model.pt"]


def test_failed_saving_keeps_the_old_file(tmp_path: Path):
    path = tmp_path / "model.pt"
    save_atomically({"a": torch.ones(3)}, path)
    before = sha256(path)
    with pytest.raises(Exception, match="pickle|local"):
        save_atomically({"a": torch.zeros(3), "b": lambda: None}, path)
    assert sha256(path) == before
    assert os.listdir(tmp_path) == ["model.pt"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_precision_fill_the_network(tmp_path: Path, dtype: torch.dtype):
    source = network(seed=1)
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in source.state_dict().items()}
    save_atomically(state, tmp_path / "model.pt")
    target = load_weights(network(seed=2), tmp_path / "model.pt")
    assert not target.training
    for name, value in target.state_dict().items():
        assert value.dtype == source.state_dict()[name].dtype
        assert torch.equal(value, source.state_dict()[name].to(dtype).to(value.dtype))


def test_missing_weights(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"model\.pt: weights missing.*train\.json"):
        load_weights(network(), tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content", [b"", b"<!doctype html><title>Log in</title>", b"version https://git-lfs.github.com"]
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.pt: not a file of weights"):
        load_weights(network(), path)


def test_truncated_weights(tmp_path: Path):
    path = tmp_path / "model.pt"
    save_atomically(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="not a file of weights"):
        load_weights(network(), path)


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), 5])
def test_files_of_something_else(tmp_path: Path, content: object):
    save_atomically(content, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt"):
        load_weights(network(), tmp_path / "model.pt")


def test_entries_that_are_no_tensors(tmp_path: Path):
    save_atomically(dict.fromkeys(network().state_dict(), "text"), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt"):
        load_weights(network(), tmp_path / "model.pt")


def test_code_in_weights_is_refused(tmp_path: Path):
    victim = tmp_path / "victim"
    torch.save({"0.weight": Malicious(victim)}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="not a file of weights"):
        load_weights(network(), tmp_path / "model.pt")
    assert not victim.exists()


def test_weights_of_another_network_name_the_entries(tmp_path: Path):
    target, path = network(width=4), tmp_path / "model.pt"
    before = {k: v.clone() for k, v in target.state_dict().items()}
    save_atomically(network(width=8).state_dict(), path)
    with pytest.raises(WeightsError, match=r"6 entries differ, such as 0\.bias, 0\.weight.*network_def"):
        load_weights(target, path)
    save_atomically({**target.state_dict(), "extra": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="1 entries differ, such as extra"):
        load_weights(target, path)
    state = target.state_dict()
    del state["1.bias"]
    save_atomically(state, path)
    with pytest.raises(WeightsError, match=r"1 entries differ, such as 1\.bias"):
        load_weights(target, path)
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())


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


def test_half_precision_is_for_floats_alone_and_leaves_the_network_as_it_is(tmp_path: Path):
    source, path = network(), tmp_path / "models" / "model.pt"
    save_half(source, path)
    state = torch.load(path, weights_only=True)
    assert list(state) == list(source.state_dict())
    for name, value in source.state_dict().items():
        assert value.dtype == (torch.int64 if "num_batches" in name else torch.float32)
        assert torch.equal(state[name], value.half() if value.is_floating_point() else value)
        assert state[name].dtype == (torch.int64 if "num_batches" in name else torch.float16)
    assert os.listdir(path.parent) == ["model.pt"]


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
