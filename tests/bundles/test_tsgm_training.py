"""The second stage of TSGM through the real command: what training learns, the paper's form."""

from __future__ import annotations

import pytest

from shared.methods.tsgm.conditional import ConditionalDenoiser
from shared.runs.weights import load_weights
from tests.helpers.run_outputs import load
from tests.helpers.tiny_data import UNET, within
from tests.helpers.whole_trainings import Whole


@pytest.fixture(scope="module")
def trained(whole) -> Whole:
    """One of its cases has to be left out."""
    return whole("tsgm")


@pytest.fixture(scope="module")
def denoiser(tsgm):
    """The network of train.json, as small as it is trained here."""

    def build(channels: int) -> ConditionalDenoiser:
        small = within("unet", {"width": 8, **UNET})
        return tsgm.parsed("train", denoiser_channels=channels, **small).get_parsed_content("network_def")

    return build


def test_case_that_lacks_a_sequence_is_named_and_the_others_train(trained):
    assert "2 of 3 cases done, left out" in trained.log
    assert "no_flair: has no 'flair' (it has t1, t1ce). Add it to the datalist, each case needs its" in trained.log


def test_the_network_has_learnt(trained, denoiser):
    network = load_weights(denoiser(channels=3), trained.out / "model.pt")
    assert network.unet.last[-1].weight.any(), "training starts with zeros in the last layer"


def test_paper_form_is_trained_one_sequence_at_a_time(tsgm, trained, denoiser, tmp_path):
    options = trained.options(tmp_path, max_epochs=1, pairs_per_epoch=2, val_pairs=2, val_interval=1)
    done = tsgm.run("train.json train_single_channel.json", options)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "checkpoint.pt")["trainer"]["iteration"] == 1
    assert load_weights(denoiser(channels=1), tmp_path / "model.pt").channels == 1
