"""What IterMask3D's network is shown, by the transforms of its configs: alike in training and inference."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose

from tests.helpers.bundle import Bundle

BACKGROUND = -3  # normalised


@pytest.fixture(scope="module")
def fine(tmp_path_factory) -> dict[str, str]:
    """A brain on a grid of 1 mm: bright all over, so that resampling leaves it a border of half its brightness."""
    axes = np.indices((120, 140, 110)).astype(np.float32)
    centre = np.array([60.0, 70.0, 55.0]).reshape(3, 1, 1, 1)
    brain = (((axes - centre) / np.array([50.3, 60.7, 45.1]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 1
    image = np.where(brain, 100 + np.random.default_rng(0).normal(0, 3, brain.shape), 0)
    file = tmp_path_factory.mktemp("fine") / "fine.nii.gz"
    nib.save(nib.Nifti1Image(image.astype(np.float32), np.eye(4)), file)
    return {"case_id": "fine", "image": str(file)}


def test_inference_shows_nothing_of_the_rim_that_resampling_spreads(itermask3d: Bundle, fine: dict[str, str]):
    volume = itermask3d.parsed("inference").get_parsed_content("preprocessing")(fine)["image"]
    image, brain = volume[0], volume[1] > 0
    assert 60_000 < brain.sum() < 80_000
    assert (image[~brain] == BACKGROUND).all() and image[brain].min() > -2


def test_training_shows_nothing_of_it_either(itermask3d: Bundle, fine: dict[str, str], tmp_path: Path):
    config = itermask3d.parsed("train")
    shown = Compose(config.get_parsed_content("validate#preprocessing").transforms)(fine)
    brain = shown["brain_mask"] > 0
    assert (shown["image"][~brain] == BACKGROUND).all() and shown["image"][brain].min() > -2


def test_training_shades_what_the_network_sees_and_not_what_it_learns(itermask3d: Bundle, fine: dict[str, str]):
    config = itermask3d.parsed("train")
    read, fit = (config.get_parsed_content(key) for key in ("read", "fit_box"))
    keep, shade, hide = (config.get_parsed_content(key) for key in ("keep_target", "shade", "hide"))
    brain = Compose([*read, *fit])(fine)
    plain = Compose([*keep, *hide])(brain)
    for step in shade:
        step.prob = 1.0
    shaded = Compose([*keep, *shade, *hide]).set_random_state(seed=0)(brain)
    assert torch.equal(shaded["target"], plain["target"]) and torch.equal(plain["target"], plain["image"])
    inside = plain["brain_mask"] > 0
    field = torch.log((shaded["image"][inside] + 3) / (plain["image"][inside] + 3))
    assert field.std() > 0.05
    assert (shaded["high_pass"] - plain["high_pass"]).abs().max() > 0.05
    assert (shaded["image"][~inside] == BACKGROUND).all()
