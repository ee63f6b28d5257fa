"""What is written for a scan lies on it in every reader, whatever its header says."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest

from shared.runs.nifti_files import write_like
from tests.helpers.nifti_geometry import HEADERS, SHAPE, geometry, scan_file


def seen_by_itk(path: Path) -> list[np.ndarray]:
    image = itk.imread(str(path), itk.F)
    return [
        np.asarray(part)
        for part in (image.GetOrigin(), image.GetSpacing(), itk.array_from_matrix(image.GetDirection()))
    ]


@pytest.mark.parametrize("name", HEADERS)
def test_forms_codes_sizes_and_units_are_those_of_the_scan(tmp_path, name):
    scan, written = scan_file(tmp_path / "scan.nii.gz", HEADERS[name]), tmp_path / "new" / "mask.nii.gz"
    mask = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2
    write_like(written, mask.astype(np.uint8), scan, "made here")
    assert geometry(written) == geometry(scan)
    found = nib.load(written)
    assert found.get_data_dtype() == np.uint8 and bytes(found.header["descrip"]).rstrip(b"\0") == b"made here"
    np.testing.assert_array_equal(np.asarray(found.dataobj), mask)
    np.testing.assert_array_equal(found.affine, nib.load(scan).affine)
    if name != "sheared":  # ITK refuses the scan itself
        for ours, theirs in zip(seen_by_itk(written), seen_by_itk(scan), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("shape", "voxels", "expected"),
    [
        ((5, 6, 7, 1), (5, 6, 7), (5, 6, 7)),
        ((5, 6, 7, 1, 1), (5, 6, 7), (5, 6, 7)),
        ((5, 6, 7, 3), (5, 6, 7), (5, 6, 7)),
        ((5, 6, 7), (5, 6, 7, 2), (5, 6, 7, 2)),
        ((5, 6, 1), (5, 6, 1), (5, 6, 1)),
        ((5, 6), (5, 6, 1), (5, 6)),
        ((5, 6), (5, 6, 1, 2), (5, 6, 1, 2)),
    ],
)
def test_the_axes_in_space_are_those_of_the_scan(tmp_path, shape, voxels, expected):
    scan = scan_file(tmp_path / "scan.nii.gz", HEADERS["sform 2 qform 1"], shape)
    write_like(tmp_path / "map.nii.gz", np.ones(voxels, np.float32), scan)
    assert nib.load(tmp_path / "map.nii.gz").shape == expected
    assert geometry(tmp_path / "map.nii.gz") == geometry(scan)


@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".NII.GZ"])
def test_files_of_either_version_packed_or_not_are_followed(tmp_path, version, ending):
    scan = scan_file(tmp_path / f"scan{ending}", HEADERS["sform 4 qform 1"], version=version)
    write_like(tmp_path / "mask.nii.gz", np.ones(SHAPE, np.uint8), scan)
    assert type(nib.load(tmp_path / "mask.nii.gz")) is version
    assert geometry(tmp_path / "mask.nii.gz") == geometry(scan)


def test_a_header_of_the_other_byte_order_is_followed(tmp_path):
    image = nib.load(scan_file(tmp_path / "little.nii", HEADERS["sform 4 qform 1"]))
    swapped = nib.Nifti1Image(np.asarray(image.dataobj), None, image.header.as_byteswapped(">"))
    nib.save(swapped, tmp_path / "big.nii")
    assert nib.load(tmp_path / "big.nii").header.endianness == ">"
    write_like(tmp_path / "mask.nii.gz", np.ones(SHAPE, np.uint8), tmp_path / "big.nii")
    assert geometry(tmp_path / "mask.nii.gz") == geometry(tmp_path / "little.nii")
