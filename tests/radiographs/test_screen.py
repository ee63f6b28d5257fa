"""Planes turned to the screen and back, by hand and in every orientation."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from shared.radiographs.screen import from_screen, to_screen

ROWS, COLUMNS = 5, 3
PIXELS = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)  # X down the rows
ITK = np.diag([-0.2, -0.3, 4, 1])  # right on the screen is left, down is posterior


def test_a_png_as_itk_has_it_is_its_transpose():
    volume = from_screen(PIXELS, (COLUMNS, ROWS, 1), ITK)
    assert np.array_equal(volume[..., 0], PIXELS.T)
    pixels, spacing = to_screen(volume, ITK)
    assert np.array_equal(pixels, PIXELS) and spacing == pytest.approx((0.3, 0.2))


@pytest.mark.parametrize("plane", ["LPS", "LIA", "PIR"])  # axial, coronal, sagittal: right, down, across
@pytest.mark.parametrize("stored", ["LPS", "RAS", "SRA", "AIL", "PRI"])
def test_every_orientation_comes_back_to_the_very_volume(plane, stored):
    def oriented(codes: str) -> np.ndarray:
        turn = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
        )
        return nib.orientations.inv_ornt_aff(turn, (7, 7, 7))

    upright = nib.Nifti1Image(PIXELS.T[..., None].astype(np.int16), oriented(plane))
    start, end = nib.io_orientation(upright.affine), nib.orientations.axcodes2ornt(stored)
    image = upright.as_reoriented(nib.orientations.ornt_transform(start, end))
    volume = np.asarray(image.dataobj)
    pixels, _ = to_screen(volume, image.affine)
    assert np.array_equal(pixels, PIXELS)
    assert np.array_equal(from_screen(pixels, volume.shape, image.affine), volume)


def test_oblique_planes_and_unequal_pixels():
    tilt = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.2, 0.3) @ np.diag([-0.2, -0.3, 4]), [9, 8, 7])
    volume = from_screen(PIXELS, (COLUMNS, ROWS, 1), tilt)
    pixels, spacing = to_screen(volume, tilt)
    assert np.array_equal(pixels, PIXELS) and spacing == pytest.approx((0.3, 0.2))
