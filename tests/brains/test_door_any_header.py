"""Files with any header through the door: what passes is what nibabel reads, what does not is named with a remedy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import strategies as st

from shared.brains.door import check_case
from shared.runs.errors import InputError
from tests.helpers.any_nifti import OTHER, SCALES, AnyNifti, any_header, brain, write
from tests.helpers.ellipsoid_brain import case_of
from tests.helpers.sweeps import EXAMPLES, for_all

MOVED_MM = (0.0, 0.001, 0.3, 5.0, 300.0)  # a tenth of the smallest voxel side is 0.6


def is_good(recipe: AnyNifti) -> bool:
    """Whether a file must be taken: a header as it should be, of real numbers that are positive in the brain."""
    return not recipe.fault and recipe.dtype not in OTHER and recipe.scale in SCALES


def assert_typed(error: InputError, file: Path, key: str) -> None:
    assert (error.file, error.key) == (str(file), key)
    assert error.problem and error.remedy and "\n" not in str(error)


@EXAMPLES
def test_any_header_is_read_as_nibabel_does_or_refused(tmp_path, examples):
    def holds(recipe: AnyNifti, slices: bool) -> None:
        file = write(recipe, tmp_path / "scan")
        try:
            found = check_case(case_of(file), slices).image
        except InputError as error:
            assert_typed(error, file, "t1")
            assert not is_good(recipe), error
            return
        truth = nib.load(file)
        expected = np.asarray(truth.dataobj, np.float32).reshape(found.data.shape)
        background = expected.flat[0]
        moved = expected - found.data  # nothing, unless the background is another value, which becomes 0
        assert not found.data[expected == background].any()
        assert np.ptp(moved[expected != background]) <= 1e-6 * abs(background)
        assert background or not moved.any()
        assert np.allclose(found.affine, truth.affine, rtol=0, atol=1e-4)
        if found.data.shape == recipe.shape:  # the header is not believed against the voxels
            drawn = brain(recipe.affine, recipe.shape)
            slope, intercept = np.linalg.lstsq(np.stack([drawn.ravel(), drawn.ravel() ** 0], 1), expected.ravel())[0]
            assert np.allclose(drawn * slope + intercept, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())

    for_all(examples, holds, recipe=any_header(), slices=st.booleans())


@EXAMPLES
def test_any_mask_label_or_sequence_beside_the_image_is_taken_on_its_grid_or_refused(tmp_path, examples):
    image = AnyNifti()
    scan = write(image, tmp_path / "scan")

    def holds(key: str, recipe: AnyNifti, moved: float) -> None:
        def change(voxels: np.ndarray) -> np.ndarray:
            return voxels if key == "t2" else voxels > 0

        other = replace(recipe, axes=image.axes, turn=image.turn, spacing=image.spacing, moved=moved)
        file = write(other, tmp_path / key, change)
        try:
            check_case(case_of(scan, **{key: file}))
        except InputError as error:
            assert_typed(error, file, key)
            is_beside = other.forms == (0, 0) or moved + other.qform_moved > 0.6
            assert not is_good(other) or is_beside, error
            return
        beside = nib.load(file).affine - nib.load(scan).affine
        assert key == "t2" or np.allclose(beside, 0, atol=0.8), "a mask on another grid"

    keys = st.sampled_from(("brain_mask", "label", "t2"))
    for_all(examples, holds, key=keys, recipe=any_header(), moved=st.sampled_from(MOVED_MM))
