"""Simulated radiographs of the tibia: reproducible, twins away from the lesion, masks that are the geometry."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import LoadImage
from scipy import ndimage

from shared.simulation.phantom_tibia import SimulatedRadiograph, main, make_radiograph, write_radiograph
from tests.helpers.paths import ROOT

SEEDS = (0, 1, 2, 3)
LESIONS = ("corner", "bucket_handle")


@cache
def radiograph(seed: int, lesion: str | None = None) -> SimulatedRadiograph:
    return make_radiograph(seed, lesion, size=96)


def test_the_same_seed_is_bit_equal_and_another_differs() -> None:
    again = make_radiograph(0, "corner", size=96)
    for name in ("image", "tibia_mask", "lesion_mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(radiograph(0, "corner"), name))
    assert again.facts == radiograph(0, "corner").facts
    assert np.abs(radiograph(0).image - radiograph(1).image).mean() > 0.05
    assert {radiograph(seed).facts["side"] for seed in SEEDS} == {"left", "right"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lesion", LESIONS)
def test_twins_are_equal_away_from_the_lesion(seed: int, lesion: str) -> None:
    ill, twin = radiograph(seed, lesion), radiograph(seed)
    # A healing lesion has new bone up to 10 mm above the physis; all of it is blurred and scatters.
    near = ndimage.distance_transform_edt(ill.lesion_mask == 0) * ill.pixel_mm < (12 if ill.facts["healing"] else 4)
    assert near.mean() < 0.4
    np.testing.assert_allclose(ill.image[~near], twin.image[~near], atol=0.01)
    np.testing.assert_array_equal(ill.tibia_mask[~near], twin.tibia_mask[~near])
    assert np.abs(ill.image - twin.image)[near].max() > 0.05
    shared = {key: value for key, value in ill.facts.items() if key in twin.facts and key != "lesion"}
    assert shared == {key: value for key, value in twin.facts.items() if key != "lesion"}


@pytest.mark.parametrize("seed", SEEDS)
def test_ranges_and_masks_of_a_normal(seed: int) -> None:
    made = radiograph(seed)
    assert made.image.dtype == np.float32 and made.image.shape == (96, 96)
    assert made.image.min() >= 0 and made.image.max() <= 1 and made.image.std() > 0.1
    assert made.tibia_mask.dtype == made.lesion_mask.dtype == np.uint8
    assert not made.lesion_mask.any() and set(np.unique(made.tibia_mask)) == {0, 1}
    assert ndimage.label(made.tibia_mask)[1] == 1
    assert 250 < made.tibia_mask.sum() * made.pixel_mm**2 < 700  # mm^2: 30 to 45 mm of a bone 8 to 20 mm wide
    beside = ndimage.binary_dilation(made.tibia_mask, iterations=4) & ~made.tibia_mask.astype(bool)
    assert made.image[made.tibia_mask == 1].mean() > made.image[beside].mean() + 0.05


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lesion", LESIONS)
def test_lesions_are_small_at_the_end_of_the_tibia_and_darker_than_the_twin(seed: int, lesion: str) -> None:
    ill, twin = radiograph(seed, lesion), radiograph(seed)
    mask = ill.lesion_mask.astype(bool)
    assert (ill.tibia_mask[mask] == 1).all()
    area = mask.sum() * ill.pixel_mm**2
    assert 2 < area < (25 if lesion == "corner" else 90)
    y = np.flatnonzero(ill.tibia_mask.any(0))
    assert np.nonzero(mask)[1].min() > y.max() - 11 / ill.pixel_mm
    change = ill.image - twin.image
    assert np.percentile(change[mask], 10) < -0.02  # the lucent line


def test_the_field_and_the_anatomy_do_not_depend_on_the_size() -> None:
    small, large = radiograph(0, "corner"), make_radiograph(0, "corner", size=192)
    assert small.pixel_mm == pytest.approx(2 * large.pixel_mm)
    coarse = large.tibia_mask.reshape(96, 2, 96, 2).mean((1, 3)) > 0.5
    assert (coarse != small.tibia_mask.astype(bool)).mean() < 0.005
    means = large.image.reshape(96, 2, 96, 2).mean((1, 3))
    assert np.abs(means - small.image).mean() < 0.02
    given = make_radiograph(0, None, size=96, pixel_mm=0.6)
    assert given.pixel_mm == pytest.approx(0.6) and given.facts == radiograph(0).facts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lesion": "torus"}, "unknown lesion 'torus'; choose one of corner, bucket_handle or None"),
        ({"size": 16}, "size must be at least 32 pixels, got 16"),
        ({"size": 96, "pixel_mm": 2.0}, "choose pixel_mm from 0.417 to 0.729"),
        ({"size": 96, "pixel_mm": float("nan")}, "are no field of an ankle"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_radiograph(0, **arguments)


def test_written_files_read_back_with_monai(tmp_path: Path) -> None:
    made = radiograph(1, "corner")
    case = write_radiograph(made, tmp_path / "new", "case1")
    load = LoadImage(image_only=True, dtype=np.float64)
    assert case["image"] == "case1_image.png" and case["class_label"] == 1 and case["pixel_mm"] == made.pixel_mm
    image = load(tmp_path / "new" / case["image"]).numpy()
    np.testing.assert_allclose(image / 65535, made.image, atol=1 / 65535)
    for name in ("tibia_mask", "lesion_mask"):
        np.testing.assert_array_equal(load(tmp_path / "new" / case[name]).numpy(), 255.0 * getattr(made, name))


def test_the_command_writes_the_datalist(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shared.simulation.phantom_tibia", str(tmp_path), "--cases", "2", "--size", "64"]
    root = ROOT
    subprocess.run([*command, "--lesions", "none,corner", "--seed", "7"], cwd=root, check=True, capture_output=True)
    datalist = json.loads((tmp_path / "datalist.json").read_text())
    cases = datalist["training"]
    assert [case["class_label"] for case in cases] == [0, 1] and cases[1]["facts"]["lesion"] == "corner"
    assert [case["case_id"] for case in cases] == ["tibia00007_normal", "tibia00008_corner"]
    load = LoadImage(image_only=True)
    assert load(tmp_path / cases[0]["image"]).shape == (64, 64)
    assert [bool(load(tmp_path / case["lesion_mask"]).max()) for case in cases] == [False, True]
    main([str(tmp_path), "--cases", "1", "--size", "48", "--section", "test"])
    assert len(json.loads((tmp_path / "datalist.json").read_text())["test"]) == 1
