"""Whole heads told from extracted brains: of ellipsoids, in volumes and single slices, and on real scans."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from shared.brains.nifti import read_volume
from shared.brains.volume import Volume
from shared.brains.whole_head import skull_fraction, why_not_a_brain
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, head
from tests.helpers.real_data import DATA, needs_data


@pytest.mark.parametrize("shift", [0, 110])
def test_skull_is_seen_also_in_standardised_images(shift):
    """No ray of the brain meets bone, nearly all of the head's do; also with most of the brain below 0."""
    alone, full = (np.where(v != 0, v - shift, 0).astype(np.float32) for v in (BRAIN, head()))
    assert skull_fraction(Volume("b", "t1", alone, AFFINE)) == 0
    assert skull_fraction(Volume("h", "t1", full, AFFINE)) > 0.9


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("height_mm", [150, 110, 90])
def test_heads_with_zeroed_background_and_without_face_are_refused(height_mm):
    for file in sorted((DATA / "ixi_t1_raw").glob("*.nii.gz")):
        image = nib.as_closest_canonical(nib.load(file))
        data = image.get_fdata(dtype=np.float32)
        data[data < 25] = 0
        top = np.flatnonzero((data > 50).any(axis=(0, 1))).max()
        data[:, :, : top - height_mm // 2] = 0
        assert "head" in why_not_a_brain(Volume(str(file), "t1", data, image.affine))


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("pattern", ["ixi_t1/*_T1.nii.gz", "lgg2d/*/flair.nii.gz", "ms_mni/*/t[12].nii.gz"])
def test_extracted_brains_pass(pattern):
    for file in sorted(DATA.glob(pattern))[::12]:
        assert why_not_a_brain(read_volume(str(file), "t1")) is None, file


def test_rays_of_a_slice_meet_the_skull_in_plane():
    alone, full = BRAIN[:, :, [32]], head()[:, :, [40]]
    for axes in ((0, 1, 2), (2, 0, 1)):  # stored as R A S, and as S R A
        affine = AFFINE[:, [*axes, 3]]
        assert skull_fraction(Volume("b", "t1", alone.transpose(axes), affine)) == 0
        assert skull_fraction(Volume("h", "t1", full.transpose(axes), affine)) > 0.9


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize("pattern", ["ixi_t1/*_T1.nii.gz", "lgg2d/*/flair.nii.gz", "lgg2d/*/t1.nii.gz"])
def test_slices_of_extracted_brains_pass(pattern):
    for file in sorted(DATA.glob(pattern))[::15]:
        volume = read_volume(str(file), "t1", slices=True)
        for at in (0.3, 0.5, 0.7):
            level = [int(at * volume.data.shape[2])]
            one = Volume(str(file), "t1", volume.data[:, :, level], volume.affine)
            assert why_not_a_brain(one, slices=True) is None, (file, at)
        assert why_not_a_brain(volume, slices=True) is None, file


@pytest.mark.real_data
@needs_data
def test_slices_of_heads_with_zeroed_background_are_refused():
    """Through the cranium; below, at the face and the neck, nothing tells them from a brain."""
    for file in sorted((DATA / "ixi_t1_raw").glob("*.nii.gz")):
        image = nib.as_closest_canonical(nib.load(file))
        data = image.get_fdata(dtype=np.float32)
        data[data < 25] = 0
        for level in range(int(0.45 * data.shape[2]), int(0.8 * data.shape[2]), 3):
            one = Volume(str(file), "t1", data[:, :, [level]], image.affine)
            assert "head" in why_not_a_brain(one, slices=True), (file, level)
        top = int(np.flatnonzero((data > 50).any(axis=(0, 1))).max())
        slab = Volume(str(file), "t1", data[:, :, top - 33 : top + 1], image.affine)  # 68 mm
        assert "head" in why_not_a_brain(slab, slices=True), file


def test_a_background_of_several_values_is_that_of_a_head():
    noise = np.random.default_rng(0).normal(3, 1, BRAIN.shape)
    said = why_not_a_brain(Volume("x", "t1", np.where(BRAIN != 0, BRAIN, noise).astype(np.float32), AFFINE))
    assert said == "its background is not one value, as in a whole head"
    assert why_not_a_brain(Volume("x", "t1", BRAIN.astype(np.float32), AFFINE)) is None


def test_litres_are_those_of_all_that_is_not_0():
    """A box of 40 x 40 x 40 voxels: 2.6 l at 3.44 mm, 2.4 l at 3.35 mm; a brain has at most 2.5."""
    box = np.zeros((48, 48, 48), np.float32)
    box[4:44, 4:44, 4:44] = 100
    large, small = (why_not_a_brain(Volume("x", "t1", box, np.diag([mm, mm, mm, 1]))) for mm in (3.44, 3.35))
    assert large.startswith("2.6 l of it are non-zero, a brain has 0.8 to 2.1 l") and small is None
