"""The first stage of TSGM through the real command: what training learns and leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from shared.methods.tsgm.cyclegan import CycleGAN
from shared.runs.weights import load_weights
from tests.helpers.run_outputs import differences, halved, load, scalars
from tests.helpers.tiny_data import GENERATOR
from tests.helpers.tiny_trainings import EPOCHS, TRAININGS
from tests.helpers.whole_trainings import Whole

STEPS = TRAININGS["tsgm cyclegan"].steps
PAIRS = 2 * STEPS


@pytest.fixture(scope="module")
def trained(whole) -> Whole:
    """One of its cases has to be left out."""
    return whole("tsgm cyclegan")


def test_case_that_lacks_a_sequence_is_named_and_the_others_train(trained):
    assert "2 of 3 cases done, left out" in trained.log and "no_flair: has no 'flair'" in trained.log


def test_weights_are_the_last_ones_of_the_generators_in_half_precision(trained):
    weights, state = load(trained.out / "model.pt"), load(trained.out / "checkpoint.pt")["network"]
    network = CycleGAN(in_channels=3, residual=True, **GENERATOR)
    generators = load_weights(network.generators, trained.out / "model.pt")
    assert not differences(weights, halved({k: state[f"generators.{k}"] for k in weights}))
    assert all(generator.last.weight.any() for generator in generators.values()), "they have learnt"


def test_losses_are_logged_and_add_up_as_configured(trained, tsgm):
    names = ("loss", "adversarial", "cycle", "identity", "discriminator")
    losses = {name: np.array(scalars(trained.out, name)) for name in names}
    assert {len(values) for values in losses.values()} == {EPOCHS * STEPS}
    weight = {name: tsgm.config("train_cyclegan.json")[f"{name}_weight"] for name in ("cycle", "identity")}
    total = losses["adversarial"] + sum(weight[name] * losses[name] for name in weight)
    np.testing.assert_allclose(losses["loss"], total, rtol=1e-5)
    for name in weight:
        assert losses[name][0] == 0 and losses[name][1:].all(), "training starts at the identity"


def test_pools_hold_images_of_their_kind(trained):
    state = load(trained.out / "checkpoint.pt")
    for name in ("healthy_pool", "tumor_pool"):
        assert state[name]["seen"] == EPOCHS * PAIRS and state[name]["images"].shape == (3, 3, 48, 64)
    assert differences(state["healthy_pool"]["images"], state["tumor_pool"]["images"])


def test_samples_show_slices_before_and_after_each_generator(trained):
    """4 pairs of 3 sequences, 6 columns of slices of 48 x 64 pixels."""
    grid = np.asarray(Image.open(trained.out / "samples.png"), dtype=int)
    assert grid.shape == (12 * 64, 6 * 48)
    columns = grid.reshape(12, 64, 6, 48).transpose(2, 0, 1, 3)
    for real, fake, change in (columns[:3], columns[3:]):
        assert real[:, 16:48, 12:36].mean() > 50 and (real[:, 0] == 0).all(), "a brain on black"
        unclipped = (real < 255) & (fake > 0) & (fake < 255)
        assert np.abs(change - 127.5 - (fake - real))[unclipped].max() <= 2
    assert list((trained.out / "samples").iterdir())
