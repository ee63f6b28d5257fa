"""The zero of intensities, on scans whose values were moved and scaled in ways that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.brains.intensity_zero import IntensityZero, IntensityZerod, find_zero, in_units_of_file, set_zero
from tests.helpers.ellipsoid_brain import BRAIN

INSIDE = BRAIN != 0
SCAN = np.where(INSIDE, BRAIN - 0.99 * BRAIN[INSIDE].min(), 0).astype(np.float32)  # its fluid is dark
ALL = SCAN.ravel()
TISSUE = SCAN[INSIDE]


def moved(scale: float, background: float) -> np.ndarray:
    """The scan with other units, and 0 elsewhere."""
    return (scale * SCAN + background).astype(np.float32)


@pytest.mark.parametrize(
    ("scale", "background"),
    [(2 / TISSUE.max(), -1), (1 / ALL.std(), -ALL.mean() / ALL.std()), (1, 7), (1e-6, -2e-5), (0.5, -300)],
    ids=["-1 to 1", "standardised over the field", "bright background", "tiny values", "negative intercept"],
)
def test_a_background_of_one_value_is_the_zero_and_nothing_else_changes(scale, background):
    image = moved(scale, background)
    done, zero, note = set_zero(image, 2)
    assert zero.background == zero.tissue == pytest.approx(background, rel=1e-6)
    np.testing.assert_allclose(done / scale, SCAN, atol=2e-6 * max(abs(background) / scale, TISSUE.max()))
    np.testing.assert_array_equal(done != 0, INSIDE)
    assert note == f"its background is {zero.background:g}, not 0: subtracted"


@pytest.mark.parametrize("crop", [slice(None), slice(8, -8)], ids=["whole", "cropped"])
def test_a_background_next_to_0_is_0_and_not_tissue(crop):
    done, zero, note = set_zero(np.where(INSIDE, SCAN, 1e-30).astype(np.float32)[crop, crop, crop], 2)
    np.testing.assert_array_equal(done, SCAN[crop, crop, crop])
    assert zero.background == pytest.approx(1e-30)


def test_a_scan_whose_background_is_0_stays_the_same_object():
    image = SCAN.copy()
    image[32, 32, :3] = -5  # negative values occur in real brains
    done, zero, note = set_zero(image, 2)
    assert done is image and zero == (0, 0) and not note


@pytest.mark.parametrize("background", [-1.0, -1024.0])
def test_padding_around_a_scan_is_no_zero_of_it(background):
    done, zero, note = set_zero(np.where(INSIDE, SCAN, background).astype(np.float32), 2)
    np.testing.assert_array_equal(done, SCAN)
    assert zero == (background, 0) and note == f"its background is {background:g}, a padding value: set to 0"


@pytest.mark.parametrize("background", [0.0, 0.7, -5.0, -30.0])
def test_of_a_scan_standardised_in_the_brain_the_darkest_stands_for_the_lost_zero(background):
    mean, deviation = float(TISSUE.mean()), float(TISSUE.std())
    image = np.where(INSIDE, (SCAN - mean) / deviation, background).astype(np.float32)
    done, zero, note = set_zero(image, 2)
    darkest = np.percentile(TISSUE, 0.1)
    assert zero == pytest.approx((background, (darkest - mean) / deviation), abs=1e-4)
    np.testing.assert_allclose(done[INSIDE] * deviation, TISSUE - darkest, atol=1e-3)
    assert (done[~INSIDE] == 0).all() and "in the brain alone" in note and "pass the scan as it was" in note


@pytest.mark.parametrize(("scale", "offset"), [(2 / TISSUE.max(), -1), (1, 3 * TISSUE.max())], ids=["-1 to 1", "far"])
def test_of_a_brain_that_was_scaled_or_shifted_with_0_around_it_the_darkest_stands_for_the_lost_zero(scale, offset):
    done, zero, note = set_zero(np.where(INSIDE, scale * SCAN + offset, 0).astype(np.float32), 2)
    darkest = np.percentile(TISSUE, 0.1)
    assert zero == pytest.approx((0, scale * darkest + offset), rel=1e-4)
    np.testing.assert_allclose(done[INSIDE] / scale, TISSUE - darkest, atol=1e-3)
    assert (done[~INSIDE] == 0).all() and "in the brain alone" in note


def test_tissue_of_one_grey_has_lost_no_zero():
    image = np.where(INSIDE, 100, 0).astype(np.float32)
    image[32, 32, 28:36] = 70
    assert set_zero(image, 2)[0] is image


def test_a_little_below_the_background_as_interpolation_leaves_it_is_no_lost_zero():
    rim = INSIDE & ~np.roll(INSIDE, 1, 0)
    image = np.where(rim, -0.1 * TISSUE.max(), SCAN).astype(np.float32)
    assert np.mean(image[INSIDE] < 0) > 0.01 and set_zero(image, 2)[0] is image


def test_a_background_of_several_values_and_an_inverted_scan_are_left_to_the_door():
    noise = np.where(INSIDE, SCAN, np.random.default_rng(0).normal(0, 1, SCAN.shape)).astype(np.float32)
    assert find_zero(noise, 2) is None and set_zero(noise, 2)[0] is noise
    done, zero, _ = set_zero(moved(-1, 5), 2)
    np.testing.assert_allclose(done, -SCAN, atol=1e-4)
    assert zero == (5, 5)


def test_the_border_is_that_of_the_slices_so_that_a_few_of_them_have_one():
    few = moved(1, -9)[:, :, 30:33]
    assert find_zero(few, 2).zero == (-9, -9)


def test_channels_are_treated_each_by_itself_and_come_back_in_the_units_of_the_file():
    channels = np.stack([SCAN, moved(2, -30), np.where(INSIDE, SCAN - TISSUE.mean(), 0).astype(np.float32)])
    data = {"image": MetaTensor(torch.from_numpy(channels), affine=torch.eye(4)), "case_id": "a"}
    done = IntensityZerod(["image", "t1"])(data)
    assert torch.equal(done["image"][0], data["image"][0]) and done["case_id"] == "a"
    zeros = done["intensity_zero"]["image"]
    assert zeros.shape == (3, 2) and zeros[:2].tolist() == [[0, 0], [-30, -30]]
    back = in_units_of_file(np.asarray(done["image"]), INSIDE, zeros)
    np.testing.assert_allclose(back, channels, atol=1e-4)


def test_an_image_that_needs_nothing_stays_the_same_object():
    image = MetaTensor(torch.from_numpy(SCAN[None]), affine=torch.eye(4))
    done = IntensityZerod("image")({"image": image})
    assert done["image"] is image and IntensityZero(*done["intensity_zero"]["image"][0]) == (0, 0)


@pytest.mark.parametrize("background", [0.0, -40.0])
def test_planes_of_another_value_at_the_border_are_no_tissue(background):
    framed = moved(1, background)
    framed[:2], framed[:, :, -1] = 7, 900
    done, zero, note = set_zero(framed, 2)
    np.testing.assert_allclose(done, SCAN, atol=1e-4)
    assert zero == (background, background) and note.endswith(
        "planes of one value at its border are no tissue: set to 0"
    )
    assert not note.startswith(";")
