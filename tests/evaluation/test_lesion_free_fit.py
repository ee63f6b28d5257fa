"""R2 away from lesions, against what is known of its arithmetic."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from shared.evaluation.lesion_free_fit import LesionFreeFit, lesion_free_fit

SHAPE = (20, 20, 6)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 3, SHAPE)


def test_perfect_constant_and_half_explained_reconstructions(image):
    everywhere = np.ones(SHAPE, dtype=bool)
    mean = image.mean()
    for share in (1.0, 0.0, 0.5):  # what is left of the deviations is (1 - share) of them: R2 = 1 - (1 - share)^2
        fit = lesion_free_fit(image, mean + share * (image - mean), everywhere, fluid_below=0.0)
        assert fit == pytest.approx({"r2": 1 - (1 - share) ** 2, "r2_with_fluid": 1 - (1 - share) ** 2}, abs=1e-12)


def test_an_offset_counts_against_it(image):
    everywhere = np.ones(SHAPE, dtype=bool)
    expected = 1 - 0.5**2 / image.var()
    assert lesion_free_fit(image, image + 0.5, everywhere, 0.0)["r2"] == pytest.approx(expected, abs=1e-12)


def test_an_even_grey_with_dark_fluid_explains_nothing_of_the_tissue(image):
    fluid = np.zeros(SHAPE, dtype=bool)
    fluid[:5] = True
    scan = np.where(fluid, -2.0, image)
    grey = np.where(fluid, -2.0, image[~fluid].mean())
    fit = lesion_free_fit(scan, grey, np.ones(SHAPE, dtype=bool), fluid_below=0.0)
    assert fit["r2"] == pytest.approx(0, abs=1e-12)
    assert fit["r2_with_fluid"] == pytest.approx(1 - ((scan - grey) ** 2).mean() / scan.var(), abs=1e-12)


def test_lesions_their_margin_and_the_background_do_not_count(image, tmp_path: Path):
    """The label is on a grid of half the voxel size, where the lesion is a cube; everything near it is reconstructed
    as nonsense."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    label = torch.zeros(1, 40, 40, 12)
    label[:, 16:24, 16:24, 4:8] = 1  # voxels 8 to 11, 8 to 11, 2 to 3 of the image, give or take one
    brain = np.ones(SHAPE)
    brain[0] = 0
    near = np.zeros(SHAPE, dtype=bool)
    near[7:13, 7:13, 1:5] = True  # within 3.5 mm
    reconstruction = np.where(near | (brain == 0), 99.0, image)
    case = {
        "case_id": "a",
        "image": MetaTensor(torch.from_numpy(np.stack([image, brain])), affine=affine),
        "label": MetaTensor(label, affine=np.diag([1.0, 1.0, 1.0, 1.0])),
        "pred": torch.from_numpy(np.stack([image, reconstruction])),
    }
    unlabelled = {**case, "case_id": "b", "label": None}
    engine = Engine(lambda engine, batch: None)
    handler = LesionFreeFit(str(tmp_path), margin_mm=5.4)
    for one in (case, unlabelled):
        engine.state = SimpleNamespace(batch=[one], output=[{}])
        handler._collect(engine)
    handler._write(engine)
    rows = list(csv.DictReader((tmp_path / "lesion_free_fit.csv").open()))
    assert [row["case_id"] for row in rows] == ["a", "b", "mean"]
    r2 = [float(row["r2"]) for row in rows]
    assert r2[0] == pytest.approx(1, abs=1e-12) and r2[1] < 0 and r2[2] == pytest.approx((r2[0] + r2[1]) / 2)
