"""Predicted masks as one label map in the volume that the file holds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, CopyItemsd

from shared.radiographs.label_maps import LabelMapd
from shared.radiographs.transforms import ReadRadiographd, SquareResized
from tests.helpers.radiograph_files import DOWN_MM, PICTURE, RIGHT_MM, dicom, png

READ = Compose([ReadRadiographd("image"), CopyItemsd("image", names="native_image"), SquareResized("image", 96)])
TIBIA, LESION = np.zeros((2, *PICTURE.shape), bool)
TIBIA[:30, 8:20], LESION[24:34, 14:30] = True, True
EXPECTED = np.where(LESION, 2, TIBIA.astype(int))
ITK = np.diag([-RIGHT_MM, -DOWN_MM, 1, 1])


def label(file: Path, *probabilities: np.ndarray) -> torch.Tensor:
    """What becomes of probabilities on the pixels of the file, brought to the network's square as images are."""
    case = READ({"image": str(file)})
    square = SquareResized("image", 96)
    as_images = [torch.as_tensor(2 * p[None] - 1, dtype=torch.float32) for p in probabilities]
    maps = [square({"image": type(case["image"])(image)})["image"] for image in as_images]
    return LabelMapd("pred")({**case, "pred": (torch.cat(maps) + 1) / 2})["pred"]


@pytest.mark.parametrize(("make", "affine"), [(png, np.diag([-1, -1, 1, 1])), (dicom, ITK)])
def test_lesion_lies_over_tibia_in_columns_and_rows_of_a_picture(tmp_path, make, affine):
    found = label(make(tmp_path / "x"), TIBIA, LESION)
    assert found.dtype == torch.uint8 and found.shape == (*PICTURE.shape[::-1], 1)
    assert np.array_equal(found[..., 0], EXPECTED.T)
    np.testing.assert_allclose(found.affine, affine)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SRA"])
def test_the_volume_of_a_nifti_file_in_its_orientation(tmp_path, codes):
    def stored(pixels: np.ndarray) -> nib.Nifti1Image:
        upright = nib.Nifti1Image(pixels.T[..., None].astype(np.int16), ITK + np.eye(4, k=3) * 7)
        start, end = nib.io_orientation(upright.affine), nib.orientations.axcodes2ornt(codes)
        return upright.as_reoriented(nib.orientations.ornt_transform(start, end))

    nib.save(stored(PICTURE), tmp_path / "x.nii.gz")
    found, expected = label(tmp_path / "x.nii.gz", TIBIA, LESION), stored(EXPECTED)
    assert np.array_equal(found, expected.dataobj)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-6)


def test_a_structure_is_there_where_it_is_more_likely_than_not(tmp_path):
    everywhere = np.ones(PICTURE.shape)
    file = png(tmp_path / "x.png")
    assert not label(file, 0.499 * everywhere, 0 * everywhere).any()
    assert (label(file, 0.501 * everywhere, 0.499 * everywhere) == 1).all()
    assert (label(file, 0.501 * everywhere, 0.501 * everywhere) == 2).all()
