"""TSGM's thresholding: slices of two values, whose threshold lies between, and areas counted in pixels and mm2."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.methods.tsgm.slice_otsu import SliceOtsud

SHAPE = (40, 36, 8)


def oriented(volume: np.ndarray, axcodes: str = "RAS", spacing: tuple[float, ...] = (1.0, 1.0, 5.0)) -> MetaTensor:
    """A map given in RAS, ``1 X Y Z`` float32 with its axes in another order and direction."""
    image = nib.Nifti1Image(volume.astype(np.float32), np.diag([*spacing, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axcodes))
    turned = image.as_reoriented(turn)
    data = torch.from_numpy(np.asarray(turned.dataobj).copy())[None]
    return MetaTensor(data, affine=torch.as_tensor(turned.affine), meta={"filename_or_obj": "scan.nii.gz"})


def lesions() -> tuple[np.ndarray, np.ndarray]:
    """A map with lesions of another height in each slice, and which of them are larger than 20 pixels."""
    values, large = np.zeros(SHAPE), np.zeros(SHAPE, dtype=bool)
    for z, height in ((2, 0.1), (3, 5.0), (4, 0.02)):
        values[..., z] = 0.1 * height  # tissue
        values[4:11, 4:7, z] = height  # 21 pixels
        values[20:25, 20:24, z] = height  # 20
        large[4:11, 4:7, z] = True
    return values, large


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PSR", "IRA", "SAL"])
def test_slices_lie_across_the_superior_axis_of_any_orientation(axcodes: str):
    values, large = lesions()
    given = oriented(values, axcodes)
    before = given.clone()
    result = SliceOtsud(min_area_mm2=20)({"anomaly_map": given, "pred": "of the Inferer"})
    mask = result["pred"]
    assert torch.equal(mask.as_tensor(), oriented(large, axcodes).as_tensor().to(torch.uint8))
    assert isinstance(mask, MetaTensor) and mask.shape == given.shape and mask.dtype == torch.uint8
    assert torch.equal(mask.affine, given.affine) and mask.meta["filename_or_obj"] == "scan.nii.gz"
    assert torch.equal(given, before), "the input is left alone"


def test_map_is_in_units_of_the_threshold_of_its_slice():
    values = lesions()[0]
    result = SliceOtsud(min_area_mm2=20)({"anomaly_map": oriented(values), "uncertainty": oriented(0.5 * values)})
    scaled = np.asarray(result["anomaly_map"][0])
    np.testing.assert_array_equal(scaled > 1, (values == values.max(axis=(0, 1))) & (values > 0))
    for z in (2, 3, 4):  # each slice is divided by a number of its own, and is as it was otherwise
        np.testing.assert_allclose(scaled[..., z] / scaled[..., z].max(), values[..., z] / values[..., z].max(), 1e-6)
    assert torch.equal(result["uncertainty"], 0.5 * result["anomaly_map"])
    thresholds = [values[..., z].max() / scaled[..., z].max() for z in (2, 3, 4)]
    found = result["facts"]["threshold"]
    assert found == pytest.approx(np.median(thresholds), rel=1e-6)
    assert isinstance(found, float) and result["anomaly_map"].dtype == torch.float32


@pytest.mark.parametrize(
    ("spacing", "kept"), [((1.0, 1.0, 5.0), True), ((0.9, 1.0, 9.0), False), ((1.0, 0.9, 9.0), False)]
)
def test_area_is_in_mm2_of_the_slice(spacing: tuple[float, ...], kept: bool):
    values, large = lesions()  # 21 pixels are 21 mm2 or 18.9 mm2, however thick the slice
    for axcodes in ("RAS", "SAL", "PSR"):
        result = SliceOtsud(min_area_mm2=20)({"anomaly_map": oriented(values, axcodes, spacing)})
        assert result["pred"].sum() == kept * large.sum()


def test_parity_is_400_pixels_of_1_mm():
    values = np.zeros((64, 64, 2))
    values[2:22, 2:22, 0] = 1  # 400 pixels
    values[30:50, 30:50, 1] = values[50, 30, 1] = 1  # 401
    mask = SliceOtsud()({"anomaly_map": oriented(values)})["pred"]
    assert mask[..., 0].sum() == 0 and mask[..., 1].sum() == 401


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_perfect_reconstruction_has_an_empty_mask(value: float):
    result = SliceOtsud(min_area_mm2=0)({"anomaly_map": oriented(np.full(SHAPE, value), "LAS")})
    assert result["facts"]["threshold"] == float("inf")
    assert "uncertainty" not in result
    assert result["pred"].shape == (1, *SHAPE) and not result["pred"].any() and not result["anomaly_map"].any()


def test_facts_say_whose_threshold_it_is_and_keep_those_of_the_inferer():
    """There is no score: no threshold is stored that healthy scans could be compared by."""
    given = {"sequences": "t1 flair", "slices": 3}
    facts = SliceOtsud()({"anomaly_map": oriented(lesions()[0]), "facts": given})["facts"]
    assert list(facts) == ["score", "score_percentile", "threshold", "threshold_source", "sequences", "slices"]
    assert np.isnan([facts["score"], facts["score_percentile"]]).all() and facts["threshold_source"] == "of this volume"
    assert {name: facts[name] for name in given} == given == {"sequences": "t1 flair", "slices": 3}


def test_another_name_for_the_mask():
    result = SliceOtsud(mask_key="mask", min_area_mm2=20)({"anomaly_map": oriented(lesions()[0]), "pred": 5})
    assert result["pred"] == 5 and result["mask"].any()


@pytest.mark.parametrize("area", [-1.0, float("nan")])
def test_area_must_be_an_area(area: float):
    with pytest.raises(ValueError, match="min_area_mm2 is an area, at least 0"):
        SliceOtsud(min_area_mm2=area)
