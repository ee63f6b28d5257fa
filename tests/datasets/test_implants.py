"""Implanted lesions: contrast, edge and volume against the shapes they come from; the committed table; the command."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from shared.cases.datalists import gather_cases
from shared.datasets.implants import CONTRASTS, SIZES, implant, lesion_weight
from tests.helpers.paths import ROOT
from tests.helpers.real_data import DATA, needs_data
from tools.make_datalist import main


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


TABLE = rows_of(ROOT / "tools" / "implanted_lesions.csv")
RANGES_ML = {"small": (0.5, 3), "medium": (3, 12), "large": (12, 60)}
RADIUS_MM = 12.0


def grid(spacing: float, half_mm: float, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A cube of +-half_mm around the origin: its affine and the distance of every voxel from (4, 0, 0) mm."""
    axis = np.arange(-half_mm, half_mm + spacing / 2, spacing)
    affine = np.diag([-spacing if flip else spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [half_mm if flip else -half_mm, -half_mm, -half_mm]
    x, y, z = np.meshgrid(axis[::-1] if flip else axis, axis, axis, indexing="ij")
    return affine, np.sqrt((x - 4) ** 2 + y**2 + z**2)


@pytest.fixture(scope="module")
def ball() -> dict[str, np.ndarray]:
    affine_lesion, distance = grid(1.0, 25.0)
    affine_image, image_distance = grid(2.0, 30.0, flip=True)
    rng = np.random.default_rng(0)
    brain = np.where(image_distance < 26, rng.uniform(50, 150, image_distance.shape), 0).astype(np.float32)
    return {
        "lesion": (distance < RADIUS_MM).astype(np.uint8),
        "affine_lesion": affine_lesion,
        "image": brain,
        "affine_image": affine_image,
        "distance": image_distance,
    }


def weight_of(ball: dict[str, np.ndarray], lesion: np.ndarray) -> np.ndarray:
    return lesion_weight(lesion, ball["affine_lesion"], ball["image"].shape, ball["affine_image"])


def call(ball: dict[str, np.ndarray], contrast: float) -> tuple[np.ndarray, np.ndarray]:
    return implant(ball["image"], weight_of(ball, ball["lesion"]), contrast)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_core_has_the_contrast_and_the_rest_is_unchanged(ball, contrast):
    image, label = call(ball, contrast)
    assert image.dtype == np.float32 and label.dtype == np.uint8
    core, far = ball["distance"] < RADIUS_MM - 6, ball["distance"] > RADIUS_MM + 9
    np.testing.assert_allclose(image[core], contrast * ball["image"][core], rtol=1e-5)
    np.testing.assert_array_equal(image[far], ball["image"][far])
    assert label[core].all() and not label[far].any()


def test_edge_lies_where_the_lesion_ends_and_is_soft(ball):
    weight = weight_of(ball, ball["lesion"])
    _, label = call(ball, 0.6)
    lesion_ml = ball["lesion"].sum() / 1000
    assert lesion_ml == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3 / 1000, rel=0.02)
    assert weight.sum() * 0.008 == pytest.approx(lesion_ml, rel=1e-3)  # the blur moves no volume
    assert label.sum() * 0.008 == pytest.approx(lesion_ml, rel=0.06)  # a blurred convex edge recedes by sigma^2 / R
    assert np.allclose(ndimage.center_of_mass(label), ndimage.center_of_mass(ball["distance"] < RADIUS_MM), atol=0.1)
    at_edge = np.abs(ball["distance"] - RADIUS_MM) < 0.25
    sigma = np.sqrt(1 + 0.42**2 * (2**2 - 1**2))  # soft edge of 1 mm, and from 1 mm to 2 mm voxels
    radius = np.cbrt(3000 * lesion_ml / (4 * np.pi))  # of the lesion as sampled
    # A blurred half space is 0.5 at its surface; to first order a ball of radius R has sigma / (R sqrt(2 pi)) less.
    expected = 0.5 - (sigma / radius + (RADIUS_MM - radius) / sigma) / np.sqrt(2 * np.pi)
    assert weight[at_edge].mean() == pytest.approx(expected, abs=0.02)
    assert weight.min() == 0 and weight.max() == pytest.approx(1, abs=1e-6)


def test_lesion_ends_at_the_brain_and_an_empty_one_changes_nothing(ball):
    narrow = np.where(ball["distance"] < 8, ball["image"], 0)
    image, label = implant(narrow, weight_of(ball, ball["lesion"]), 0.6)
    assert not label[narrow == 0].any() and not image[narrow == 0].any() and label[narrow > 0].all()
    nothing = np.zeros_like(ball["lesion"])
    image, label = implant(ball["image"], weight_of(ball, nothing), 0.6)
    np.testing.assert_array_equal(image, ball["image"])
    assert not label.any()


def test_table_gives_no_lesion_twice():
    assert Counter(row["split"] for row in TABLE) == {"val": 9, "test": 9}
    assert len({row["subject"] for row in TABLE}) == len(TABLE)
    lesions = [row[size] for row in TABLE for size in SIZES]
    assert len(set(lesions)) == len(lesions) == 54


@pytest.mark.real_data
@needs_data
def test_table_agrees_with_the_data():
    folder_of, split = {}, {}
    for folder in ("ixi_t1", "ixi_t1_more"):
        for row in rows_of(DATA / folder / "subjects.csv"):
            folder_of[row["subject"]], split[row["subject"]] = folder, row["split"]
    not_healthy = {row["subject"] for row in rows_of(DATA / "ixi_t1" / "findings.csv")}
    held_out = {s: v for s, v in split.items() if v != "train" and s not in not_healthy}
    assert {row["subject"]: row["split"] for row in TABLE} == held_out
    for row in TABLE:
        healthy = nib.load(DATA / folder_of[row["subject"]] / f"{row['subject']}_T1.nii.gz")
        image = healthy.get_fdata(dtype=np.float32)
        total = np.zeros(image.shape, int)
        for size in SIZES:
            lesion = nib.load(DATA / "soop_lesion_masks" / f"{row[size]}_lesion.nii.gz")
            weight = lesion_weight(np.asarray(lesion.dataobj), lesion.affine, image.shape, healthy.affine)
            _, label = implant(image, weight, 0.6)
            low, high = RANGES_ML[size]
            assert low <= label.sum() * 0.008 < high, row[size]
            assert np.median(image[label > 0]) > 0.6 * np.percentile(image[image > 0], 90), row[size]
            total += ndimage.binary_dilation(label, np.ones((3, 3, 3)))
        assert total.max() == 1, f"lesions of {row['subject']} touch"


@pytest.mark.real_data
@needs_data
def test_command_writes_the_sections(tmp_path):
    output = tmp_path / "implanted.json"
    assert main(["implanted", str(DATA), str(output)]) == 0
    listed = json.loads(output.read_text(encoding="utf-8"))
    assert listed["training"] == []
    for section in ("validation", "test"):
        cases = gather_cases(datalist=str(output), section=section)
        assert len(cases) == 36 and all(Path(case["image"]).is_file() for case in cases)
        groups = Counter(case["group"] for case in listed[section])
        assert groups == {"contrast 0.6": 9, "contrast 0.75": 9, "contrast 0.9": 9, "healthy": 9}
        assert all(("label" in case) == (not case["case_id"].endswith("_healthy")) for case in cases)
    cases = {case["case_id"]: case for case in gather_cases(datalist=str(output), section="validation")}
    subject = listed["validation"][0]["patient_id"]
    healthy = nib.load(cases[f"{subject}_healthy"]["image"])
    for contrast in CONTRASTS:
        case = cases[f"{subject}_c{round(100 * contrast):03d}"]
        image, label = nib.load(case["image"]), nib.load(case["label"])
        assert image.get_data_dtype() == np.float32 and label.get_data_dtype() == np.uint8
        assert np.allclose(image.affine, healthy.affine) and image.header.get_zooms() == healthy.header.get_zooms()
        core = ndimage.binary_erosion(np.asarray(label.dataobj), iterations=3)
        assert core.sum() > 20
        ratio = image.get_fdata()[core] / healthy.get_fdata()[core]
        assert np.allclose(ratio, contrast, rtol=0.02)


@pytest.mark.real_data
@needs_data
def test_missing_lesions_are_named(tmp_path, capsys):
    for folder in ("ixi_t1", "ixi_t1_more"):
        (tmp_path / folder).symlink_to(DATA / folder)
    assert main(["implanted", str(tmp_path), str(tmp_path / "l.json")]) == 1
    assert "soop_lesion_masks" in capsys.readouterr().err
