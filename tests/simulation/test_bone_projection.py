"""Bones projected along the beam: the shadow and the path of a cylinder, and bands that meet without a seam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from shared.simulation import bone_projection
from shared.simulation.bone_projection import STEP, Pose, project
from shared.simulation.infant_ankle import draw_ankle
from tests.helpers.plain_bones import CYLINDER


def test_the_mask_is_the_shadow_of_the_bone() -> None:
    bone = CYLINDER
    right = np.arange(-20, 20, 0.1) + 0.05
    pose = Pose(Rotation.from_euler("y", 10, degrees=True).as_matrix(), (2.0, -8.0))
    shadow = project(bone, pose, right, right[::-1], np.random.default_rng(0))
    physis = pose.place(bone.physis)
    # Ten mm wide across the axis, up to the top of the field; the square end turns about its middle.
    length = (20 - physis[2]) / np.cos(np.deg2rad(10))
    assert shadow.bone.sum() * 0.01 == pytest.approx(10 * length, rel=0.01)
    assert not shadow.lesion.any()
    assert ((shadow.mineral > 0.4) <= ndimage.binary_dilation(shadow.bone, iterations=3)).all()
    row = 100  # up = 10: the path through the two walls and the marrow at the middle, across a tilted cylinder
    middle = shadow.mineral[shadow.bone[:, row], row]
    assert middle[len(middle) // 2 - 5 : len(middle) // 2 + 5].mean() == pytest.approx(3 * 0.8 + 7 * 0.06, rel=0.1)


def test_bands_cover_the_bones_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bone_projection, "_texture", lambda rng, box, low, high: np.float32(1))
    right = np.arange(-28, 28, 0.7)
    along = STEP * np.arange(-80, 80)
    ankle = draw_ankle(np.random.default_rng(1))
    pose = Pose(Rotation.from_euler("zxy", (15, -15, 15), degrees=True).as_matrix(), (0.0, -8.0))
    tapering = replace(CYLINDER, metaphysis=(11.0, 11.0), flare=5.0)  # the narrower the band above, the more is cut off
    for bone in (ankle.tibia, ankle.fibula, tapering):
        shadow = project(bone, pose, right, right[::-1], np.random.default_rng(0))
        surface = bone.surface(pose.points(right, along, right[::-1]))
        truth = STEP * bone.mineral(surface, np.float32(1), STEP).sum(1)
        np.testing.assert_allclose(shadow.mineral, truth, atol=1e-4)
        np.testing.assert_array_equal(shadow.bone, (surface.distance < 0).any(1))


def test_a_pose_places_points_and_points_finds_them_again() -> None:
    """A quarter turn about the beam takes right to up; the physis lies at its centre."""
    pose = Pose(Rotation.from_euler("y", -90, degrees=True).as_matrix(), (2.0, -8.0))
    np.testing.assert_allclose(pose.place((0, 0, 0)), [2, 0, -8])
    np.testing.assert_allclose(pose.place((1, 5, 0)), [2, 5, -7], atol=1e-12)
    x, y, z = pose.points(np.array([2.0, 3.0]), np.array([5.0]), np.array([-7.0]))
    np.testing.assert_allclose([x[0, 0, 0], y[0, 0, 0], z[0, 0, 0]], [1, 5, 0], atol=1e-6)
    np.testing.assert_allclose([x[1, 0, 0], z[1, 0, 0]], [1, -1], atol=1e-6)
