"""What every training leaves behind: the best weights of the average, in half precision, and all of its state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.run_outputs import differences, halved, load, scalars
from tests.helpers.tiny_trainings import ALL, EPOCHS, TRAININGS, VAL_INTERVAL
from tests.helpers.whole_trainings import WholeTrainings

ADVERSARIAL = ("discriminator_optimizer", "discriminator_lr_scheduler", "healthy_pool", "tumor_pool")


@pytest.mark.parametrize("name", ALL)
def test_weights_are_the_best_ones_of_the_average_in_half_precision(whole: WholeTrainings, name):
    out, training = whole(name).out, TRAININGS[name]
    weights, state = load(out / "model.pt"), load(out / "checkpoint.pt")
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float16}
    if training.averaged:
        assert differences(state["ema"], state["network"]), "the average is not the weights of the last step"
    if training.metric:
        losses = scalars(out, training.metric)
        assert len(losses) == EPOCHS // VAL_INTERVAL
        assert state["best"]["best"] == pytest.approx(min(losses), rel=1e-5)
        last = halved(state["ema" if training.averaged else "network"])
        assert weights.keys() == last.keys()
        assert bool(differences(weights, last)) == (min(losses) < losses[-1]), "the last are not the best"


@pytest.mark.parametrize("name", ALL)
def test_every_step_has_a_finite_loss(whole: WholeTrainings, name):
    training = TRAININGS[name]
    losses = scalars(whole(name).out, "train_loss" if training.metric else "loss")
    assert len(losses) == EPOCHS * training.steps and np.isfinite(losses).all()


@pytest.mark.parametrize("name", ALL)
def test_state_is_that_after_the_last_epoch(whole: WholeTrainings, name):
    training, state = TRAININGS[name], load(whole(name).out / "checkpoint.pt")
    kept = ["network", "optimizer", "lr_scheduler", "trainer", *["ema"] * training.averaged]
    assert set(state) == {*kept, *(["best"] if training.metric else ADVERSARIAL)}
    steps = (state["trainer"]["iteration"], state["trainer"]["epoch_length"])
    assert steps == (EPOCHS * training.steps, training.steps)
    for kind in ("", "discriminator_"):
        if f"{kind}optimizer" in state:
            assert state[f"{kind}lr_scheduler"]["last_epoch"] == EPOCHS
            assert state[f"{kind}optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-9)
