"""The simulated brain: reproducible, equal to its healthy twin away from lesions, of the right contrasts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from shared.simulation.phantom_brain import Phantom, main, make_phantom, write_phantom

SEQUENCES = ("t1", "t2", "flair", "t1ce")


@cache
def phantom(seed: int, lesion: str | None = None) -> Phantom:
    return make_phantom(seed, lesion, SEQUENCES, spacing=3.0)


def test_the_same_seed_is_bit_equal_and_another_differs() -> None:
    again = make_phantom(0, None, ("flair", "t1"), spacing=3.0)  # fewer, in another order
    for name in ("flair", "t1"):
        np.testing.assert_array_equal(again.images[name], phantom(0).images[name])
    overlap = (phantom(0).brain_mask & phantom(1).brain_mask).astype(bool)
    assert phantom(0).brain_mask.sum() != phantom(1).brain_mask.sum()
    difference = np.abs(phantom(0).images["t1"] - phantom(1).images["t1"])[overlap].mean()
    assert difference > 0.03 * phantom(0).images["t1"][overlap].mean()


@pytest.mark.parametrize("lesion", [None, "tumour", "stroke", "ms"])
def test_background_is_zero_and_brain_is_positive(lesion: str | None) -> None:
    made = phantom(0, lesion)
    inside = made.brain_mask.astype(bool)
    for image in made.images.values():
        assert image.dtype == np.float32 and np.isfinite(image).all()
        assert (image[~inside] == 0).all() and (image[inside] > 0).all()
    assert ndimage.label(inside)[1] == 1
    assert 1.0e6 < inside.sum() * 27 < 2.0e6  # mm^3, an adult brain with its sulci
    assert nib.aff2axcodes(made.affine) == ("R", "A", "S")


def t1_profile(seed: int) -> np.ndarray:
    """Return litres of brain, and the percentiles 5, 25 and 50 of the T1 image relative to its percentile 90."""
    made = make_phantom(seed, None, ("t1",), spacing=4.0)
    inside = made.images["t1"][made.brain_mask > 0]
    return np.array([inside.size * 64e-6, *np.percentile(inside, [5, 25, 50]) / np.percentile(inside, 90)])


def test_phantoms_vary_around_measured_volumes_at_least_as_much_as_they_do() -> None:
    """36 training subjects of IXI, brain-extracted at 2 mm: .393, .713 and .851 with SD .041, .025 and .011."""
    profiles = np.stack([t1_profile(seed) for seed in range(24)])
    litres, relative = profiles[:, 0], profiles[:, 1:]
    np.testing.assert_allclose(relative.mean(0), [0.393, 0.713, 0.851], atol=0.06)
    assert (relative.std(0) > [0.041, 0.025, 0.011]).all()
    assert 1.0 < litres.min() < 1.3 and 1.6 < litres.max() < 2.0  # adult brains with their sulci


@pytest.mark.parametrize("lesion", ["tumour", "stroke", "ms"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lesion_lies_in_the_brain_and_has_its_contrast(lesion: str, seed: int) -> None:
    ill, twin = phantom(seed, lesion), phantom(seed)
    label = ill.label.astype(bool)
    assert set(np.unique(ill.label)) == {0, 1}
    assert (ill.brain_mask[label] == 1).all()
    assert 300 < label.sum() * 27 < 200_000  # mm^3
    change = {name: np.mean(ill.images[name][label]) / np.mean(twin.images[name][label]) for name in SEQUENCES}
    assert change["t1"] < 0.95 and change["t2"] > 1.2 and change["flair"] > 1.05


@pytest.mark.parametrize("lesion", ["tumour", "stroke", "ms"])
def test_the_twin_is_equal_away_from_the_lesion(lesion: str) -> None:
    ill, twin = phantom(0, lesion), phantom(0)
    np.testing.assert_array_equal(ill.brain_mask, twin.brain_mask)
    near = ndimage.distance_transform_edt(ill.label == 0, sampling=3.0) < 20
    assert near.mean() < 0.3
    for name in SEQUENCES:
        np.testing.assert_allclose(ill.images[name][~near], twin.images[name][~near], rtol=1e-3, atol=0.5)


def test_only_a_tumour_takes_up_contrast_agent() -> None:
    for lesion, enhances in (("tumour", True), ("stroke", False)):
        made = phantom(0, lesion)
        label = ndimage.binary_erosion(made.label)
        uptake = np.percentile(made.images["t1ce"][label] / made.images["t1"][label], 95)
        assert (uptake > 1.5) == enhances


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lesion": "cyst"}, "unknown lesion 'cyst'; choose one of tumour, stroke, ms or None"),
        ({"sequences": ("t1", "dwi")}, "unknown sequence 'dwi'"),
        ({"spacing": 0.0}, "spacing must be a positive number"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_phantom(0, **arguments)


def test_written_files_read_back(tmp_path: Path) -> None:
    made = phantom(0, "tumour")
    case = write_phantom(made, tmp_path / "new", "case1")
    assert case["case_id"] == "case1" and case["t1ce"] == "case1_t1ce.nii.gz"
    volumes = dict(made.images) | {"brain_mask": made.brain_mask, "label": made.label}
    assert set(case) == set(volumes) | {"case_id"}
    for name, volume in volumes.items():
        image = nib.load(tmp_path / "new" / case[name])
        assert image.get_data_dtype() == volume.dtype
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), volume)
        np.testing.assert_array_equal(image.affine, made.affine)
    assert "label" not in write_phantom(phantom(0), tmp_path, "healthy")


def test_command_writes_the_datalist(tmp_path: Path) -> None:
    options = ["--cases", "8", "--lesions", "none,ms", "--sequences", "flair", "--spacing", "6", "--seed", "4"]
    main([str(tmp_path), *options])
    datalist = json.loads((tmp_path / "datalist.json").read_text())
    assert [len(datalist[s]) for s in ("training", "validation", "test")] == [7, 1, 0]
    cases = datalist["training"] + datalist["validation"]
    assert len({case["case_id"] for case in cases}) == 8
    assert ["label" in case for case in cases] == [False, True] * 4
    assert all((tmp_path / case["flair"]).is_file() for case in cases)
    main([str(tmp_path), "--cases", "1", "--spacing", "6", "--section", "test"])
    assert len(json.loads((tmp_path / "datalist.json").read_text())["test"]) == 1
