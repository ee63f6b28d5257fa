"""What is written of a case: names, types and geometry of the files, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import SaveImaged

from shared.reports.saved_maps import SaveCaseMapsd
from tests.helpers.native_cases import affine_of, meta
from tests.helpers.nifti_geometry import HEADERS, SHAPE, geometry, scan_file

AFFINE = affine_of("LAS", (1, 1.5, 5), SHAPE)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return scan_file(tmp_path / "in" / "scan.nii.gz", HEADERS["sform 4 qform 1"])


def case_of(scan: Path, **volumes: Any) -> dict[str, Any]:
    """The volumes of a case whose scan is this file, wherever they come from."""
    moved = {key: meta(values, AFFINE, filename_or_obj="elsewhere.nii.gz") for key, values in volumes.items()}
    return {**moved, "native_image": meta(np.ones(SHAPE), AFFINE, filename_or_obj=str(scan))}


@pytest.mark.parametrize(("case", "name"), [({"case_id": "sub-01"}, "sub-01"), ({}, "scan")])
def test_files_are_named(tmp_path: Path, scan: Path, case: dict[str, str], name: str):
    SaveCaseMapsd(str(tmp_path / "out"))({**case_of(scan, pred=np.ones(SHAPE)), **case})
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{name}_anomaly_mask.nii.gz"]


def test_each_volume_has_its_name_type_values_and_the_geometry_of_the_scan(tmp_path: Path, scan: Path):
    values = np.random.default_rng(0).normal(0, 9, SHAPE)
    types = {"anomaly_map": np.float32, "pred": np.uint8, "pseudo_healthy": np.float32, "uncertainty": np.float32}
    volumes = {key: values > 0 if key == "pred" else values + n for n, key in enumerate(types)}
    data = {**case_of(scan, **volumes), "case_id": "sub-01"}
    before = {key: data[key].clone() for key in volumes}
    result = SaveCaseMapsd(str(tmp_path / "new" / "out"))(data)
    assert set(result) == set(data) and all((result[key] == before[key]).all() for key in before)
    names = {"pred": "anomaly_mask"}
    files = {key: f"sub-01_{names.get(key, key)}.nii.gz" for key in types}
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == set(files.values())
    for key, name in files.items():
        written = nib.load(tmp_path / "new" / "out" / name)
        assert written.get_data_dtype() == types[key]
        assert geometry(tmp_path / "new" / "out" / name) == geometry(scan)
        np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), volumes[key].astype(np.float32))


def test_a_case_has_all_of_its_volumes_or_none(tmp_path: Path, scan: Path):
    (tmp_path / "out" / "sub-01_pseudo_healthy.nii.gz").mkdir(parents=True)
    data = {
        **case_of(scan, **dict.fromkeys(("anomaly_map", "pred", "pseudo_healthy"), np.ones(SHAPE))),
        "case_id": "sub-01",
    }
    with pytest.raises(IsADirectoryError) as caught:
        SaveCaseMapsd(str(tmp_path / "out"))(data)
    assert caught.value.filename == str(tmp_path / "out" / "sub-01_pseudo_healthy.nii.gz")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sub-01_pseudo_healthy.nii.gz"]


def test_several_sequences_are_written_as_one_4d_file(tmp_path: Path, scan: Path):
    data = case_of(scan)
    volumes = np.random.default_rng(0).normal(0, 9, (3, *SHAPE)).astype(np.float32)
    data["pseudo_healthy"] = meta(volumes, AFFINE)[0]
    SaveCaseMapsd(str(tmp_path))(data)
    written = nib.load(tmp_path / "scan_pseudo_healthy.nii.gz")
    assert written.shape == (*SHAPE, 3) and written.get_data_dtype() == np.float32
    assert geometry(tmp_path / "scan_pseudo_healthy.nii.gz") == geometry(scan)
    np.testing.assert_array_equal(np.moveaxis(written.get_fdata(dtype=np.float32), -1, 0), volumes)


def test_monai_label_knows_it_as_what_it_leaves_out(tmp_path: Path):
    assert isinstance(SaveCaseMapsd(str(tmp_path / "out")), SaveImaged)
    assert not (tmp_path / "out").exists(), "made with the first file, not before"
