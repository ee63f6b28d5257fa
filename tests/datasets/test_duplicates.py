"""duplicates: the same voxels under another name, type, compression and orientation; radiographs; what is different."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from shared.datasets.duplicates import check_duplicates, content_hash
from shared.runs.errors import DataListError

DATA = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
AFFINE = np.diag([2.0, 2, 3, 1])


def save(path: Path, data: np.ndarray = DATA, affine: np.ndarray = AFFINE) -> str:
    nib.save(nib.Nifti1Image(data, affine), path)
    return str(path)


def flipped(path: Path) -> str:
    image = nib.Nifti1Image(DATA, AFFINE)
    nib.save(image.as_reoriented(nib.orientations.axcodes2ornt("LPS")), path)
    return str(path)


SAME = {
    "unpacked.nii": save,
    "copy.nii.gz": save,
    "float.nii.gz": lambda p: save(p, DATA.astype(np.float32)),
    "flipped.nii.gz": flipped,
}
OTHER = {
    "voxel.nii.gz": lambda p: save(p, DATA + (np.indices(DATA.shape).sum(0) == 0).astype(np.int16)),
    "shape.nii.gz": lambda p: save(p, DATA.reshape(6, 5, 7)),
}


@pytest.mark.parametrize("name", [*SAME, *OTHER])
def test_the_same_voxels_have_one_hash_and_others_another(tmp_path, name):
    made = {**SAME, **OTHER}[name](tmp_path / name)
    assert (content_hash(made) == content_hash(save(tmp_path / "scan.nii.gz"))) is (name in SAME)


def test_two_sections_with_one_image_are_refused_with_both_names(tmp_path):
    one, other = save(tmp_path / "one.nii.gz"), SAME["float.nii.gz"](tmp_path / "other.nii.gz")
    unlike = OTHER["voxel.nii.gz"](tmp_path / "unlike.nii.gz")
    (tmp_path / "broken.nii.gz").write_text("no image")
    rest = {"case_id": "c", "t1": unlike, "flair": str(tmp_path / "broken.nii.gz")}
    leaking = {"training": [{"case_id": "a", "t1": one}, rest], "test": [{"case_id": "b", "flair": other}]}
    same = f"{re.escape(one)} and {re.escape(other)} are the same image, in 'training' and 'test'"
    with pytest.raises(DataListError, match=same):
        check_duplicates(leaking)
    with pytest.raises(DataListError, match="the same image"):
        check_duplicates({"training": [{"case_id": "a", "t1": one}], "test": [{"case_id": "b", "t1": one}]})
    check_duplicates({"training": leaking["training"] + leaking["test"], "test": []})
    check_duplicates({"training": [{"case_id": "a", "t1": one}], "test": [rest]})


def test_radiographs_are_compared_by_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=0)
    Image.fromarray(pixels).save(tmp_path / "b.png", compress_level=9)
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert content_hash(files[0]) == content_hash(files[1]) is not None
    with pytest.raises(DataListError, match="the same image"):
        check_duplicates({"training": [{"case_id": "a", "image": files[0]}], "test": [{"image": files[1]}]})
