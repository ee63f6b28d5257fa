"""Header and voxels as they stand in the file: both versions, both byte orders, and what cannot be opened."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains.nifti_bytes import read_data, read_header
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, save
from tests.helpers.nifti_files import assert_refused, patched, written


@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_in_both_byte_orders(tmp_path: Path, image_class: type, order: str):
    header = image_class.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    path = tmp_path / "x.nii.gz"
    nib.save(image_class(np.rint(BRAIN), AFFINE, header), path)
    found = read_header(str(path), "t1")
    assert type(found) is image_class.header_class and found.endianness == order
    data = read_data(str(path), "t1", found)
    assert data.dtype == np.float32 and np.allclose(data, np.rint(BRAIN), atol=0.01)


def test_nothing_of_the_header_is_mended(tmp_path: Path):
    header = read_header(str(patched(tmp_path / "x.nii", pixdim=[0, -2.5, 2, 2, 0, 0, 0, 0])), "t1")
    assert header["pixdim"][:3].tolist() == [0, -2.5, 2]


@pytest.mark.parametrize("name", ["x" * 300 + ".nii.gz", "x\0.nii"])
def test_a_name_that_no_file_can_have_is_no_file(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="cannot be read|file not found"):
        read_header(str(tmp_path / name), "t1")


def test_what_follows_the_compressed_file_is_damage(tmp_path: Path):
    path = save(tmp_path / "x.nii.gz")
    written(path, path.read_bytes() + b"and more")
    assert_refused(lambda p: read_data(str(p), "t1", read_header(str(p), "t1")), path, "truncated or damaged")
    several = save(tmp_path / "y.nii")
    half = several.stat().st_size // 2
    members = [gzip.compress(part) for part in (several.read_bytes()[:half], several.read_bytes()[half:])]
    path = written(tmp_path / "y.nii.gz", b"".join(members))  # as bgzip and pigz may write it
    assert np.array_equal(read_data(str(path), "t1", read_header(str(path), "t1")), BRAIN)


@pytest.mark.parametrize("name", ["x.hdr", "x.img", "x.nii.zip"])
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str):
    assert_refused(lambda p: read_header(str(p), "t1"), written(tmp_path / name, b"x" * 600), "not named .nii")


def test_a_pair_of_files_under_one_name_is_refused(tmp_path: Path):
    pair = nib.Nifti1Pair(BRAIN, AFFINE)
    nib.save(pair, tmp_path / "x.img")
    path = (tmp_path / "x.hdr").rename(tmp_path / "x.nii")
    assert_refused(lambda p: read_header(str(p), "t1"), path, "two-file NIfTI header.*single NIfTI file")
