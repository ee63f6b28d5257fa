"""The picture of a case, measured: a spherical brain with a ball in it, whose places follow from geometry."""

from __future__ import annotations

import io

import numpy as np
import pytest
from nibabel.affines import apply_affine
from PIL import Image

from shared.reports.canonical_slices import MARGIN_MM
from shared.reports.case_picture import case_picture

PANEL, GAP, LEFT, TOP = 236, 4, 26, 26  # pixels
BRAIN_MM, BALL_MM = 60.0, 9.0
BALL_AT = np.array([25.0, 20.0, 15.0])  # mm: in the patient's right front, above the middle
PIXELS_PER_MM = PANEL / (2 * (BRAIN_MM + MARGIN_MM))  # within a voxel: the panel shows the brain and its margin
INPUT, HEALTHY, MAP, MASK = range(4)  # columns
CORONAL, SAGITTAL = 3, 4  # rows, below three axial ones


def volumes(
    spacing: tuple[float, float, float] = (2, 2, 2), ball_at: np.ndarray = BALL_AT
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A brain whose grey values rise towards the patient's right, its map and mask, ``X Y Z`` RAS; and the affine."""
    shape = np.ceil(2 * (BRAIN_MM + 12) / np.array(spacing)).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(shape - 1) / 2 * spacing
    world = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    brain = np.linalg.norm(world, axis=-1) <= BRAIN_MM
    distance = np.linalg.norm(world - ball_at, axis=-1)
    image = np.where(brain, 200 + world[..., 0], 0)
    named = {
        "image": image,
        "pseudo_healthy": 1.1 * image,
        "anomaly_map": np.where(brain, 2 * np.exp2(-((distance / BALL_MM) ** 2)), 0),  # 1 at the surface of the ball
        "mask": distance < BALL_MM,
    }
    return named, affine


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def panel(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    """One of the square panels that a spherical brain has."""
    top, left = (start + number * (PANEL + GAP) for start, number in ((TOP, row), (LEFT, column)))
    return picture[top : top + PANEL, left : left + PANEL]


def warm(part: np.ndarray) -> np.ndarray:
    return part[..., 0] - part[..., 2] > 40


def cold(part: np.ndarray) -> np.ndarray:
    return part[..., 2] - part[..., 0] > 60


def place_mm(shown: np.ndarray) -> np.ndarray:
    """Centre of the marked pixels, in mm to the right and upwards of the middle of the panel."""
    rows, columns = np.nonzero(shown)
    middle = (PANEL - 1) / 2
    return np.array([columns.mean() - middle, middle - rows.mean()]) / PIXELS_PER_MM


def extent_mm(shown: np.ndarray) -> np.ndarray:
    """Width and height of the marked pixels."""
    return np.array([np.ptp(np.flatnonzero(shown.any(axis=axis))) + 1 for axis in (0, 1)]) / PIXELS_PER_MM


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    named, affine = volumes()
    return pixels(case_picture(**named, affine=affine))


@pytest.mark.parametrize("column", [MAP, MASK])
def test_ball_is_drawn_where_it_is_in_the_patient(picture: np.ndarray, column: int):
    x, y, z = BALL_AT
    axial = max((panel(picture, row, column) for row in range(3)), key=lambda part: warm(part).sum())
    coronal, sagittal = (panel(picture, row, column) for row in (CORONAL, SAGITTAL))
    # Radiological convention: the patient's right (+x) is on the left; in sagittal slices anterior (+y) is.
    for part, expected in ((axial, (-x, y)), (coronal, (-x, z)), (sagittal, (-y, z))):
        np.testing.assert_allclose(place_mm(warm(part)), expected, atol=1.5)
        np.testing.assert_allclose(extent_mm(warm(part)), 2 * BALL_MM, atol=3)


def test_input_is_brighter_on_the_patients_right_and_grey(picture: np.ndarray):
    for row in range(4):
        profile = panel(picture, row, INPUT)[PANEL // 2 - 4 : PANEL // 2 + 4, 40:-40].mean(axis=(0, 2))
        assert np.corrcoef(profile, -np.arange(profile.size))[0, 1] > 0.99
    grey = panel(picture, CORONAL, HEALTHY)
    assert np.abs(grey - grey.mean(axis=2, keepdims=True)).max() < 12


def test_brain_is_round_and_of_its_size():
    named, affine = volumes(ball_at=np.zeros(3))  # so that the slices go through the middle
    shown = pixels(case_picture(**named, affine=affine))
    for row in (1, CORONAL, SAGITTAL):
        bright = panel(shown, row, HEALTHY).sum(axis=2) > 60
        np.testing.assert_allclose(np.sqrt(bright.sum() / np.pi) / PIXELS_PER_MM, BRAIN_MM, rtol=0.06)


@pytest.mark.parametrize("spacing", [(2, 2, 5), (1.5, 4, 2), (5, 2, 2)])
def test_voxels_that_are_no_cubes_keep_their_shape_in_mm(spacing: tuple[float, float, float]):
    named, affine = volumes(spacing, np.zeros(3))
    shown = pixels(case_picture(**named, affine=affine))
    tolerance = 3 * max(spacing) * PIXELS_PER_MM  # the brain's box is rounded to whole voxels, with a margin
    row_height = (shown.shape[0] - TOP - 24) / 5 - GAP
    assert row_height == pytest.approx(PANEL, abs=tolerance)
    column = shown[:, LEFT + HEALTHY * (PANEL + GAP) :][:, :PANEL].sum(axis=2)[TOP:-24] > 60
    widest = max(np.ptp(np.flatnonzero(line)) + 1 for line in column if line.any())
    top_of_coronal = round(CORONAL * (row_height + GAP))
    coronal = column[top_of_coronal : top_of_coronal + round(row_height)]
    height = np.ptp(np.flatnonzero(coronal.any(axis=1))) + 1
    assert widest == pytest.approx(2 * BRAIN_MM * PIXELS_PER_MM, abs=tolerance)
    assert height == pytest.approx(widest, abs=2 * max(spacing) * PIXELS_PER_MM)


def test_label_is_a_contour_at_its_place():
    named, affine = volumes()
    named["label"] = volumes(ball_at=BALL_AT * (-1, 1, 1))[0]["mask"]  # on the other side: nothing right was found
    coronal = panel(pixels(case_picture(**named, affine=affine)), CORONAL, MASK)
    x, _, z = BALL_AT
    np.testing.assert_allclose(place_mm(cold(coronal)), (x, z), atol=1.5)
    np.testing.assert_allclose(place_mm(warm(coronal)), (-x, z), atol=1.5)
    assert cold(coronal).sum() / PIXELS_PER_MM**2 < 0.6 * np.pi * BALL_MM**2, "a contour, not an area"


@pytest.mark.parametrize("has_label", [False, True], ids=["no label", "empty label"])
def test_empty_mask_draws_nothing_over_the_brain(has_label: bool):
    named, affine = volumes()
    named["mask"] = np.zeros_like(named["mask"])
    shown = pixels(case_picture(**named, affine=affine, label=named["mask"] if has_label else None))
    parts = [panel(shown, row, MASK) for row in range(5)]
    assert not any(warm(part).any() or cold(part).any() for part in parts)
    x, _, z = BALL_AT
    np.testing.assert_allclose(place_mm(warm(panel(shown, CORONAL, MAP))), (-x, z), atol=1.5)  # the map's maximum


def test_single_slice_is_drawn():
    named, affine = volumes()
    middle = named["image"].shape[2] // 2
    flat = {name: volume[:, :, middle : middle + 1] for name, volume in named.items()}
    assert pixels(case_picture(**flat, affine=affine)).shape[1] <= 1100


def test_file_of_a_noisy_brain_of_one_millimetre_is_small():
    random, shape = np.random.default_rng(0), (150, 180, 150)
    x, y, z = (np.linspace(-1.05, 1.05, size) for size in shape)
    brain = x[:, None, None] ** 2 + y[:, None] ** 2 + z**2 < 1
    noise = random.standard_normal(shape, dtype=np.float32)
    anomaly_map = np.where(brain, np.abs(0.4 * noise), 0)
    image = np.where(brain, 100 + 5 * noise, 0)
    png = case_picture(image, image, anomaly_map, anomaly_map > 1, np.eye(4))
    assert len(png) < 400_000 and pixels(png).shape[1] <= 1100
