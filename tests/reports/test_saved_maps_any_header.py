"""Maps of scans with any header lie on the scan for any reader: forms, codes and units of the header stay."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor

from shared.brains.door import check_case
from shared.reports.saved_maps import SaveCaseMapsd
from shared.runs.errors import InputError
from tests.helpers.any_nifti import AnyNifti, any_header, write
from tests.helpers.ellipsoid_brain import case_of
from tests.helpers.sweeps import EXAMPLES, for_all

STATED = ("sform_code", "srow_x", "srow_y", "srow_z", "qform_code", "quatern_b", "quatern_c", "quatern_d")
STATED += ("qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units")


def placed_by_itk(file: Path) -> list[np.ndarray] | None:
    """Origin, spacing and direction; None where ITK does not take the file."""
    try:
        image = itk.imread(str(file))
    except Exception:
        return None
    found = [np.asarray(image.GetOrigin()), np.asarray(image.GetSpacing()), itk.array_from_matrix(image.GetDirection())]
    return [found[0][:3], found[1][:3], found[2][:3, :3]]


@EXAMPLES
def test_any_header_comes_back_with_the_map(tmp_path, examples):
    def holds(recipe: AnyNifti) -> None:
        file = write(recipe, tmp_path / "scan")
        try:
            found = check_case(case_of(file)).image
        except InputError:
            return
        scan = MetaTensor(found.data[None], affine=torch.tensor(found.affine), meta={"filename_or_obj": str(file)})
        SaveCaseMapsd(str(tmp_path))({"case_id": "c", "native_image": scan, "anomaly_map": scan * 2})
        written, given = nib.load(tmp_path / "c_anomaly_map.nii.gz"), nib.load(file)
        assert np.array_equal(written.get_fdata(), 2 * found.data) and written.shape == found.data.shape
        assert np.array_equal(written.affine, given.affine)
        raw = type(given.header)(file_start(file, len(given.header.binaryblock)), check=False)
        for name in STATED:
            assert np.array_equal(written.header[name], raw[name]), name
        assert np.array_equal(written.header["pixdim"][1:4], raw["pixdim"][1:4])
        by_itk = placed_by_itk(file)
        for one, other in zip(by_itk or [], placed_by_itk(tmp_path / "c_anomaly_map.nii.gz") if by_itk else []):
            assert np.allclose(one, other, atol=1e-4)

    for_all(examples, holds, recipe=any_header())


def file_start(file: Path, size: int) -> bytes:
    content = file.read_bytes()
    return nib.openers.Opener(str(file)).read(size) if content[:2] == b"\x1f\x8b" else content[:size]
