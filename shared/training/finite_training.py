"""A training that comes to NaN or infinity stops at once, names the cases, and overwrites nothing."""

from __future__ import annotations

import math

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from ..runs.errors import NonFiniteLossError


class FiniteTraining:
    """Handler for a SupervisedTrainer, the first of all: stop at a loss, or weights, that are not finite.

    Losses, all the numbers of the trainer's output, are checked before anything is learnt from them; the weights after
    each epoch, before they are validated or written. Cases are named by what the batch holds under keys that end with
    ``case_id``.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_losses)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def check_losses(self, engine: Engine) -> None:
        """Raises NonFiniteLossError."""
        losses = {name: torch.as_tensor(x).item() for name, x in engine.state.output.items() if _is_number(x)}
        wrong = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            batch = engine.state.batch
            cases = dict.fromkeys(str(case) for key in batch if key.endswith("case_id") for case in batch[key])
            raise NonFiniteLossError(
                f"{', '.join(wrong)} {_place(engine)}, cases {', '.join(cases) or 'unnamed'}. Look at these cases, "
                f"or start again with a lower --learning_rate. {_KEPT}"
            )

    def check_weights(self, engine: Engine) -> None:
        """Raises NonFiniteLossError."""
        wrong = [name for name, x in engine.network.state_dict().items() if not bool(torch.isfinite(x).all())]
        if wrong:
            raise NonFiniteLossError(
                f"{len(wrong)} of the network's weights, such as {wrong[0]}, are not finite {_place(engine)}. "
                f"Start again with a lower --learning_rate. {_KEPT}"
            )


_KEPT = "Checkpoint and weights that are written already stay as they are."


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, torch.Tensor) and value.ndim == 0)


def _place(engine: Engine) -> str:
    rates = dict.fromkeys(f"{group['lr']:.3g}" for group in engine.optimizer.param_groups)
    return f"at step {engine.state.iteration} (epoch {engine.state.epoch}), learning rate {', '.join(rates)}"
