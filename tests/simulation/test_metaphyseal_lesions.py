"""Fractures of a cylinder: the fragment, the gap, the way it has moved, and mass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.simulation.metaphyseal_lesions import CLOSED, HEALING_SHARE, KINDS, Fracture, draw_fracture, fractured
from tests.helpers.plain_bones import CYLINDER, FLAT

BONE = replace(CYLINDER, physis=(0.0, 0.0, 0.0))
STEP = 0.25
POINTS = np.meshgrid(np.arange(-6, 6, STEP), np.arange(-6, 6, STEP), np.arange(-4, 10, STEP), indexing="ij")
CORNER = Fracture("corner", (1.0, 0.0), 0.4, 0.0, 3.0, 0.8, 0.0, 0.0, 0.0, False, FLAT, FLAT)
DISC = Fracture("bucket_handle", (1.0, 0.0), -2.0, 1.0, 2.0, 0.75, 0.0, 0.0, 0.0, False, FLAT, FLAT)


def _break(fracture: Fracture, edge: float = STEP):
    surface = BONE.surface(POINTS)
    return fractured(BONE, surface, POINTS, np.float64(1), edge, fracture), BONE.mineral(surface, np.float64(1), edge)


def test_a_corner_fragment_is_a_wedge_at_the_margin() -> None:
    broken, _ = _break(replace(CORNER, gap=1e-6))
    x, y, z = POINTS
    core = (np.hypot(x, y) < 4.4) & (z > 0.6)  # away from the rounded edge
    truth = (z < 3.0 * (x / 5 - 0.4) / 0.6) & (x / 5 > 0.4)
    assert ((broken.lesion < 0)[core] == truth[core]).mean() > 0.995
    assert (broken.lesion < 0).any() and not (broken.lesion < 0)[x < 1.9].any()
    assert (broken.lesion[z > 3.3] > 0).all()


@pytest.mark.parametrize("fracture", [CORNER, DISC])
def test_the_gap_takes_away_its_mineral_and_nothing_else(fracture: Fracture) -> None:
    broken, whole = _break(fracture)
    lost = (whole - broken.mineral).sum(2) * STEP
    column = (40, 24)  # x = 4, y = 0
    face, width, _ = fracture.sheet(BONE.surface(POINTS))
    outwards = (0.8 - 0.4) / 0.6 if fracture is CORNER else 0.8**2
    assert width[column][0] == pytest.approx(fracture.gap * (CLOSED + (1 - CLOSED) * outwards), rel=1e-3)
    z = POINTS[2][column]
    density = whole[column][np.abs(z - face[column][0] - width[column][0] / 2).argmin()]
    assert lost[column] == pytest.approx(width[column][0] * density, rel=0.2)
    inside = z < face[column] + width[column]  # the lesion is fragment and gap
    np.testing.assert_array_equal((broken.lesion < 0)[column][z > 0.3], inside[z > 0.3])
    far = POINTS[2] > 4.5
    np.testing.assert_array_equal(broken.mineral[far], whole[far])
    np.testing.assert_array_equal(broken.bone, BONE.surface(POINTS).distance)  # nothing has moved
    partly, _ = _break(replace(fracture, left=0.4))
    assert (whole - partly.mineral).sum() == pytest.approx(0.6 * (whole - broken.mineral).sum(), rel=1e-6)


def test_a_moved_fragment_keeps_its_mass() -> None:
    still, _ = _break(DISC)
    moved, _ = _break(replace(DISC, shift=0.5))
    assert moved.mineral.sum() == pytest.approx(still.mineral.sum(), rel=0.005)
    heights = [(b.mineral * POINTS[2])[POINTS[2] < 2].sum() for b in (still, moved)]
    assert heights[1] < heights[0]
    centre = (24, 24)
    ends = [POINTS[2][centre][(b.bone < 0)[centre]].min() for b in (still, moved)]
    assert ends[0] - ends[1] == pytest.approx(0.5)


def test_tilt_moves_the_far_rim_most_and_not_the_hinge() -> None:
    tilted = replace(DISC, inner=-1.0, tilt=0.6)
    moved, still = _break(tilted)[0], _break(DISC)[0]
    z = POINTS[2][0, 0]
    lowest = [[z[(b.bone < 0)[i, 24]].min() for i in (8, 24, 40)] for b in (still, moved)]
    way = np.subtract(*lowest)
    np.testing.assert_allclose(way, [0.12, 0.6, 1.08], atol=STEP)
    assert way[0] < way[1] < way[2]


def test_a_partial_bucket_handle_leaves_the_other_side_whole() -> None:
    partial, whole = _break(replace(DISC, inner=0.0, shift=0.3))
    other = POINTS[0] < -0.1
    np.testing.assert_array_equal(partial.mineral[other], whole[other])
    assert (partial.lesion[other] > 0).all() and (partial.lesion < 0).any()


def test_healing_adds_sclerosis_and_periosteal_bone() -> None:
    healing, _ = _break(replace(DISC, healing=True))
    fresh, _ = _break(DISC)
    added = healing.mineral - fresh.mineral
    radius = np.hypot(POINTS[0], POINTS[1])
    assert added.min() >= 0
    assert added[(radius > 5.5) & (radius < 5.9) & (np.abs(POINTS[2] - 6) < 2)].mean() > 0.1
    assert added[(radius < 2) & (POINTS[2] > 2.2) & (POINTS[2] < 2.6)].mean() > 0.1
    assert (added[(radius < 4) & (POINTS[2] > 5)] == 0).all()


def test_draws_are_within_the_stated_sizes_and_share_their_stream() -> None:
    drawn = {kind: [draw_fracture(np.random.default_rng(seed), kind) for seed in range(200)] for kind in KINDS}
    for fractures in drawn.values():
        assert all(0.4 <= f.gap <= 1.2 and f.rim <= 4.5 and f.shift <= 0.5 for f in fractures)
        assert all(abs(f.direction[0]) > 0.9 and np.hypot(*f.direction) == pytest.approx(1) for f in fractures)
        assert 0.3 < np.mean([f.direction[0] > 0 for f in fractures]) < 0.7
        assert np.mean([f.healing for f in fractures]) == pytest.approx(HEALING_SHARE, abs=0.1)
    same = [(a.direction, a.healing) == (b.direction, b.healing) for a, b in zip(*drawn.values(), strict=True)]
    assert all(same)
