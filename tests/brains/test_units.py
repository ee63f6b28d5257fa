"""Units undo each other, and put background, percentile and median where they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.brains.units import (
    BACKGROUND,
    P90,
    denormalise,
    from_half_median_units,
    from_median_units,
    from_signed_units,
    normalise,
    p90_scale,
    to_half_median_units,
    to_median_units,
    to_signed_units,
)


@pytest.fixture
def brain() -> tuple[torch.Tensor, torch.Tensor]:
    """Intensities 1 ... 101 in the brain, so that the median is 51 and the p90 91; 0 outside."""
    mask = torch.zeros(2, 101, dtype=torch.float64)
    mask[0] = 1
    image = torch.zeros_like(mask)
    image[0] = torch.arange(1, 102)
    return image, mask


def test_normalised_units_have_the_background_at_minus_3_and_the_p90_at_3(brain):
    image, mask = brain
    scale = p90_scale(np.asarray(image[mask > 0]))
    assert scale == pytest.approx(91 / 6)
    units = normalise(image, scale)
    assert (units[1] == BACKGROUND).all() and float(units[0, 90]) == pytest.approx(P90)
    torch.testing.assert_close(denormalise(units, scale), image)


def test_several_sequences_have_a_scale_each(brain):
    two = np.stack([np.asarray(brain[0][0]), 10 * np.asarray(brain[0][0])])
    assert p90_scale(two, axis=1) == pytest.approx([91 / 6, 910 / 6])


def test_median_units_have_the_median_at_0_and_keep_the_background(brain):
    normalised = normalise(brain[0], 91 / 6)
    units, unit = to_median_units(normalised, brain[1])
    assert float(units[0].median()) == pytest.approx(0, abs=1e-12) and (units[1] == BACKGROUND).all()
    assert float(unit) == pytest.approx(51 / (91 / 6) / 3) and unit.ndim == 0
    torch.testing.assert_close(from_median_units(units, unit), normalised)


def test_half_median_units_have_the_median_at_one_half_and_the_background_at_0(brain):
    units, unit = to_half_median_units(*brain)
    assert float(units[0].median()) == pytest.approx(0.5) and (units[1] == 0).all() and units.min() == 0
    assert float(unit) == 102 and unit.ndim == 0
    torch.testing.assert_close(from_half_median_units(units, unit), brain[0])


def test_a_lesion_moves_the_median_less_than_the_p90(brain):
    image, mask = brain
    bright = image.clone()
    bright[0, -20:] = 300
    (rest, unit), (rest_beside, unit_beside) = (to_half_median_units(x, mask) for x in (image, bright))
    assert torch.equal(rest[0, :-20], rest_beside[0, :-20])
    moved = [float(unit), float(unit_beside)]
    assert moved[0] == moved[1] and p90_scale(np.asarray(bright[0])) > 2 * p90_scale(np.asarray(image[0]))


def test_gain_of_the_scanner_does_not_matter(brain):
    image, mask = brain
    torch.testing.assert_close(to_half_median_units(7 * image, mask)[0], to_half_median_units(image, mask)[0])
    twice, once = (to_median_units(normalise(gain * image, 91 / 6), mask)[0] for gain in (2, 1))
    torch.testing.assert_close(twice, once)
    for gain in (1, 7):
        torch.testing.assert_close(
            normalise(gain * image, p90_scale(np.asarray(gain * image[mask > 0]))), normalise(image, 91 / 6)
        )


def test_signed_units_stretch_0_to_1_to_the_range_of_a_generator():
    image = torch.tensor([0.0, 0.25, 0.5, 1.0])
    assert to_signed_units(image).tolist() == [-1, -0.5, 0, 1]
    assert torch.equal(from_signed_units(to_signed_units(image)), image)
