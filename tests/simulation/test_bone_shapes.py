"""Implicit bones against the volumes and paths of cylinders and ellipsoids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.simulation.bone_shapes import Nucleus, Waves, occupancy
from tests.helpers.plain_bones import CYLINDER, FLAT


def _grid(step: float, *ranges: tuple[float, float]) -> list[np.ndarray]:
    axes = [np.arange(low + step / 2, high, step) for low, high in ranges]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def test_occupancy_gives_the_path_through_a_slab_wherever_the_samples_fall() -> None:
    for start in np.linspace(0, 0.5, 7):
        y = start + 0.5 * np.arange(-20, 20)
        inside = occupancy(np.abs(y - 0.2) - 1.3, 0.5)
        assert 0.5 * inside.sum() == pytest.approx(2.6)


def test_distances_of_a_cylinder() -> None:
    points = [np.array(values) for values in ([1.0, 7.0, 1.0, 4.0], [-2.0, -2.0, -1.0, -2.0], [20.0, 20.0, 20.0, 4.0])]
    surface = CYLINDER.surface(points)
    np.testing.assert_allclose(surface.side[1:], [1.0, -4.0, -2.0], atol=1e-3)
    np.testing.assert_allclose(surface.height, [17.0, 17.0, 17.0, 1.0])
    assert surface.distance[1] > 0 > surface.distance[2]
    np.testing.assert_allclose(surface.across[0], [0.0, 1.2, 0.0, 0.6])


def test_volume_and_mineral_of_a_cylinder() -> None:
    step = 0.25
    points = _grid(step, (-6, 8), (-9, 5), (1, 23))
    surface = CYLINDER.surface(points)
    inside = occupancy(surface.distance, 2 * step).sum() * step**3
    assert inside == pytest.approx(np.pi * 25 * 20, rel=0.01)
    slab = CYLINDER.surface(_grid(step, (-6, 8), (-9, 5), (10, 11)))
    height = np.arange(7.125, 8, 0.25)
    cancellous = (0.05 + 0.2 * np.exp(-height / 6)).mean()
    truth = np.pi * ((25 - 3.5**2) * 0.8 + 3.5**2 * cancellous)
    assert CYLINDER.mineral(slab, np.float64(1), 2 * step).sum() * step**3 == pytest.approx(truth, rel=0.01)


def test_the_zone_of_calcification_is_a_layer_of_its_thickness() -> None:
    x, y, z = _grid(0.02, (1.0, 1.02), (-2.0, -1.98), (2, 9))
    with_zone = CYLINDER.mineral(CYLINDER.surface((x, y, z)), np.float64(1), 0.1)
    without = replace(CYLINDER, calcified=0.0)
    added = with_zone - without.mineral(without.surface((x, y, z)), np.float64(1), 0.1)
    assert 0.02 * added.sum() == pytest.approx(0.3 * 0.8, rel=0.05)
    assert (added[..., z.ravel() > 3 + 0.8 + 0.1] == 0).all()


def test_texture_multiplies_the_spongiosa_only() -> None:
    surface = CYLINDER.surface([np.array([1.0, 1 + 4.5]), np.array([-2.0, -2.0]), np.array([12.0, 12.0])])
    once, twice = (CYLINDER.mineral(surface, np.float64(t), 0.3) for t in (1, 2))
    assert twice[0] == pytest.approx(2 * once[0]) and once[0] == pytest.approx(0.05 + 0.2 * np.exp(-9 / 6))
    assert twice[1] == once[1] == pytest.approx(0.8)


def test_the_metaphysis_flares_and_the_axis_leans() -> None:
    bone = replace(CYLINDER, metaphysis=(9.0, 8.0), lean=(0.1, 0.0), bow=0.001)
    x, y, z = _grid(0.05, (-12, 16), (-2.0, -1.95), (3, 33))
    inside = bone.surface((x, y, z)).side[:, 0] < 0
    width = 0.05 * inside.sum(0)
    assert width[0] == pytest.approx(18, abs=0.1) and width[-1] == pytest.approx(10, abs=0.8)
    assert (np.diff(width) <= 0.051).all()
    half = 0.5 * (5 + 9)
    at_flare = np.searchsorted(z.ravel(), 13.0)
    assert width[at_flare] == pytest.approx(2 * half, abs=0.15)
    middle = (x[:, 0] * inside).sum(0)[-1] / inside.sum(0)[-1]
    assert middle == pytest.approx(1 + 0.1 * 30 + 0.001 * 900, abs=0.1)
    assert bone.reach(0.0) > 9 and 5 < bone.reach(30.0) < 7.5


def test_a_nucleus_is_an_ellipsoid_with_a_rim() -> None:
    nucleus = Nucleus((1.0, 2.0, 3.0), (5.0, 4.0, 3.0), FLAT, 0.4, 0.4)
    points = _grid(0.2, (-5, 7), (-3, 7), (-1, 7))
    volume = 4 / 3 * np.pi * 5 * 4 * 3
    assert nucleus.mineral(points, np.float64(1), 0.4).sum() * 0.2**3 == pytest.approx(0.4 * volume, rel=0.02)
    rimmed = replace(nucleus, interior=0.1).mineral([np.array([1.0, 5.75]), np.full(2, 2.0), np.full(2, 3.0)], 1.0, 0.1)
    np.testing.assert_allclose(rimmed, [0.1, 0.4])


def test_waves_have_their_size_and_length() -> None:
    waves = Waves.draw(np.random.default_rng(0), 8, 2.0, 16.0, 0.3)
    a, b = np.meshgrid(np.arange(0, 200, 0.7), np.arange(0, 200, 0.7))
    assert waves(a, b).std() == pytest.approx(0.3, rel=0.1)
    length = 2 * np.pi / np.linalg.norm(waves.numbers, axis=1)
    assert length.min() >= 2 and length.max() <= 16
