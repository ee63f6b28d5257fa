"""Shapes of lesions in a head of one tissue: where they may lie, how large they are, and that fractions add up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from shared.simulation import lesion_shapes
from shared.simulation.lesion_shapes import MIDLINE_GAP, SHAPES
from shared.simulation.phantom_anatomy import Anatomy, grid_coordinates

SPACING = 3.0
COORDINATES, _ = grid_coordinates(SPACING)
SEEDS = range(4)  # in the tumour of seed 3 the ragged necrosis reaches the rim


def head() -> Anatomy:
    """A ball of white matter of 70 mm, with a ventricle of 12 mm at its middle and CSF outside."""
    x, y, z = np.meshgrid(*COORDINATES, indexing="ij", sparse=True)
    radius = np.sqrt(x**2 + (y + 17) ** 2 + (z - 18) ** 2)
    brain, ventricle = radius < 70, radius < 12
    white = (brain & ~ventricle).astype(np.float32)
    fractions = {name: np.zeros_like(white) for name in ("grey", "deep_grey", "blood")}
    depth = ndimage.distance_transform_edt(brain, sampling=SPACING).astype(np.float32)
    return Anatomy({**fractions, "white": white, "csf": 1 - white}, brain, np.zeros_like(white), depth)


HEAD = head()


def drawn(kind: str, seed: int) -> dict[str, np.ndarray]:
    return SHAPES[kind](np.random.default_rng(seed), COORDINATES, HEAD)


def litres(fraction: np.ndarray) -> float:
    return float(fraction.sum()) * SPACING**3 * 1e-6


def centre(fraction: np.ndarray) -> np.ndarray:
    return np.array([axis[n] for axis, n in zip(COORDINATES, np.rint(ndimage.center_of_mass(fraction)).astype(int))])


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_fractions_are_shares_and_spare_csf(kind, seed):
    parts = drawn(kind, seed)
    together = sum(parts.values())
    assert all(part.min() >= 0 and part.max() <= 1 + 1e-6 for part in parts.values())
    spread = {"tumour": "oedema", "stroke": "infarct", "ms": "plaque"}[kind]
    assert parts[spread][HEAD.fractions["csf"] == 1].max() < 1e-6 and 0.9 < together.max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", SHAPES)
def test_a_seed_is_one_lesion(kind):
    one, same, other = (drawn(kind, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tumour_that_is_not_ragged_is_balls_within_balls(seed, monkeypatch):
    """Radii of 1, 0.86 and 0.62 of a size of 9 to 18 mm; oedema around it, for there is white matter."""
    monkeypatch.setattr(lesion_shapes, "gaussian_field", lambda *_: np.float32(0))
    parts = drawn("tumour", seed)
    core, rim, necrosis = (parts[name] for name in ("tumour_core", "tumour_rim", "necrosis"))
    radii = [(litres(part) * 1e6 * 3 / (4 * np.pi)) ** (1 / 3) for part in (core + rim + necrosis, rim + necrosis)]
    size = radii[0]
    assert 9 - 0.2 < size < 18 + 0.2
    assert radii[1] / size == pytest.approx(0.86, abs=0.02)
    assert litres(necrosis) / litres(core + rim + necrosis) == pytest.approx(0.62**3, abs=0.03)
    assert litres(parts["oedema"]) > 0 and sum(parts.values()).max() <= 1 + 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tumour_lies_in_the_cerebrum_beside_the_midline(seed, monkeypatch):
    monkeypatch.setattr(lesion_shapes, "gaussian_field", lambda *_: np.float32(0))
    x, _, z = centre(drawn("tumour", seed)["necrosis"])
    assert abs(x) > MIDLINE_GAP - SPACING and z > -10 - SPACING


@pytest.mark.parametrize("seed", SEEDS)
def test_an_infarct_lies_at_the_surface_to_one_side(seed):
    infarct = drawn("stroke", seed)["infarct"]
    inside = infarct > 0.5
    assert HEAD.depth[inside].min() < 6 and abs(centre(infarct)[0]) > 15
    assert 0.003 < litres(infarct) < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_plaques_are_many_small_and_mostly_near_the_ventricle(seed):
    plaque = drawn("ms", seed)["plaque"]
    parts, count = ndimage.label(plaque > 0.5)
    assert 3 <= count <= 25  # 8 to 25, some of which touch
    sizes = np.bincount(parts.ravel())[1:] * SPACING**3
    assert sizes.max() < 8000  # mm3
    away = ndimage.distance_transform_edt(~((HEAD.fractions["csf"] > 0.5) & HEAD.brain_mask), sampling=SPACING)
    assert np.median(away[plaque > 0.5]) < np.median(away[HEAD.brain_mask])
