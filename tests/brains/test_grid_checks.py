"""Grids on either side of the limit, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shared.brains.grid_checks import check_same_grid
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, volume

INSIDE = BRAIN != 0


@pytest.mark.parametrize(("shift_mm", "same"), [(0.2, True), (0.3, False)])
def test_grids_are_one_where_corners_lie_within_a_tenth_of_a_voxel(shift_mm, same):
    moved = AFFINE.copy()
    moved[1, 3] += shift_mm  # of voxels of 2.5 mm
    if same:
        check_same_grid(volume(BRAIN, "label", moved), volume(BRAIN))
        return
    with pytest.raises(InputError, match="differs from that of t1.nii.gz by up to 0.3 mm") as caught:
        check_same_grid(volume(BRAIN, "label", moved), volume(BRAIN))
    assert caught.value.key == "label" and "(nearest neighbour)" in caught.value.remedy


def test_the_far_corner_counts_and_masks_are_resampled_by_nearest_neighbour():
    """Voxels 1 % larger: no shift at the first corner, 64 * 0.025 mm along each axis at the last."""
    wider = AFFINE.copy()
    wider[:3, :3] *= 1.01
    with pytest.raises(InputError, match=f"by up to {64 * 0.025 * 3**0.5:.3g} mm") as caught:
        check_same_grid(volume(INSIDE, "label", wider), volume(BRAIN))
    assert "(nearest neighbour)" in caught.value.remedy


def test_the_thickness_of_a_single_slice_does_not_count():
    one = BRAIN[:, :, [32]]
    check_same_grid(volume(one, "label", AFFINE @ np.diag([1, 1, 4, 1])), volume(one))
