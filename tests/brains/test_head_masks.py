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


def test_a_mask_of_another_file_is_removed_and_said(tmp_path, heads, caplog):
    """Whatever comes of the case now: an extracted brain, or a file that cannot be read."""
    masks, head_file, other = HeadMasks(str(tmp_path / "out")), save(tmp_path / "a.nii.gz", head()), tmp_path / "b.nii"
    extract(tmp_path, head_file)
    mask = tmp_path / "out" / "c_brain_mask.nii.gz"
    for same in (
        case_of(head_file),
        case_of(other) | {"flair": str(head_file)},
        case_of(other) | {"brain_mask": str(mask)},
    ):
        masks.remove_other(same)
        assert mask.is_file() and not caplog.records
    other.write_bytes(b"no image")
    masks.remove_other(case_of(other))
    assert not mask.exists() and f"removing {mask}, extracted by an earlier run from another file" in caplog.text
    save(mask, FOUND.astype(np.uint8))
    masks.remove_other(case_of(other))
    assert mask.is_file(), "a mask of the user"


def test_where_a_mask_is_given_none_of_an_earlier_run_stays_beside_the_maps(tmp_path, heads):
    given = save(tmp_path / "given.nii.gz", FOUND.astype(np.uint8))
    head_file = save(tmp_path / "a.nii.gz", head())
    mask = extract(tmp_path, head_file).file
    HeadMasks(str(tmp_path / "out")).remove_other(case_of(head_file) | {"brain_mask": str(given)})
    assert not Path(mask).exists() and given.is_file()
