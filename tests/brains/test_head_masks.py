"""Masks of whole heads as files: written on the grid of the head, used again for it only, and never as an input."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains import head_masks
from shared.brains.head_masks import HeadMasks
from shared.brains.nifti import read_volume
from shared.brains.volume import Volume
from shared.runs.errors import DataListError, InputError
from tests.helpers.ellipsoid_brain import BRAIN, case_of, head, save
from tests.helpers.nifti_files import patched

FOUND = np.pad(BRAIN != 0, 8)


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that were extracted; what deepbet finds is tested in test_extraction and takes seconds."""
    extracted: list[str] = []

    def brain_of_head(volume: Volume, device: str) -> np.ndarray:
        extracted.append(Path(volume.file).name)
        if volume.data.max() > 1000:
            raise InputError(volume.file, volume.key, "is no head", "Pass one")
        return FOUND

    monkeypatch.setattr(head_masks, "brain_of_head", brain_of_head)
    return extracted


def extract(folder: Path, file: Path, key: str = "t1") -> Volume:
    return HeadMasks(str(folder / "out")).extract(case_of(file), read_volume(str(file), key))


def test_the_mask_has_the_geometry_of_the_head(tmp_path, heads):
    file = save(tmp_path / "x.nii", head())
    patched(file, qform_code=1, sform_code=2, qoffset_x=5)
    mask = extract(tmp_path, file)
    assert mask.file == str(tmp_path / "out" / "c_brain_mask.nii.gz")
    np.testing.assert_array_equal(mask.data > 0, FOUND)
    written, image = nib.load(mask.file), nib.load(file)
    assert written.get_data_dtype() == np.uint8
    for of_both in (lambda i: i.affine, lambda i: i.header.get_qform(), lambda i: i.header["sform_code"]):
        np.testing.assert_array_equal(of_both(written), of_both(image))
    assert bytes(written.header["descrip"]).startswith(b"extracted by deepbet 1.0.2 t1 ")


def test_a_mask_is_used_again_for_the_same_head_only(tmp_path, heads):
    first, second = save(tmp_path / "a.nii.gz", head()), save(tmp_path / "b.nii.gz", head() + 1)
    shutil.copy(first, tmp_path / "copy.nii.gz")
    for name in ("a", "a", "copy", "b", "a"):
        extract(tmp_path, tmp_path / f"{name}.nii.gz")
    assert heads == ["a.nii.gz", "b.nii.gz", "a.nii.gz"]
    extract(tmp_path, first, "flair")  # another volume of the file
    assert len(heads) == 4 and second.exists()


def test_a_head_without_a_brain_leaves_no_mask_of_another_behind(tmp_path, heads):
    extract(tmp_path, save(tmp_path / "x.nii.gz", head()))
    with pytest.raises(InputError, match="is no head"):
        extract(tmp_path, save(tmp_path / "x.nii.gz", 100 * head()))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("content", ["a mask of the user", "nothing"])
def test_a_file_that_was_not_extracted_here_is_not_replaced(tmp_path, heads, content):
    (tmp_path / "out").mkdir()
    theirs = tmp_path / "out" / "c_brain_mask.nii.gz"
    theirs.write_bytes(b"nothing") if content == "nothing" else save(theirs, FOUND.astype(np.uint8))
    before = theirs.read_bytes()
    with pytest.raises(InputError, match="was not extracted here.*Pass it in a datalist"):
        extract(tmp_path, save(tmp_path / "x.nii.gz", head()))
    assert theirs.read_bytes() == before and not heads


def test_a_mask_that_a_run_wrote_is_not_given(tmp_path, heads):
    masks = HeadMasks(str(tmp_path / "out"))
    case = case_of(save(tmp_path / "x.nii.gz", head()))
    assert not masks.is_given(case)
    own = Path(extract(tmp_path, tmp_path / "x.nii.gz").file)
    assert not masks.is_given({**case, "brain_mask": str(own)})
    elsewhere = shutil.copy(own, tmp_path / "m.nii.gz")
    assert masks.is_given({**case, "brain_mask": str(elsewhere)})
    save(own, FOUND.astype(np.uint8))  # the user's, where ours would go
    assert masks.is_given({**case, "brain_mask": str(own)})


def test_modes(tmp_path):
    assert HeadMasks(str(tmp_path)).offer == ""
    assert HeadMasks(str(tmp_path), "never").offer == "run with --extract_brain auto"
    with pytest.raises(DataListError, match="auto or never"):
        HeadMasks(str(tmp_path), "yes")
