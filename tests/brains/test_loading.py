"""What the door reads is what is loaded: equal voxels and affine for every kind of file, and equal refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import LoadImaged, Orientationd

from shared.brains.loading import LoadVolumesd
from shared.brains.nifti import read_volume
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, save
from tests.helpers.nifti_files import patched, rgb, truncated, with_voxels

ROUND = np.rint(BRAIN)


def big_endian(path: Path) -> Path:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(ROUND.astype(">i2"), AFFINE, header), path)
    return path


def of_type(path: Path, name: str) -> Path:
    nib.save(nib.Nifti1Image(ROUND.astype(name), AFFINE, dtype=name), path)
    return path


def nifti2(path: Path) -> Path:
    nib.save(nib.Nifti2Image(ROUND, AFFINE), path)
    return path


GOOD: dict[str, Callable[[Path], Path]] = {
    **{f"axes_{n + 3}": lambda p, n=n: save(p, ROUND.reshape(*ROUND.shape, *[1] * n)) for n in range(5)},  # type: ignore[misc]
    **{t: lambda p, t=t: of_type(p, t) for t in ("uint8", "int16", "uint32", "int64", "uint64", "float64")},  # type: ignore[misc]
    "big_endian": big_endian,
    "nifti_2": nifti2,
    "qfac_0": lambda p: patched(p, sform_code=0, qform_code=1, pixdim=[0, 2.5, 2.5, 2.5, 0, 0, 0, 0]),
    "qfac_0_and_sform": lambda p: patched(p, sform_code=1, qform_code=1, pixdim=[0, 2.5, 2.5, 2.5, 0, 0, 0, 0]),
    "no_codes": lambda p: patched(p, sform_code=0, qform_code=0),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_passes_the_door_is_loaded_with_the_same_voxels_and_affine(tmp_path: Path, kind: str):
    path = GOOD[kind](tmp_path / "x.nii")
    seen = read_volume(str(path), "t1")
    loaded = LoadVolumesd(["t1", "label"])({"t1": str(path)})["t1"]
    assert loaded.shape == (1, *BRAIN.shape) and loaded.dtype == torch.float32
    assert np.array_equal(loaded[0], seen.data) and np.allclose(loaded[0], BRAIN, atol=0.5)
    assert np.array_equal(loaded.affine, seen.affine)
    if kind != "no_codes":
        assert np.allclose(np.abs(np.diag(seen.affine)[:3]), 2.5)


BAD: dict[str, Callable[[Path], Path]] = {
    "rgb": rgb,
    "complex": lambda p: save(p, BRAIN.astype(np.complex64)),
    "truncated": lambda p: truncated(p, 0.5),
    "nan": lambda p: with_voxels(p, np.nan),
    "missing": lambda p: p,
}


@pytest.mark.parametrize("kind", BAD)
def test_what_the_door_refuses_is_refused_in_the_same_words(tmp_path: Path, kind: str):
    path = BAD[kind](tmp_path / "x.nii")
    with pytest.raises(InputError) as at_the_door:
        read_volume(str(path), "t1")
    with pytest.raises(InputError) as loading:
        LoadVolumesd("t1")({"t1": str(path)})
    assert str(loading.value) == str(at_the_door.value)


def test_several_volumes_are_channels(tmp_path: Path):
    for name, stacked in (
        ("4d", np.stack([ROUND, 2 * ROUND], -1)),
        ("5d", np.stack([ROUND, 2 * ROUND], -1)[:, :, :, None]),
    ):
        loaded = LoadVolumesd("image")({"image": save(tmp_path / f"{name}.nii.gz", stacked)})["image"]
        assert loaded.shape == (2, *ROUND.shape) and np.array_equal(loaded[1], 2 * ROUND)


def test_a_2d_image_gets_its_slice_axis(tmp_path: Path):
    for name, stored in (("2d", ROUND[:, :, 32]), ("3d", ROUND[:, :, [32]]), ("4d", ROUND[:, :, [32], None])):
        loaded = LoadVolumesd("image")({"image": save(tmp_path / f"{name}.nii.gz", stored)})
        assert np.array_equal(loaded["image"][0], ROUND[:, :, [32]]) and len(loaded["image"].pixdim) == 3
        assert Orientationd("image", axcodes="LPS", labels=None)(loaded)["image"].shape == (1, 64, 64, 1)


def test_metadata_are_those_that_monai_gives_and_can_be_collated(tmp_path: Path):
    path = str(big_endian(tmp_path / "x.nii.gz"))
    ours = LoadVolumesd("image")({"image": path})["image"]
    theirs = LoadImaged("image", reader="NibabelReader", ensure_channel_first=True)({"image": path})["image"]
    assert torch.equal(ours, theirs) and torch.equal(ours.affine, theirs.affine)
    for name in ("original_affine", "spatial_shape", "filename_or_obj", "space"):
        assert np.array_equal(ours.meta[name], theirs.meta[name])
    (batch,) = DataLoader(Dataset([{"image": path}], LoadVolumesd("image")))
    assert batch["image"].shape == (1, 1, *BRAIN.shape)
