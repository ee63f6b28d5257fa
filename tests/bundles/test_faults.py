"""Faults through the real command: good files are finished, bad ones listed with a remedy, the exit code says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from shared.simulation.phantom_brain import make_phantom
from tests.helpers.bad_volumes import SAID, head, with_voxels, write_bad_volumes
from tests.helpers.bundle import as_stored, reoriented
from tests.helpers.nifti_geometry import geometry
from tests.helpers.run_outputs import report_rows

FAST = {"spacing": "[4,4,4]", "box": "[48,48,48]"}
SPACING = 4.0

# What the report says of each bad file; each names the problem and then the remedy.
BAD = {
    **SAID,
    "image_2d": "2D.*Pass the 3D volume",
    "tiny": "too small for a brain.*Pass the whole volume",
    "mask_empty": "mask.*is empty.*HD-BET",
    "mask_elsewhere": "affine differs.*Resample it to the grid",
    "only_t2": "has no 't1'.*--sequence",
}
# What the report warns of in each good file.
GOOD = {
    "oblique_int16_slope": "",
    "slices_5mm_big_endian": "thick slices",
    "odd_size_uint8": "",
    "no_affine": "no affine in the header",
    "another_qform": "sform and qform differ",
    "one_volume_4d": "4D file with one volume",
    "named ü": "",
    "hot_voxel": "",
    "negative_inside": "",
    "head_with_mask": "run with --extract_brain auto",
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A datalist of all of them."""
    folder = tmp_path_factory.mktemp("mixed")
    phantom = make_phantom(9010, None, ("t1",), SPACING)
    brain, affine = np.pad(phantom.images["t1"], 5), phantom.affine.copy()
    affine[:3, 3] -= 5 * SPACING
    mask = (brain > 0).astype(np.uint8)
    cases = {}

    def path(case_id: str, key: str = "t1") -> Path:
        name = f"{case_id}_{key}.nii.gz"
        cases.setdefault(case_id, {"case_id": case_id})[key] = name
        return folder / name

    def save(case_id: str, data: np.ndarray, matrix: np.ndarray | None = affine, key: str = "t1") -> None:
        nib.save(nib.Nifti1Image(data, matrix), path(case_id, key))

    c, s = np.cos(0.3), np.sin(0.3)
    turned = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ affine
    nib.save(as_stored(reoriented(nib.Nifti1Image(brain, turned), "PSR"), "<i2", 0.01), path("oblique_int16_slope"))
    stretched = affine @ np.diag([1, 1, 5 / SPACING, 1])
    nib.save(as_stored(nib.Nifti1Image(brain, stretched), ">i2", 0.01), path("slices_5mm_big_endian"))
    nib.save(as_stored(nib.Nifti1Image(brain[1:, :-2, :], affine), "|u1"), path("odd_size_uint8"))
    plain = nib.Nifti1Image(brain, None)
    plain.header.set_zooms((SPACING,) * 3)
    plain.header.set_xyzt_units("mm")
    nib.save(plain, path("no_affine"))
    scanner = nib.Nifti1Image(brain, affine)
    scanner.set_sform(affine, 4)
    scanner.set_qform(turned, 1)
    nib.save(scanner, path("another_qform"))
    save("one_volume_4d", brain[..., None])
    save("named ü", brain)
    (folder / "a folder").mkdir()
    (folder / cases["named ü"]["t1"]).rename(folder / "a folder" / "ü.NII.GZ")
    cases["named ü"]["t1"] = "a folder\\ü.NII.GZ"
    save("hot_voxel", with_voxels(brain, 1, 1e6))
    save("negative_inside", with_voxels(brain, 3, -4.0))
    save("head_with_mask", head(brain, SPACING))
    save("head_with_mask", mask, key="brain_mask")

    write_bad_volumes(brain, affine, path)
    save("image_2d", brain[:, :, 28])
    save("tiny", brain[25:31, 30:36, 25:31])
    save("mask_empty", brain)
    save("mask_empty", mask * 0, key="brain_mask")
    save("mask_elsewhere", brain)
    save("mask_elsewhere", mask, affine + np.eye(4)[:, [0]] * [[0, 0, 0, 9.0]], key="brain_mask")
    save("only_t2", brain, key="t2")
    mingled = [cases[name] for pair in zip([*GOOD, *[None] * len(BAD)], BAD) for name in pair if name]
    assert {case["case_id"] for case in mingled} == {*GOOD, *BAD}
    (folder / "list.json").write_text(json.dumps({"test": mingled}))
    return folder / "list.json"


