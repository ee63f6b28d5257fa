"""Sequences of a case brought to one grid: what is linear in space stays where it was, what is on it as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.brains.one_grid import OneGridd, are_one_grid, corner_shift, resample_to, shown_of
from shared.brains.volume import Grid

SLOPE, OFFSET = np.array([1.0, -2.0, 0.5]), 300.0


def affine_of(spacing: tuple[float, ...], origin: tuple[float, ...] = (0, 0, 0), degrees: float = 0) -> np.ndarray:
    """Voxel sizes, then a turn around the last axis, then the place of the first voxel, all in mm."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def ramp(grid: Grid) -> MetaTensor:
    """``1 X Y Z``, linear in mm, the same for every grid."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
    mm = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return MetaTensor(torch.from_numpy(mm @ SLOPE + OFFSET).float()[None], affine=grid.affine)


FLAIR = Grid((20, 24, 6), affine_of((2, 2, 6), (-20, -24, -15)))
T1 = Grid((40, 44, 36), affine_of((-1.5, 1.5, 1.2), (30, -33, -20)))
TURNED = Grid((50, 50, 40), affine_of((1.5, 1.5, 1.2), (-35, -40, -25), degrees=10))


@pytest.mark.parametrize("given", [T1, TURNED])
def test_what_is_linear_in_space_stays_where_it_was(given: Grid):
    """Smoothing leaves a ramp as it is, away from the rim."""
    inner = resample_to(FLAIR, ramp(given))[0, 2:-2, 2:-2, 1:-1]
    np.testing.assert_allclose(inner, ramp(FLAIR)[0, 2:-2, 2:-2, 1:-1], atol=0.05)


def test_thin_slices_are_averaged_over_thick_ones():
    """Sampled at the centres of slices of 6 mm, slices of 1.2 mm that alternate would still differ."""
    stripes = torch.arange(36).expand(1, 40, 44, 36).remainder(2).float()
    coarse = resample_to(FLAIR, MetaTensor(stripes, affine=T1.affine))
    assert (coarse[..., 1:-1] - 0.5).abs().max() < 0.05


def test_shown_is_what_lies_in_a_voxel_of_the_other():
    half = Grid((20, 24, 3), FLAIR.affine)
    assert shown_of(FLAIR, FLAIR).all() and shown_of(FLAIR, T1).all()
    np.testing.assert_array_equal(shown_of(FLAIR, half), np.arange(6) < np.full((20, 24, 1), 3))
    finer = Grid((40, 48, 6), affine_of((1, 1, 6), (-20.5, -24.5, -15)))
    assert shown_of(FLAIR, finer).all(), "the outermost centres are half a voxel further in"
    away = Grid(FLAIR.shape, FLAIR.affine + np.eye(4)[:, [0]] * [[0, 0, 0, 100]])
    assert not shown_of(FLAIR, away).any()


def test_one_grid_allows_for_a_tenth_of_a_voxel():
    near, far = (Grid(FLAIR.shape, FLAIR.affine + np.eye(4)[:, [1]] * [[0, 0, 0, mm]]) for mm in (0.19, 0.21))
    assert are_one_grid(FLAIR, near) and not are_one_grid(FLAIR, far)
    assert corner_shift(FLAIR, far) == pytest.approx(0.21)
    assert not are_one_grid(FLAIR, Grid((20, 24, 5), FLAIR.affine))
    slices = [Grid((20, 24, 1), affine_of((2, 2, thickness))) for thickness in (1, 5)]
    assert are_one_grid(*slices), "the thickness of a single slice is often made up"


def test_sequences_on_the_grid_stay_bit_for_bit_and_others_come_to_it():
    near = ramp(Grid(FLAIR.shape, FLAIR.affine + np.eye(4)[:, [1]] * [[0, 0, 0, 0.1]]))
    case = {"image": ramp(FLAIR), "t1": ramp(T1), "t1ce": near}
    found = OneGridd(["t1", "t1ce", "flair"])(case)
    assert found["t1ce"] is near and torch.equal(found["image"], case["image"]) and "brain_mask" not in found
    assert found["t1"].shape == found["image"].shape
    np.testing.assert_allclose(found["t1"].affine, FLAIR.affine)
    assert case["t1"].shape == (1, *T1.shape), "the input is left alone"


def test_what_a_sequence_does_not_show_is_no_brain():
    half = Grid((20, 24, 3), FLAIR.affine)
    case = {"image": ramp(FLAIR), "brain_mask": MetaTensor(torch.ones(1, *FLAIR.shape)), "t1": ramp(half)}
    found = OneGridd("t1")(case)
    assert not found["image"][..., 3:].any() and torch.equal(found["image"][..., :3], case["image"][..., :3])
    assert found["brain_mask"][0, 0, 0].tolist() == [1, 1, 1, 0, 0, 0]
    assert found["t1"].isfinite().all()
