"""A case made ready to be drawn: turned and cropped without moving in the patient, and its slices."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from shared.reports.canonical_slices import MARGIN_MM, X, Z, axial_slices, canonical_case, main_slice, position_mm
from tests.helpers.drawn_brains import AFFINE, SHAPE, brain_with_lesion, stored_as


def test_slices_go_through_the_lesion():
    centre = (30, 26, 24)
    image, healthy, anomaly_map, mask = brain_with_lesion(centre)
    names = ("image", "pseudo_healthy", "anomaly_map", "mask")
    case = canonical_case(dict(zip(names, (image, healthy, anomaly_map, mask))), AFFINE)
    for axis in range(3):
        assert position_mm(case, axis, main_slice(case, axis)) == AFFINE[axis, 3] + 4 * centre[axis]
    chosen = axial_slices(case)
    assert main_slice(case, Z) in chosen and len(chosen) == 3 and chosen == sorted(chosen, reverse=True)
    assert min(-np.diff(chosen)) * 4 >= 10  # mm
    # Without a mask: through the maximum of the map.
    peak = np.where(np.indices(SHAPE)[0] == 12, 0.1, 0.0) * (image != 0)
    peak[14, 20, 17] = 0.7
    case = canonical_case(dict(zip(names, (image, healthy, peak, 0 * mask))), AFFINE)
    assert position_mm(case, X, main_slice(case, X)) == AFFINE[0, 3] + 4 * 14


@pytest.mark.parametrize("codes", ["LAS", "PIR", "SAL"])
def test_a_voxel_stays_where_it_is_in_the_patient(codes):
    """The centre of the lesion, in world coordinates, of a case stored along other axes."""
    centre = (30, 26, 24)
    names = ("image", "pseudo_healthy", "anomaly_map", "mask")
    turned, affine = stored_as(brain_with_lesion(centre), codes)
    case = canonical_case(dict(zip(names, turned)), affine)
    assert nib.aff2axcodes(case.affine) == ("R", "A", "S") and np.allclose(case.spacing, 4) and case.label is None
    found = nib.affines.apply_affine(case.affine, np.argwhere(case.mask > 0).mean(axis=0))
    np.testing.assert_allclose(found, nib.affines.apply_affine(AFFINE, centre), atol=1e-4)


def test_the_crop_keeps_a_margin_around_brain_mask_and_label():
    """A brain of 8 x 12 x 16 voxels of 4 mm; the label lies 3 voxels beside it."""
    image, label = np.zeros(SHAPE), np.zeros(SHAPE)
    image[10:18, 10:22, 10:26], label[20, 12, 12] = 1, 1
    volumes = dict.fromkeys(("image", "pseudo_healthy", "anomaly_map", "mask"), image)
    margin = int(np.ceil(MARGIN_MM / 4))
    case = canonical_case({**volumes, "mask": 0 * image}, AFFINE)
    assert case.image.shape == (8 + 2 * margin, 12 + 2 * margin, 16 + 2 * margin)
    assert canonical_case({**volumes, "label": label}, AFFINE).image.shape[0] == 11 + 2 * margin
