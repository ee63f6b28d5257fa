"""Anatomies on grids of 4 mm: fractions that add up, new folds for each seed, the same head at every spacing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from shared.simulation.phantom_anatomy import FIELD_OF_VIEW, Anatomy, grid_coordinates, make_anatomy

SPACING = 4.0


@cache
def anatomy(seed: int, spacing: float = SPACING) -> Anatomy:
    return make_anatomy(np.random.default_rng(seed), grid_coordinates(spacing)[0])


@pytest.mark.parametrize(("spacing", "shape"), [(1.0, (182, 218, 182)), (4.0, (46, 55, 46))])
def test_the_grid_is_that_of_mni_space(spacing, shape):
    coordinates, affine = grid_coordinates(spacing)
    assert tuple(len(axis) for axis in coordinates) == shape
    last = affine @ [*(n - 1 for n in shape), 1]
    np.testing.assert_allclose(last[:3], [axis[-1] for axis in coordinates])
    np.testing.assert_allclose(affine[:3, 3], [low for low, _ in FIELD_OF_VIEW])


@pytest.mark.parametrize("seed", [0, 1])
def test_fractions_add_up_to_1_and_outside_is_csf(seed):
    made = anatomy(seed)
    assert set(made.fractions) == {"csf", "grey", "deep_grey", "white", "blood"}
    assert all(f.dtype == np.float32 and f.min() >= 0 and f.max() <= 1 + 1e-6 for f in made.fractions.values())
    np.testing.assert_allclose(sum(made.fractions.values()), 1, atol=1e-5)
    assert (made.fractions["csf"][~made.brain_mask] == 1).all() and not made.myelin[~made.brain_mask].any()
    assert ndimage.label(made.brain_mask)[1] == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_tissues_lie_where_they_belong(seed):
    """Grey matter nearer to the surface than white; deep nuclei deepest; shares of an adult brain."""
    made, inside = anatomy(seed), anatomy(seed).brain_mask
    depth = {name: np.average(made.depth[inside], weights=f[inside]) for name, f in made.fractions.items()}
    assert depth["grey"] < depth["white"] < depth["deep_grey"]
    share = {name: float(f[inside].mean()) for name, f in made.fractions.items()}
    tissue = share["grey"] + share["deep_grey"] + share["white"]
    assert 0.4 < (share["grey"] + share["deep_grey"]) / tissue < 0.65  # 0.5 to 0.58 by volumetry of adults
    assert 0.05 < share["csf"] < 0.4 and share["blood"] < 0.05


def test_a_seed_is_one_anatomy_and_another_is_another():
    again = make_anatomy(np.random.default_rng(0), grid_coordinates(SPACING)[0])
    assert np.array_equal(again.brain_mask, anatomy(0).brain_mask)
    for name, fraction in again.fractions.items():
        assert np.array_equal(fraction, anatomy(0).fractions[name])
    both = anatomy(0).brain_mask & anatomy(1).brain_mask
    change = np.abs(anatomy(0).fractions["white"] - anatomy(1).fractions["white"])[both]
    assert change.mean() > 0.1 and not np.array_equal(anatomy(0).brain_mask, anatomy(1).brain_mask)


def test_the_anatomy_does_not_depend_on_the_spacing():
    """Every other voxel of a grid of 2 mm is one of the grid of 4 mm."""
    coarse, fine = anatomy(0), anatomy(0, SPACING / 2)
    part = tuple(slice(None, None, 2) for _ in range(3))
    shape = tuple(min(a, b) for a, b in zip(coarse.brain_mask.shape, fine.brain_mask[part].shape))
    common = tuple(slice(n) for n in shape)
    assert (coarse.brain_mask[common] != fine.brain_mask[part][common]).mean() < 1e-3
    for name, fraction in coarse.fractions.items():
        np.testing.assert_allclose(fraction[common], fine.fractions[name][part][common], atol=1e-3)
