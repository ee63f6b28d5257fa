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
    assert 1.2e6 < inside.sum() * 27 < 2.3e6  # mm^3, an adult brain with its sulci
    assert nib.aff2axcodes(made.affine) == ("R", "A", "S")


def test_tissue_ratios_on_t1_are_those_of_measured_volumes() -> None:
    made = phantom(0)
    image, inside = made.images["t1"], made.brain_mask.astype(bool)
    relative = np.percentile(image[inside], [5, 25, 50]) / np.percentile(image[inside], 90)
    # Twelve IXI subjects of train and val, brain-extracted at 2 mm: 0.33 to 0.43, 0.69 to 0.74, 0.83 to 0.87.
    np.testing.assert_allclose(relative, [0.40, 0.74, 0.85], atol=0.06)


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
