"""The drawn ankle of an infant: its sizes, and the paths of a beam through soft tissue in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from shared.simulation.infant_ankle import SKIN, SoftTissue, draw_ankle
from tests.helpers.plain_bones import FLAT


def test_ankles_have_sizes_of_infants_and_an_epiphysis_late() -> None:
    ankles = [draw_ankle(np.random.default_rng(seed)) for seed in range(60)]
    ages = np.array([ankle.age_months for ankle in ankles])
    assert 0 <= ages.min() < 2 and 10 < ages.max() <= 12
    shafts, metaphyses = (np.array([2 * getattr(a.tibia, k)[0] for a in ankles]) for k in ("shaft", "metaphysis"))
    assert 6.5 < shafts.min() and shafts.max() < 13 and 12 < metaphyses.min() and metaphyses.max() < 23
    assert np.corrcoef(ages, shafts)[0, 1] > 0.5
    assert all(a.fibula.shaft[0] < 0.6 * a.tibia.shaft[0] and a.fibula.physis[0] > 8 for a in ankles)
    ossified = np.array([len(a.nuclei) == 3 for a in ankles])
    assert not ossified[ages < 4].any() and ossified[ages > 11].all()


def test_soft_tissue_is_thickest_inside_and_none_outside() -> None:
    leg = draw_ankle(np.random.default_rng(0)).soft_tissue
    x, z = np.linspace(-60, 60, 241)[:, None], np.array([[5.0, 30.0]])
    paths = leg.paths(x, z)
    whole = paths["soft"] + paths["fat"]
    assert (paths["soft"] >= 0).all() and (paths["fat"] >= 0).all() and (whole[[0, -1]] == 0).all()
    assert ((whole > 0).sum(0) * 0.5 > 28).all() and ((whole > 0).sum(0) * 0.5 < 75).all()
    assert np.abs(whole.argmax(0) * 0.5 - 60 - leg.middle).max() < 2.5 and (whole.max(0) < 80).all()


def test_paths_of_a_leg_of_one_ellipse_are_its_chords() -> None:
    """Half axes of 20 and 15 mm all along; skin of 1.2 mm, then fat of 3 mm about muscle, of which 15 % is fat."""
    leg = SoftTissue(1.0, 20.0, 20.0, 10.0, 0.0, 0.75, 3.0, (), FLAT, FLAT)
    x, z = np.array([[1.0], [9.0], [22.0]]), np.array([[30.0]])
    paths = leg.paths(x, z)

    def chord(less: float) -> np.ndarray:
        return 2 * (15 - less) * np.sqrt(np.clip(1 - ((x - 1) / (20 - less)) ** 2, 0, None))

    muscle = chord(SKIN + 3.0)
    fat = chord(SKIN) - muscle + 0.15 * muscle
    np.testing.assert_allclose(paths["fat"], fat)
    np.testing.assert_allclose(paths["soft"], chord(0.0) - fat)
    assert paths["soft"][0, 0] + paths["fat"][0, 0] == pytest.approx(30) and not paths["soft"][2, 0]


def test_a_crease_takes_off_what_its_depth_says() -> None:
    """At its middle, in front of the axis, 0.55 of 2 mm to either side; 5 mm above there is none of it."""
    plain = SoftTissue(0.0, 20.0, 20.0, 10.0, 0.0, 0.75, 3.0, (), FLAT, FLAT)
    folded = SoftTissue(0.0, 20.0, 20.0, 10.0, 0.0, 0.75, 3.0, ((30.0, 2.0, 0.0),), FLAT, FLAT)
    x, z = np.array([[0.0]]), np.array([[30.0, 35.0]])
    whole, less = (sum(leg.paths(x, z).values()) for leg in (plain, folded))
    np.testing.assert_allclose(whole - less, [[2 * 0.75 * 2.0 * 0.55, 0]], atol=1e-6)


def test_the_same_seed_draws_the_same_ankle() -> None:
    one, same, other = (draw_ankle(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.age_months == same.age_months != other.age_months
    assert one.tibia.shaft == same.tibia.shaft and one.soft_tissue.creases == same.soft_tissue.creases
