"""Consensus of the maps of a case: the files of finished runs in, one map, one mask, a row and a picture out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shared.reports.consensus_cases import Member, fuse
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, case_of, save
from tests.helpers.run_outputs import read

LESION = np.zeros(BRAIN.shape, np.float32)
LESION[28:36, 28:36, 28:36] = 1


def member(folder: Path, name: str, anomaly_map: np.ndarray | None, affine: np.ndarray = AFFINE) -> Member:
    """A finished run on case "c"; without a map it has left the case out."""
    folder = folder / name
    folder.mkdir()
    row = {"case_id": "c", "anomaly_ml": 1.5, "brain_litres": 1.04, "brain_from": "image", "warnings": ["thick slices"]}
    failure = {"case_id": "c", "error": "has no 't1'"}
    report = {"cases": [row] if anomaly_map is not None else [], "failures": [failure] if anomaly_map is None else []}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    if anomaly_map is not None:
        save(folder / "c_anomaly_map.nii.gz", anomaly_map, affine)
        save(folder / "c_pseudo_healthy.nii.gz", BRAIN)
    return Member.read(name, folder)


def test_the_map_is_the_geometric_mean_in_the_brain_and_the_mask_what_is_above_1(tmp_path):
    inside = BRAIN > 0
    members = [member(tmp_path, "a", 0.5 + 7.5 * LESION), member(tmp_path, "b", 0.5 + 1.5 * LESION)]
    case = case_of(save(tmp_path / "x_flair.nii.gz"), label=save(tmp_path / "label.nii.gz", LESION))
    done, picture = fuse(case, members, tmp_path)
    written = read_maps(tmp_path)
    np.testing.assert_allclose(written["map"], np.where(inside, 0.5 + 3.5 * LESION, 0), rtol=1e-6)
    np.testing.assert_array_equal(written["mask"], LESION)
    assert picture.startswith(b"\x89PNG") and np.array_equal(np.asarray(done["label"][0]), LESION)
    row = done["row"]
    assert row["anomaly_ml"] == pytest.approx(LESION.sum() * 2.5**3 / 1000)
    assert row["score"] == pytest.approx(LESION.sum() / inside.sum())
    assert row["members"] == ["a", "b"] and row["a_ml"] == 1.5 and row["brain_litres"] == 1.04
    assert row["warnings"] == ["a: thick slices", "b: thick slices"]


def read_maps(folder: Path) -> dict[str, np.ndarray]:
    save(folder / "c_pseudo_healthy.nii.gz")
    out = read(folder, "c")
    assert np.array_equal(out.anomaly_map.affine, AFFINE)
    return {"map": out.anomaly_map.get_fdata(), "mask": np.asarray(out.anomaly_mask.dataobj)}


def test_a_member_without_a_result_is_left_out_and_named(tmp_path):
    members = [member(tmp_path, "a", 2 * LESION), member(tmp_path, "b", None), Member("c", tmp_path / "c")]
    done, _ = fuse(case_of(save(tmp_path / "x_flair.nii.gz")), members, tmp_path)
    np.testing.assert_array_equal(read_maps(tmp_path)["map"], 2 * LESION)
    assert done["row"]["warnings"][:2] == ["without b: has no 't1'", "without c: its run failed"]
    with pytest.raises(InputError, match=r"no bundle has a result \(b: has no 't1'; c: its run failed\)"):
        fuse(case_of(tmp_path / "x_flair.nii.gz"), members[1:], tmp_path)


def test_of_a_whole_head_the_brain_that_a_member_extracted_is_the_brain(tmp_path):
    one, brain = member(tmp_path, "a", np.ones(BRAIN.shape, np.float32) * 2 * LESION), (BRAIN > 0).astype(np.uint8)
    brain[32:] = 0
    save(one.folder / "c_brain_mask.nii.gz", brain)
    fuse(case_of(save(tmp_path / "x_flair.nii.gz", BRAIN + 5)), [one], tmp_path)
    np.testing.assert_array_equal(read_maps(tmp_path)["map"], 2 * LESION * brain)


def test_a_map_on_another_grid_is_refused(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] += 5
    members = [member(tmp_path, "a", LESION), member(tmp_path, "b", LESION, moved)]
    with pytest.raises(InputError, match="b_anomaly_map|c_anomaly_map.*lies on another grid than"):
        fuse(case_of(save(tmp_path / "x_flair.nii.gz")), members, tmp_path)
    assert not list(tmp_path.glob("c_*"))


def test_more_than_half_of_the_brain_is_no_result(tmp_path):
    with pytest.raises(InputError, match="of its brain would be marked"):
        fuse(
            case_of(save(tmp_path / "x_flair.nii.gz")),
            [member(tmp_path, "a", np.full_like(BRAIN, 2))],
            tmp_path,
        )