def state_of(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of all files but those that Python compiles."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    return {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


@pytest.fixture(scope="module")
def finished(itermask3d, mixed, tmp_path_factory) -> SimpleNamespace:
    out, before = tmp_path_factory.mktemp("out"), state_of(mixed.parent, itermask3d.folder)
    done = itermask3d.run("inference.json", {**FAST, "datalist": mixed, "extract_brain": "never", "output_dir": out})
    assert (out / "report.csv").is_file(), done.stderr
    assert state_of(mixed.parent, itermask3d.folder) == before, "written to where data and bundle lie"
    rows = report_rows(out)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    failures = {failure["case_id"]: failure for failure in report["failures"]}
    page = (out / "report.html").read_text(encoding="utf-8")
    return SimpleNamespace(done=done, out=out, rows=rows, failures=failures, page=page, cases=report["cases"])


def test_exit_code_and_last_message_tell_that_cases_were_left_out(finished):
    assert finished.done.returncode == 2
    assert f"{len(GOOD)} of {len(GOOD) + len(BAD)} cases done, left out" in finished.done.stdout


@pytest.mark.parametrize("case_id", GOOD)
def test_good_file_is_finished(finished, mixed, case_id):
    row = finished.rows[case_id]
    assert row["status"] == "done" and float(row["anomaly_ml"]) >= 0
    assert (GOOD[case_id] in row["warnings"]) if GOOD[case_id] else "case" not in row["warnings"]
    scan = mixed.parent / ("a folder/ü.NII.GZ" if case_id == "named ü" else f"{case_id}_t1.nii.gz")
    for name in ("anomaly_map", "anomaly_mask", "pseudo_healthy"):
        volume = nib.load(finished.out / f"{case_id}_{name}.nii.gz")
        assert volume.shape == nib.load(scan).shape[:3], name
        assert geometry(finished.out / f"{case_id}_{name}.nii.gz") == geometry(scan), name
        assert np.isfinite(volume.get_fdata()).all(), name


def test_hot_voxel_changes_nothing_elsewhere(finished):
    hot, plain = (
        {n: nib.load(finished.out / f"{c}_{n}.nii.gz").get_fdata() for n in ("anomaly_map", "pseudo_healthy")}
        for c in ("hot_voxel", "one_volume_4d")
    )
    away = np.ones(hot["anomaly_map"].shape, bool)
    away[tuple(slice(n // 2 - 8, n // 2 + 9) for n in away.shape)] = False
    brain = away & (plain["pseudo_healthy"].squeeze() != 0)
    error = (hot["pseudo_healthy"] - plain["pseudo_healthy"].squeeze())[brain]
    assert np.abs(error).mean() < 0.01 * plain["pseudo_healthy"].max()
    assert np.corrcoef(hot["anomaly_map"][brain], plain["anomaly_map"].squeeze()[brain])[0, 1] > 0.99


@pytest.mark.parametrize("case_id", BAD)
def test_bad_file_is_listed_with_a_remedy(finished, case_id):
    failure, row = finished.failures[case_id], finished.rows[case_id]
    assert re.search(BAD[case_id], f"{failure['file']} {failure['error']}. {failure['remedy']}", re.DOTALL)
    assert failure["key"] == ("brain_mask" if case_id.startswith("mask_") else "t1") and failure["remedy"]
    assert row["status"] == "failed" and (row["error"], row["remedy"]) == (failure["error"], failure["remedy"])
    assert f"<td>{case_id}</td>" in finished.page
    assert not list(finished.out.glob(f"{case_id}_*"))


def test_nothing_else_is_listed_or_written(finished):
    assert set(finished.failures) == set(BAD) and {row["case_id"] for row in finished.cases} == set(GOOD)
    assert len(list(finished.out.glob("[!.]*"))) == 3 * len(GOOD) + 3


@pytest.mark.slow
def test_no_usable_case_and_no_case_at_all_are_errors(itermask3d, mixed, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for options, message in (
        ({"image": mixed.parent / "text_t1.nii.gz"}, r"error: .*text_t1.*Convert"),
        ({"dataset_dir": tmp_path / "empty"}, "0 NIfTI files below .*empty"),
        ({}, "pass exactly one of --image FILE, --dataset_dir FOLDER or --datalist LIST.json; none given"),
    ):
        done = itermask3d.run("inference.json", {**FAST, **options, "output_dir": out})
        assert done.returncode not in (0, 2) and re.search(message, done.stderr), done.stderr
        assert not out.exists() or not list(out.glob("*.nii.gz"))
