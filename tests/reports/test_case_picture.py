"""The picture of a case: same anatomy, same picture, however the file is stored; sides, scale, slices and size."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from shared.reports.case_picture import BRAIN_COLOUR, LABEL_COLOUR, MASK_COLOUR, case_picture
from tests.helpers.drawn_brains import AFFINE, SHAPE, brain_with_lesion, stored_as
from tests.helpers.real_data import DATA, needs_data

REAL = DATA / "ms_mni" / "patient26"


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(picture, colour, tolerance=60):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.abs(picture - wanted).max(axis=-1) < tolerance


def test_is_a_small_png():
    volumes = brain_with_lesion()
    png = case_picture(*volumes, AFFINE, label=volumes[3])
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert 600 < image.width <= 1100
    assert len(png) < 300_000


@pytest.mark.parametrize("codes", ["LAS", "LPS", "PIR", "SAL"])
def test_same_anatomy_gives_the_same_picture(codes):
    volumes = brain_with_lesion()
    turned, affine = stored_as(volumes, codes)
    assert nib.aff2axcodes(affine) == tuple(codes)
    reference = case_picture(*volumes, AFFINE, label=volumes[3])
    assert case_picture(*turned, affine, label=turned[3]) == reference


@pytest.mark.parametrize("codes", ["RAS", "LAS"])
@pytest.mark.parametrize(("x", "patient_side"), [(30, "right"), (9, "left")])
def test_radiological_convention(codes, x, patient_side):
    # The middle of the brain is x = 19.5; in RAS the first axis runs to the patient's right.
    volumes, affine = stored_as(brain_with_lesion((x, 26, 24)), codes)
    picture = pixels(case_picture(*volumes, affine))
    panel = slice(26 + 3 * 240, 26 + 3 * 240 + 236)  # the last column
    hits = np.nonzero(near(picture[40:200, panel], MASK_COLOUR))[1]  # the first axial row
    assert hits.size > 20
    assert (hits.mean() < 118) == (patient_side == "right")


def test_label_is_drawn_in_its_own_colour():
    volumes = brain_with_lesion()
    label = np.zeros(SHAPE)
    label[8:13, 20:28, 20:28] = 1
    without, with_label = (pixels(case_picture(*volumes, AFFINE, label=given)) for given in (None, label))
    assert near(with_label[40:], LABEL_COLOUR).sum() > 50
    assert near(without, LABEL_COLOUR).sum() == 0


def test_a_whole_head_is_shown_in_the_first_column_with_the_outline_of_its_brain():
    volumes = brain_with_lesion()
    brain = volumes[0] != 0
    head = np.where(brain, volumes[0], volumes[0].max())
    without, shown = (pixels(case_picture(*volumes, AFFINE, head=given)) for given in (None, head))
    first = slice(26, 26 + 236)
    assert near(shown[40:, first], BRAIN_COLOUR).sum() > 200 and not near(without[:, first], BRAIN_COLOUR).any()
    assert (shown[40:, first].min(axis=-1) == 0).sum() < 0.5 * (without[40:, first].min(axis=-1) == 0).sum()
    others = slice(26 + 240, 26 + 4 * 240)
    assert np.abs(shown[40:-30, others] - without[40:-30, others]).mean() < 2  # but for the palette


def test_anisotropic_voxels_keep_their_shape_in_mm():
    volumes = brain_with_lesion()
    thick = [volume[:, :, ::2] for volume in volumes]
    affine = AFFINE @ np.diag([1, 1, 2, 1])
    tall, flat = (pixels(case_picture(*v, a)) for v, a in ((volumes, AFFINE), (thick, affine)))
    assert abs(tall.shape[0] - flat.shape[0]) <= 30  # two rows, up to a slice of 8 mm cropped differently


@pytest.mark.parametrize("codes", ["RAS", "PIR"])
def test_single_slice_with_mask_and_label_has_one_row(codes):
    turned, affine = stored_as([volume[:, :, [24]] for volume in brain_with_lesion()], codes)
    picture = pixels(case_picture(*turned, affine, label=turned[3]))
    assert 250 < picture.shape[0] < 300
    assert near(picture[40:250], LABEL_COLOUR).sum() > 20


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, -np.inf])
def test_constant_and_not_finite_volumes_are_drawn(value):
    volume = np.full((10, 9, 8), value)
    pixels(case_picture(volume, volume, volume, np.zeros(volume.shape), AFFINE))


def test_another_grid_is_refused():
    image, healthy, anomaly_map, mask = brain_with_lesion()
    with pytest.raises(ValueError, match="anomaly_map"):
        case_picture(image, healthy, anomaly_map[1:], mask, AFFINE)
    with pytest.raises(ValueError, match="3D"):
        case_picture(image[0], healthy[0], anomaly_map[0], mask[0], AFFINE)


@pytest.mark.real_data
@needs_data
def test_real_volume_stays_small():
    t1, label = (nib.load(REAL / name) for name in ("t1.nii.gz", "lesion.nii.gz"))
    image, lesion = t1.get_fdata(dtype=np.float32), label.get_fdata(dtype=np.float32)
    assert len(case_picture(image, image, 2 * lesion, lesion, t1.affine, lesion)) < 300_000
