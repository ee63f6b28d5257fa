"""Brain masks on brains whose shares are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from shared.brains.mask_fit import share_beyond, without_outer_zeros
from shared.brains.nifti import read_volume
from tests.helpers.ellipsoid_brain import BRAIN
from tests.helpers.real_data import DATA, needs_data

INSIDE = BRAIN != 0


def cube(low: int, high: int) -> np.ndarray:
    mask = np.zeros((20, 20, 20), bool)
    mask[low:high, low:high, low:high] = True
    return mask


def test_zeros_go_where_they_reach_the_outside_of_the_mask():
    mask, image = cube(2, 18), cube(4, 16).astype(float)
    image[9:11, 9:11, 9:11] = 0  # enclosed, as fluid is
    image[4:8, 5, 5] = 0  # a sulcus
    expected = cube(4, 16)
    expected[4:8, 5, 5] = False
    np.testing.assert_array_equal(without_outer_zeros(mask, image), expected)


def test_the_edge_of_the_field_of_view_is_not_outside():
    mask, image = np.ones((20, 20, 1), bool), np.ones((20, 20, 1))
    image[5:9, 5:9] = 0  # a ventricle in a single slice
    mask[:, 0] = image[:, 0] = False
    np.testing.assert_array_equal(without_outer_zeros(mask, image), mask)


def test_a_mask_without_zeros_stays_the_same_object():
    assert without_outer_zeros(INSIDE, BRAIN) is INSIDE


@pytest.mark.parametrize(("planes", "share"), [(0, 0), (1, 0), (2, 0.1), (10, 0.5)])
def test_the_share_beyond_is_that_of_a_slab_and_one_plane_is_a_rim(planes, share):
    whole = np.ones((20, 10, 10), bool)
    other = whole.copy()
    other[20 - planes :] = False
    assert share_beyond(whole, other) == share


@pytest.mark.parametrize("change", [binary_erosion, binary_dilation])
def test_a_voxel_at_the_surface_is_no_misfit(change):
    other = change(INSIDE)
    assert np.mean(INSIDE != other) / np.mean(INSIDE) > 0.08
    assert share_beyond(INSIDE, other) == share_beyond(other, INSIDE) == 0


@pytest.mark.real_data
@needs_data
def test_real_masks_fit_and_those_that_do_not_are_told():
    brain = read_volume(str(DATA / "odd_files" / "04_mask_fit" / "t1.nii.gz"), "t1").data
    shares = {}
    for name in ("dilated_4mm", "dilated_8mm", "moved_16mm"):
        mask = read_volume(str(DATA / "odd_files" / "04_mask_fit" / f"mask_{name}.nii.gz"), "brain_mask").data > 0
        shares[name] = share_beyond(brain != 0, mask), share_beyond(mask, without_outer_zeros(mask, brain))
    assert shares["dilated_4mm"] == (0, pytest.approx(0.15, abs=0.01))
    assert shares["dilated_8mm"] == (0, pytest.approx(0.26, abs=0.01))
    assert shares["moved_16mm"] == (pytest.approx(0.17, abs=0.01), pytest.approx(0.17, abs=0.01))
    for folder in sorted((DATA / "lgg2d").glob("TCGA*"))[::6]:
        flair, mask = (read_volume(str(folder / f"{name}.nii.gz"), name).data for name in ("flair", "brain"))
        assert share_beyond(flair != 0, mask > 0) == share_beyond(mask > 0, without_outer_zeros(mask > 0, flair)) == 0


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("change", [binary_erosion, binary_dilation])
def test_a_real_mask_that_is_a_voxel_smaller_or_wider_is_no_misfit(change):
    for file in sorted((DATA / "ixi_t1").glob("*_T1.nii.gz"))[::15]:
        image = read_volume(str(file), "t1").data
        mask = change(image != 0)
        assert share_beyond(image != 0, mask) == share_beyond(mask, without_outer_zeros(mask, image)) == 0, file
