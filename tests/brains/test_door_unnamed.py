"""The door of cases as MONAI Label lists them, which have neither a name nor a sequence."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.brains.door import Door
from tests.helpers.ellipsoid_brain import save


@pytest.mark.parametrize("file", ["sub-01_T1.nii.gz", "sub-01_T1.nii"])
def test_a_case_is_named_after_its_image(tmp_path: Path, file: str):
    listed = {"image": str(save(tmp_path / file))}
    (case,) = Door([listed], known_sequences=("t2",)).cases
    assert case == {"case_id": "sub-01_T1", "sequence": "image", **listed, "warnings": []}
    assert set(listed) == {"image"}


def test_a_bad_one_is_named_after_its_image_too(tmp_path: Path):
    (failure,) = Door([{"image": str(tmp_path / "absent.nii.gz")}]).failures
    assert failure["case_id"] == "absent" and failure["file"] == str(tmp_path / "absent.nii.gz")
