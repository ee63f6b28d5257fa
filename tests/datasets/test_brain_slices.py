"""Slices of a made-up head: which are written, how they lie, and what their pixels are."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.datasets.brain_slices import brain_slices
from shared.radiographs.reading import read_mask, read_radiograph
from shared.runs.errors import InputError
from tests.helpers.source_layouts import LESION_PIXELS, USABLE, head, write_gliomas


def slices_of(folder: Path) -> list[dict]:
    return brain_slices(*(folder / "a" / f"{n}.nii.gz" for n in ("flair", "brain", "lesion")), folder / "out", "a")


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SAR"])
def test_pixels_are_those_of_the_volume_whatever_its_axes(tmp_path, codes):
    cases = slices_of(write_gliomas(tmp_path, codes))
    assert {int(case["case_id"][-3:]): case["class_label"] for case in cases} == USABLE
    volumes = head()
    for case in cases:
        z = int(case["case_id"].removeprefix("a_z"))
        image = read_radiograph(case["image"], "image").data
        rows = {name: volume[..., z].T for name, volume in volumes.items()}  # posterior down, left to the right
        assert np.array_equal(image, np.round(65535 * (rows["flair"] / 220)))
        assert np.array_equal(read_mask(case["tibia_mask"], "tibia_mask").data, rows["brain"])
        lesion = read_mask(case["lesion_mask"], "lesion_mask").data
        assert np.array_equal(lesion, rows["lesion"]) and lesion.sum() == (
            LESION_PIXELS[z] if case["class_label"] else 0
        )


def test_cases_name_patient_and_files(tmp_path):
    case = slices_of(write_gliomas(tmp_path))[0]
    files = {key: str(tmp_path / "out" / f"a_z002_{key}.png") for key in ("image", "tibia_mask", "lesion_mask")}
    assert case == {"case_id": "a_z002", "patient_id": "a", **files, "class_label": 1}
    assert len(list((tmp_path / "out").iterdir())) == 3 * len(USABLE)


def test_negative_intensities_are_background(tmp_path):
    write_gliomas(tmp_path)
    volume = nib.load(tmp_path / "a" / "flair.nii.gz")
    nib.save(nib.Nifti1Image(volume.get_fdata() - 100, volume.affine), tmp_path / "a" / "flair.nii.gz")
    image = read_radiograph(slices_of(tmp_path)[0]["image"], "image").data
    assert np.array_equal(image, np.round(65535 * ((head()["flair"][..., 2].T - 100.0) / 120).clip(0, 1)))


def test_a_mask_of_another_shape_is_refused(tmp_path):
    write_gliomas(tmp_path)
    volume = nib.load(tmp_path / "a" / "lesion.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(volume.dataobj)[:-1], volume.affine), tmp_path / "a" / "lesion.nii.gz")
    with pytest.raises(InputError, match=r"lesion.nii.gz .*\(47, 40, 8\), the image \(48, 40, 8\)"):
        slices_of(tmp_path)
