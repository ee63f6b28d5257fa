"""One NIfTI file read and checked: every fault it can have, as a real file; values as the header scales them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains.nifti import MAX_VOXELS, read_channels, read_volume
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, save
from tests.helpers.nifti_files import (
    assert_refused,
    flipped_byte,
    patched,
    pixdim,
    png,
    rgb,
    singular,
    truncated,
    with_voxels,
    written,
)

FAULTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "missing": ("x.nii.gz", lambda p: p, "file not found"),
    "folder": ("x.nii.gz", lambda p: p.mkdir() or p, "is a folder.*--dataset_dir"),
    "zero_bytes": ("x.nii.gz", lambda p: written(p, b""), "empty"),
    "zero_bytes_unpacked": ("x.nii", lambda p: written(p, b""), "empty"),
    "truncated_gz": ("x.nii.gz", lambda p: truncated(p, 0.5), "truncated or damaged"),
    "truncated_gz_header": ("x.nii.gz", lambda p: truncated(p, 0.0005), "truncated or damaged"),
    "truncated_nii": ("x.nii", lambda p: truncated(p, 0.5), "truncated or damaged"),
    "wrong_checksum": ("x.nii.gz", flipped_byte, "truncated or damaged"),
    "text": ("x.nii.gz", lambda p: written(p, b"hello " * 99), "not gzip-compressed"),
    "text_unpacked": ("x.nii", lambda p: written(p, b"hello " * 99), "is not a NIfTI file"),
    "png": ("x.nii.gz", png, "not gzip-compressed"),
    "extension": ("x.mgz", lambda p: written(p, b"x"), r"not named .nii or .nii.gz.*dcm2niix"),
    "mixed_ending": (
        "x.Nii",
        lambda p: save(p.with_suffix(".nii")).rename(p),
        "mixes small letters and capitals.*Rename",
    ),
    "unknown_type": ("x.nii", lambda p: patched(p, datatype=999), "unknown data type 999"),
    "no_type": ("x.nii", lambda p: patched(p, datatype=0), "unknown data type 0"),
    "voxels_in_the_header": ("x.nii", lambda p: patched(p, vox_offset=0), "voxels begin at byte 0, within its header"),
    "unknown_code": ("x.nii", lambda p: patched(p, sform_code=99), "unknown code 99 for its sform"),
    "qform_that_turns_nothing": (
        "x.nii",
        lambda p: patched(p, qform_code=1, quatern_b=1, quatern_c=1),
        "its qform is no orientation.*write its sform to its qform",
    ),
    "rgb": ("x.nii.gz", rgb, "RGB"),
    "complex": ("x.nii.gz", lambda p: save(p, BRAIN.astype(np.complex64)), "complex64"),
    "volumes_4d": ("x.nii.gz", lambda p: save(p, np.stack([BRAIN] * 2, -1)), r"holds 2 volumes.*four_to_three"),
    "vectors_5d": ("x.nii.gz", lambda p: save(p, np.stack([BRAIN] * 3, -1)[..., None, :]), "holds 3 volumes"),
    "image_2d": ("x.nii.gz", lambda p: save(p, BRAIN[:, :, 32]), "2D"),
    "slice_3d": ("x.nii.gz", lambda p: save(p, BRAIN[:, 32:33]), "2D"),
    "huge": ("x.nii", lambda p: patched(p, dim=[3, 600, 600, 600, 1, 1, 1, 1]), r"2.16e\+08 voxels.*8 GiB"),
    "tiny": ("x.nii.gz", lambda p: save(p, BRAIN[27:37, 26:38, 27:37], np.diag([2, 2, 2, 1])), "10 x 12 x 10 voxels"),
    "in_metres": ("x.nii", lambda p: patched(p, xyzt_units=1), "in metres.*mm"),
    "in_micrometres": ("x.nii", lambda p: patched(p, xyzt_units=3), "in micrometres.*mm"),
    "metres_unsaid": ("x.nii.gz", lambda p: save(p, affine=np.diag([0.0025] * 3 + [1])), "too small for a brain"),
    "zero_pixdim": ("x.nii", lambda p: patched(p, pixdim=pixdim(0, 2.5, 2.5)), "voxel sizes of 0 x 2.5 x 2.5 mm"),
    "negative_pixdim": ("x.nii", lambda p: patched(p, pixdim=pixdim(2.5, -2.5, 2.5)), "2.5 x -2.5 x 2.5 mm"),
    "nan_pixdim": ("x.nii", lambda p: patched(p, pixdim=pixdim(np.nan, 2, 2), sform_code=0), "voxel sizes of nan"),
    "singular_affine": ("x.nii", singular, "singular or not finite"),
    "nan_affine": ("x.nii", lambda p: patched(p, sform_code=1, srow_y=[np.nan, 1, 0, 0]), "singular or not finite"),
    "nan": ("x.nii.gz", lambda p: with_voxels(p, np.nan), "has 3 voxels.*NaN or infinite.*nan_to_num"),
    "inf": ("x.nii.gz", lambda p: with_voxels(p, -np.inf), "has 3 voxels"),
    "too_large_for_float32": ("x.nii.gz", lambda p: save(p, np.where(BRAIN, 1e300, 0)), "NaN or infinite"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_file_key_and_remedy(tmp_path, fault):
    name, make, message = FAULTS[fault]
    make(tmp_path / name)
    assert_refused(lambda path: read_volume(str(path), "t1"), tmp_path / name, message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.nii")
    assert_refused(lambda path: read_volume(str(path), "t1"), tmp_path / "x.nii", "no regular file")


def test_values_are_those_of_the_header_in_float32(tmp_path):
    """9 = 0.5 * 20 - 1, of stored 20."""
    stored = np.where(BRAIN != 0, 20, 2).astype(np.int16)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(0.5, -1)
    nib.save(image, tmp_path / "x.nii.gz")
    raw = nib.load(tmp_path / "x.nii.gz").dataobj
    assert (raw.slope, raw.inter) == (0.5, -1) and raw.get_unscaled().dtype == np.int16
    volume = read_volume(str(tmp_path / "x.nii.gz"), "t1")
    assert volume.data.dtype == np.float32 and volume.warnings == []
    assert np.array_equal(volume.data, 0.5 * raw.get_unscaled() - 1)


def test_what_is_known_of_a_file_is_its_name_key_and_grid(tmp_path):
    path = str(save(tmp_path / "x.nii.gz", BRAIN[:, :, :40]))
    volume = read_volume(path, "flair")
    assert (volume.file, volume.key, volume.data.shape) == (path, "flair", (64, 64, 40))
    assert np.array_equal(volume.affine, AFFINE) and np.allclose(volume.spacing, 2.5)


def test_volumes_of_a_4d_file_bear_the_names_of_their_channels(tmp_path):
    path = str(save(tmp_path / "x.nii.gz", np.stack([BRAIN, 2 * BRAIN], -1)))
    first, second = read_channels(path, "image", ["t1", "flair"])
    assert (first.key, second.key) == ("t1", "flair")
    assert np.array_equal(first.data, BRAIN) and np.array_equal(second.data, 2 * BRAIN)
    with pytest.raises(InputError, match=r"has shape \(64, 64, 64, 2\), not \(64, 64, 64, 1\) as --channels says"):
        read_channels(path, "image", ["t1"])


@pytest.mark.parametrize(("side", "fits"), [(512, True), (513, False)])
def test_the_largest_volume_is_read_from_its_header_before_its_data(tmp_path, side, fits):
    """The data are missing: a shape that is small enough is found to be truncated, a larger one is refused before."""
    assert MAX_VOXELS == 512**3
    path = patched(tmp_path / "x.nii", dim=[3, 512, 512, side, 1, 1, 1, 1])
    with pytest.raises(InputError, match="truncated or damaged|cannot be read" if fits else "voxels .* GiB of memory"):
        read_volume(str(path), "t1")
