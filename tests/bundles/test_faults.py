"""Faults through the real command: good files are finished, bad ones listed with a remedy, the exit code says so."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import as_stored, reoriented
from run_outputs import halved, report_rows
from scipy.ndimage import distance_transform_edt

from shared.data.phantom_brain import make_phantom
from shared.masking.residual_unet import AvgPoolResidualUNet

FAST = {"spacing": "[4,4,4]", "box": "[48,48,48]", "percents": "[0,50,90]"}
SPACING = 4.0

# What the report says of each bad file; each names the problem and then the remedy.
BAD = {
    "missing": "file not found.*Check the path",
    "empty_folder": "is a folder.*--dataset_dir",
    "truncated": "truncated or damaged.*again",
    "text": "not gzip-compressed.*Convert",
    "volumes_4d": "holds 2 volumes.*Extract",
    "image_2d": "2D.*Pass the 3D volume",
    "singular_affine": "affine is singular.*",
    "tiny": "too small for a brain.*Pass the whole volume",
    "nan": "2 voxels.*NaN or infinite.*nan_to_num",
    "inf": "1 voxels.*NaN or infinite.*nan_to_num",
    "all_zero": "0 everywhere.*original scan",
    "constant": "constant everywhere.*not a mask",
    "whole_head": "not a brain-extracted scan.*hd-bet -i .*mri_synthstrip -i ",
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
    "negative_inside": "",
    "head_with_mask": "",
}


def head(brain: np.ndarray) -> np.ndarray:
    """The brain within 7 mm of dark bone and 8 mm of bright scalp; X Y Z."""
    depth = distance_transform_edt(brain == 0) * SPACING
    scalp, bone = 1.3 * np.median(brain[brain > 0]), 2.0
    return np.where(depth == 0, brain, np.where(depth < 8, bone, np.where(depth < 16, scalp, 0))).astype(np.float32)


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

    def with_voxels(count: int, value: float) -> np.ndarray:
        data = brain.copy()
        data[28, 32, 28 : 28 + count] = value
        return data

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
    save("negative_inside", with_voxels(3, -4.0))
    save("head_with_mask", head(brain))
    save("head_with_mask", mask, key="brain_mask")

    path("missing")
    path("empty_folder").mkdir()
    whole = gzip.compress(nib.Nifti1Image(brain, affine).to_bytes())
    path("truncated").write_bytes(whole[: len(whole) // 2])
    path("text").write_text("no image")
    save("volumes_4d", np.stack([brain, brain], -1))
    save("image_2d", brain[:, :, 28])
    flat = nib.Nifti1Image(brain, affine)
    raw = bytearray(flat.to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    header["srow_x"] = 0
    path("singular_affine").write_bytes(gzip.compress(header.binaryblock + bytes(raw[348:])))
    save("tiny", brain[25:31, 30:36, 25:31])
    save("nan", with_voxels(2, np.nan))
    save("inf", with_voxels(1, np.inf))
    save("all_zero", brain * 0)
    save("constant", brain * 0 + 7)
    save("whole_head", head(brain))
    save("mask_empty", brain)
    save("mask_empty", mask * 0, key="brain_mask")
    save("mask_elsewhere", brain)
    save("mask_elsewhere", mask, affine + np.eye(4)[:, [0]] * [[0, 0, 0, 9.0]], key="brain_mask")
    save("only_t2", brain, key="t2")
    mingled = [cases[name] for pair in zip([*GOOD, *[None] * len(BAD)], BAD) for name in pair if name]
    assert {case["case_id"] for case in mingled} == {*GOOD, *BAD}
    (folder / "list.json").write_text(json.dumps({"test": mingled}))
    return folder / "list.json"


@pytest.fixture(scope="module")
def finished(itermask3d, mixed, tmp_path_factory) -> SimpleNamespace:
    out = tmp_path_factory.mktemp("out")
    done = itermask3d.run("inference.json", {**FAST, "datalist": mixed, "output_dir": out})
    assert (out / "report.csv").is_file(), done.stderr
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
    image = nib.load(mixed.parent / f"{case_id}_t1.nii.gz")
    for name in ("anomaly_map", "anomaly_mask", "pseudo_healthy"):
        volume = nib.load(finished.out / f"{case_id}_{name}.nii.gz")
        assert volume.shape == image.shape and np.allclose(volume.affine, image.affine, atol=1e-4), name
        assert np.isfinite(volume.get_fdata()).all(), name


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


def half(width: int) -> dict[str, torch.Tensor]:
    """State dict of the bundle's network at some width, in half precision."""
    return halved(AvgPoolResidualUNet(2, 1, width=width, dropout=0.0, add_high_pass=True).state_dict())


def truncated(path: Path) -> None:
    torch.save(half(2), path)
    path.write_bytes(path.read_bytes()[:20000])


WEIGHTS = {
    "missing": (lambda path: None, "weights missing. Train with configs/train.json"),
    "truncated": (truncated, "not a file of weights"),
    "of another network": (lambda path: torch.save(half(4), path), "weights of another network.*network_def"),
    "text": (lambda path: path.write_text("no weights"), "not a file of weights.*Download it again"),
}


@pytest.mark.parametrize("fault", [*list(WEIGHTS)[:3], pytest.param("text", marks=pytest.mark.slow)])
def test_bad_weights_end_the_run_before_anything_is_written(itermask3d, mixed, tmp_path, fault):
    make, message = WEIGHTS[fault]
    weights, out = tmp_path / "weights.pt", tmp_path / "out"
    make(weights)
    image = mixed.parent / "negative_inside_t1.nii.gz"
    done = itermask3d.run("inference.json", {**FAST, "image": image, "weights": weights, "output_dir": out})
    assert done.returncode not in (0, 2)
    assert re.search(f"WeightsError: {re.escape(str(weights))}: {message}", done.stderr)
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.slow
def test_no_usable_case_and_no_case_at_all_are_errors(itermask3d, mixed, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for options, message in (
        ({"image": mixed.parent / "text_t1.nii.gz"}, r"none of the 1 cases can be used:\n.*text_t1.*Convert"),
        ({"dataset_dir": tmp_path / "empty"}, "0 NIfTI files below .*empty"),
        ({}, "pass exactly one of --image FILE, --dataset_dir FOLDER or --datalist LIST.json; none given"),
    ):
        done = itermask3d.run("inference.json", {**FAST, **options, "output_dir": out})
        assert done.returncode not in (0, 2) and re.search(message, done.stderr), done.stderr
        assert not out.exists() or not list(out.glob("*.nii.gz"))
