"""4D files of the Decathlon: split into a file per sequence, once, whole, and only where they are what is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from shared.datasets.msd_cases import msd_cases
from shared.runs.errors import DataListError

MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def listing(source: Path, cases: int = 2, volumes: int = 4) -> dict[str, Any]:
    """Files whose voxels hold 100 times the case and the number of their volume."""
    pairs = [{"image": f"./imagesTr/BRATS_{n}.nii.gz", "label": f"./labelsTr/BRATS_{n}.nii.gz"} for n in range(cases)]
    (source / "imagesTr").mkdir(parents=True)
    for n, pair in enumerate(pairs):
        data = np.broadcast_to(100 * n + np.arange(volumes), (4, 5, 6, volumes)).astype(np.int16)
        nib.save(nib.Nifti1Image(data, AFFINE), source / pair["image"])
    return {"modality": MODALITY, "training": pairs}


def test_each_sequence_gets_a_file_of_its_own_values(tmp_path):
    source, target = tmp_path / "Task01", tmp_path / "out" / "volumes"
    first, second = msd_cases(source, listing(source), target)
    assert (first["case_id"], second["case_id"]) == ("BRATS_0", "BRATS_1")
    assert second["label"] == str(source / "labelsTr" / "BRATS_1.nii.gz")
    for number, sequence in enumerate(("flair", "t1", "t1ce", "t2")):
        assert second[sequence] == str(target / f"BRATS_1_{sequence}.nii.gz")
        part = nib.load(second[sequence])
        assert part.shape == (4, 5, 6) and part.get_data_dtype() == np.int16
        assert (np.asarray(part.dataobj) == 100 + number).all() and np.array_equal(part.affine, AFFINE)
    assert len(list(target.iterdir())) == 8, "and no part of a file"


def test_files_that_are_there_are_kept_and_what_lacks_one_is_written_again(tmp_path):
    source, target = tmp_path / "Task01", tmp_path / "volumes"
    content = listing(source)
    first, second = msd_cases(source, content, target)
    Path(first["t1"]).unlink()
    for path in (first["t2"], second["t2"]):
        Path(path).write_bytes(b"other")
    assert msd_cases(source, content, target) == [first, second]
    assert (np.asarray(nib.load(first["t1"]).dataobj) == 1).all()
    assert (np.asarray(nib.load(first["t2"]).dataobj) == 3).all()
    assert Path(second["t2"]).read_bytes() == b"other", "all four were there"


@pytest.mark.parametrize("volumes", [3, 5])
def test_another_number_of_volumes_is_named(tmp_path, volumes):
    source = tmp_path / "Task01"
    with pytest.raises(DataListError, match=rf"BRATS_0.nii.gz has shape \(4, 5, 6, {volumes}\), not 4D with 4 volumes"):
        msd_cases(source, listing(source, volumes=volumes), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
