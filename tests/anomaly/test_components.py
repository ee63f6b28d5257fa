"""Components and holes: boxes whose voxels are counted by hand, stacked along every axis."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from shared.anomaly.components import (
    LargeComponentsd,
    RemoveSmallObjectsd,
    fill_holes_in_plane,
    large_areas,
    large_components,
)

SHAPE = (24, 20, 16)


def box(*corners: tuple[int, int]) -> np.ndarray:
    """``X Y Z`` bool, from the first to before the second number along each axis."""
    volume = np.zeros(SHAPE, dtype=bool)
    volume[tuple(slice(*corner) for corner in corners)] = True
    return volume


LARGEST = box((2, 7), (2, 6), (2, 7))  # 100 voxels
FIFTH = box((12, 16), (2, 7), (4, 5))  # 20 voxels
LESS = box((12, 13), (12, 19), (8, 9)) | box((13, 14), (12, 18), (8, 9)) | box((14, 15), (12, 18), (8, 9))  # 19 voxels


class TestLargeComponents:
    @pytest.mark.parametrize(
        ("min_share", "kept"),
        [
            (0.0, LARGEST | FIFTH | LESS),
            (0.19, LARGEST | FIFTH | LESS),
            (0.2, LARGEST | FIFTH),
            (0.21, LARGEST),
            (1.0, LARGEST),
        ],
    )
    def test_share_of_the_largest(self, min_share: float, kept: np.ndarray):
        np.testing.assert_array_equal(large_components(LARGEST | FIFTH | LESS, min_share), kept)

    def test_voxels_that_share_a_corner_are_one_component(self):
        corner = box((7, 9), (6, 8), (7, 9))  # touches the largest one in a corner
        np.testing.assert_array_equal(large_components(LARGEST | corner, 0.5), LARGEST | corner)
        apart = box((8, 10), (6, 8), (7, 9))
        np.testing.assert_array_equal(large_components(LARGEST | apart, 0.5), LARGEST)

    def test_equal_components_stay(self):
        both = LARGEST | np.roll(LARGEST, 12, axis=0)
        np.testing.assert_array_equal(large_components(both, 1.0), both)

    @pytest.mark.parametrize("min_share", [0.0, 0.2])
    def test_empty_and_full_masks(self, min_share: float):
        assert not large_components(np.zeros(SHAPE), min_share).any()
        assert large_components(np.ones(SHAPE), min_share).all()


class TestLargeAreas:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize(("min_pixels", "kept"), [(0, True), (19, True), (19.9, True), (20, False), (21, False)])
    def test_area_must_be_larger(self, axis: int, min_pixels: float, kept: bool):
        tile = np.zeros((12, 12, 12), dtype=bool)
        tile[3:8, 4:8, 2:9] = True  # 5 x 4 pixels in seven slices: slices do not add up
        tile = np.moveaxis(tile, 2, axis)
        np.testing.assert_array_equal(large_areas(255 * tile, axis, min_pixels), tile & kept)

    def test_slices_and_components_are_judged_one_by_one(self):
        large, small = box((2, 7), (2, 6), (3, 4)), box((12, 15), (2, 6), (3, 4))  # 20 and 12 pixels of one slice
        below = box((2, 5), (2, 6), (2, 3))  # 12 pixels that touch the large one, a slice lower
        np.testing.assert_array_equal(large_areas(large | small | below, 2, 12), large)

    def test_pixels_that_share_a_corner_are_one_component(self):
        chain = box((2, 4), (2, 4), (5, 6)) | box((4, 6), (4, 6), (5, 6))
        np.testing.assert_array_equal(large_areas(chain, 2, 7), chain)
        assert not large_areas(box((2, 4), (2, 4), (5, 6)) | box((5, 7), (4, 6), (5, 6)), 2, 7).any()

    def test_empty_and_full_masks(self):
        assert not large_areas(np.zeros(SHAPE), 2, 0).any()
        assert large_areas(np.ones(SHAPE), 2, 24 * 20 - 1).all() and not large_areas(np.ones(SHAPE), 2, 24 * 20).any()


class TestFillHolesInPlane:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_tube_along_the_axis_is_filled_and_others_stay_open(self, axis: int):
        hollow = box((4, 12), (4, 12), (4, 12))
        tube = [(6, 9), (6, 9), (6, 9)]
        tube[axis] = (4, 12)  # a hole in every slice, open at both ends
        hollow &= ~box(*tube)
        for other in range(3):
            filled = fill_holes_in_plane(hollow, other)
            assert filled.sum() == (8**3 if other == axis else 8**3 - 3 * 3 * 8)

    def test_hole_that_reaches_the_edge_of_the_slice_stays_open(self):
        ring = box((0, 6), (4, 12), (4, 12)) & ~box((0, 4), (6, 9), (4, 12))
        np.testing.assert_array_equal(fill_holes_in_plane(ring, 2), ring)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_equals_slice_by_slice(self, axis: int):
        mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 1) > 0.02
        slices = [ndimage.binary_fill_holes(plane) for plane in np.moveaxis(mask, axis, 0)]
        expected = np.moveaxis(np.stack(slices), 0, axis)
        assert expected.sum() > mask.sum()
        np.testing.assert_array_equal(fill_holes_in_plane(mask, axis), expected)


def oriented(mask: np.ndarray, axcodes: str) -> MetaTensor:
    """A mask given in RAS, ``1 X Y Z`` uint8 with its axes in another order and direction."""
    image = nib.Nifti1Image(mask.astype(np.uint8), np.diag([1.0, 1.0, 5.0, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axcodes))
    turned = image.as_reoriented(turn)
    data = torch.from_numpy(np.asarray(turned.dataobj).copy())[None]
    return MetaTensor(data, affine=torch.as_tensor(turned.affine), meta={"filename_or_obj": "scan.nii.gz"})


class TestLargeComponentsd:
    @pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LAI", "PSR", "IRA", "SAL"])
    def test_holes_are_filled_across_the_superior_axis_of_any_orientation(self, axcodes: str):
        hollow = box((4, 12), (4, 12), (4, 12)) & ~box((6, 9), (6, 9), (4, 12))
        speck = box((18, 20), (15, 17), (8, 10))
        given = oriented(hollow | speck, axcodes)
        before = given.clone()
        result = LargeComponentsd()({"pred": given})["pred"]
        expected = oriented(box((4, 12), (4, 12), (4, 12)), axcodes)
        assert torch.equal(result.as_tensor(), expected.as_tensor())
        assert result.shape == given.shape and result.dtype == torch.uint8
        assert torch.equal(result.affine, given.affine) and result.meta["filename_or_obj"] == "scan.nii.gz"
        assert torch.equal(given, before), "the input is left alone"

    def test_small_components_go_before_holes_are_filled(self):
        # A thin ring of 28 voxels would be 64 with its hole filled; beside 150 voxels it is below 20 %.
        ring = box((2, 10), (2, 10), (8, 9)) & ~box((3, 9), (3, 9), (8, 9))
        block = box((14, 20), (2, 7), (3, 8))
        result = LargeComponentsd()({"pred": oriented(ring | block, "RAS")})["pred"]
        assert ring.sum() == 28 and block.sum() == 150
        np.testing.assert_array_equal(np.asarray(result[0]), block)

    def test_holes_may_be_left_and_components_kept(self):
        hollow = box((4, 12), (4, 12), (4, 12)) & ~box((6, 9), (6, 9), (4, 12))
        both = oriented(hollow | LESS, "RAS")
        result = LargeComponentsd(min_share=0, fill_holes=False)({"pred": both})["pred"]
        assert torch.equal(result, both)

    def test_empty_mask_passes(self):
        result = LargeComponentsd()({"pred": oriented(np.zeros(SHAPE), "LAS")})["pred"]
        assert result.shape == (1, *SHAPE) and result.dtype == torch.uint8 and not result.any()

    @pytest.mark.parametrize("min_share", [-0.1, 1.1, 20, float("nan")])
    def test_share_must_be_a_share(self, min_share: float):
        with pytest.raises(ValueError, match="share between 0 and 1"):
            LargeComponentsd(min_share=min_share)


def test_a_size_below_0_is_refused():
    with pytest.raises(ValueError, match="at least 0, got -5"):
        RemoveSmallObjectsd("pred", -5, by_measure=True)
