"""Handlers that write a training's weights, and all that an exact resume needs, as files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from ..runs.engine import end_if_interrupted
from ..runs.errors import WeightsError
from ..runs.weights import save_atomically, save_half

logger = logging.getLogger(__name__)


class LatestWeights:
    """Handler for a trainer without a metric to choose by, such as a GAN's: write the weights after every epoch.

    Args:
        path: of the half-precision state dict, replaced each time.
        network: whose weights are written.
    """

    def __init__(self, path: str, network: torch.nn.Module) -> None:
        self.path, self.network = path, network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: save_half(self.network, self.path))


class BestWeights:
    """Handler for an evaluator, the first of all: keep the weights with the lowest key metric, in half precision.

    Ctrl-C is left to the training to tell; StatsHandler would print a traceback.

    Args:
        path: of the file, replaced at each improvement.
        network: whose weights are kept.
        write: False on all but the first process.
    """

    def __init__(self, path: str, network: torch.nn.Module, write: bool = True) -> None:
        self.path, self.network, self.write, self.best = path, network, write, float("inf")

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._pass_on)

    def _pass_on(self, engine: Engine, error: BaseException) -> None:
        raise error

    def __call__(self, engine: Engine) -> None:
        metric = float(engine.state.metrics[engine.state.key_metric_name])
        if metric < self.best:
            self.best = metric
            if not self.write:
                return
            save_half(self.network, self.path)
            logger.info("best %s so far: %.5g, weights in %s", engine.state.key_metric_name, metric, self.path)

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.best = state["best"]


class AverageFromStart:
    """Handler for a trainer: its averaged weights start from those that it starts with, which may have been loaded.

    MONAI Label puts a ``CheckpointLoader`` before a bundle's handlers, when ignite has made its average already.

    Args:
        average: that of the trainer's network.
    """

    def __init__(self, average: EMAHandler) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.average.ema_model.load_state_dict(self.average.model.state_dict())


class TrainingState:
    """Handler for a trainer: write all that an exact resume needs after each epoch; read it first when resuming.

    Ctrl-C ends the training with one line that says from where it can be resumed.

    Args:
        path: of the checkpoint.
        objects: by name, all with ``state_dict`` and ``load_state_dict``; the trainer itself is added.
        resume: start from the checkpoint.
        write: False on all but the first process.
    """

    def __init__(self, path: str, objects: Mapping[str, Any], resume: bool = False, write: bool = True) -> None:
        self.path, self.objects, self.resume, self.write = path, dict(objects), resume, write

    def attach(self, engine: Engine) -> None:
        self.objects["trainer"] = engine
        if self.resume:
            engine.add_event_handler(Events.STARTED, self.load)
        if self.write:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._end)

    def _end(self, engine: Engine, error: BaseException) -> None:
        stands = f"--resume true goes on from {self.path}" if Path(self.path).is_file() else "nothing was written yet"
        end_if_interrupted(error, f"epoch {engine.state.epoch}; {stands}")
        raise error

    def save(self) -> None:
        save_atomically({name: thing.state_dict() for name, thing in self.objects.items()}, self.path)

    def load(self, engine: Engine) -> None:
        """Raises WeightsError where there is no checkpoint."""
        if not Path(self.path).is_file():
            raise WeightsError(f"{self.path}: no checkpoint to resume from. Start without --resume.")
        epochs = engine.state.max_epochs
        try:
            states = torch.load(self.path, map_location="cpu", weights_only=True)
            for name, thing in self.objects.items():
                thing.load_state_dict(states[name])
        except Exception as error:  # torch raises many kinds for broken and foreign files
            problem = f"cannot be resumed from ({type(error).__name__}: {error})"
            raise WeightsError(f"{self.path}: {problem}. Start without --resume.") from error
        engine.state.max_epochs = epochs
        logger.info("resumed from %s after epoch %d", self.path, engine.state.epoch)
