"""What is written of a case: names, types and grids of the files, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import SaveImaged

from shared.anomaly.native_maps import NativeMapsd
from shared.reports.saved_maps import SaveCaseMapsd
from tests.helpers.native_cases import affine_of, crop_and_native, meta, several_sequences

SHAPE = (24, 28, 20)
AFFINE = affine_of("LAS", (1, 1.5, 5), SHAPE)


@pytest.mark.parametrize(("case", "name"), [({"case_id": "sub-01"}, "sub-01"), ({}, "scan")])
def test_files_are_named(tmp_path: Path, case: dict[str, str], name: str):
    data = {"pred": meta(np.ones((3, 4, 5)), np.eye(4), filename_or_obj="/in/scan.nii.gz"), **case}
    SaveCaseMapsd(str(tmp_path))(data)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}_anomaly_mask.nii.gz"]


def test_each_volume_has_its_name_type_grid_and_values(tmp_path: Path):
    values = np.random.default_rng(0).normal(0, 9, SHAPE)
    types = {"anomaly_map": np.float32, "pred": np.uint8, "pseudo_healthy": np.float32, "uncertainty": np.float32}
    volumes = {key: values > 0 if key == "pred" else values + n for n, key in enumerate(types)}
    file = {"original_affine": np.eye(4), "spatial_shape": np.array((3, 3, 3)), "filename_or_obj": "scan.nii.gz"}
    data = {key: meta(volume, AFFINE, **file) for key, volume in volumes.items()}
    others = {"native_image": meta(values, AFFINE, **file), "case_id": "sub-01"}
    before = {key: volume.clone() for key, volume in data.items()}
    result = SaveCaseMapsd(str(tmp_path / "new" / "out"))({**data, **others})
    assert set(result) == {*data, *others}
    assert all((result[key] == before[key]).all() for key in data)
    names = {"pred": "anomaly_mask"}
    files = {key: f"sub-01_{names.get(key, key)}.nii.gz" for key in types}
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == set(files.values())
    for key, name in files.items():
        written = nib.load(tmp_path / "new" / "out" / name)
        assert written.get_data_dtype() == types[key]
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)  # its own, not that of the file read
        np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), volumes[key].astype(np.float32))


@pytest.mark.parametrize("sequences", [1, 3])
def test_several_sequences_are_written_as_one_4d_file_on_the_input_s_grid(tmp_path: Path, sequences: int):
    file = {"original_affine": AFFINE, "spatial_shape": np.array(SHAPE), "filename_or_obj": "scan.nii.gz"}
    data = {**several_sequences([]), "native_brain_mask": meta(np.ones(SHAPE), AFFINE, **file)}
    data["image"] = meta(np.ones(SHAPE), AFFINE, original_affine=AFFINE)
    data["pred"], data["intensity_scale"] = data["pred"][: 1 + sequences], data["intensity_scale"][:sequences]
    result = NativeMapsd(reconstructions=sequences)(data)
    SaveCaseMapsd(str(tmp_path))({"pseudo_healthy": result["pseudo_healthy"]})
    written = nib.load(tmp_path / "scan_pseudo_healthy.nii.gz")
    assert written.shape == (SHAPE if sequences == 1 else (*SHAPE, 3)) and written.get_data_dtype() == np.float32
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
    volumes = written.get_fdata().reshape(*SHAPE, sequences)
    np.testing.assert_allclose(np.moveaxis(volumes, -1, 0), np.asarray(result["pseudo_healthy"]), rtol=1e-5)


def test_only_what_is_written_is_named_after_the_case(tmp_path: Path):
    data = {**crop_and_native("RAS"), "case_id": "a"}
    maps = NativeMapsd()(data)
    named = SaveCaseMapsd(str(tmp_path))({"case_id": "a", "anomaly_map": maps["anomaly_map"]})
    assert named["anomaly_map"].meta["filename_or_obj"] == "a.nii.gz"
    assert maps["pseudo_healthy"].meta["filename_or_obj"] == "scan.nii.gz"
    assert data["native_brain_mask"].meta["filename_or_obj"] == "scan.nii.gz"


def test_monai_label_knows_it_as_what_it_leaves_out(tmp_path: Path):
    assert isinstance(SaveCaseMapsd(str(tmp_path / "out")), SaveImaged)
    assert not (tmp_path / "out").exists(), "made with the first file, not before"
