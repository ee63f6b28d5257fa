"""Rigid registration of T1 to FLAIR: phantoms that were moved by a known amount, and heads of a scanner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

from shared.brains.registration import RegisterRigidd, register_rigid, size_of
from shared.brains.volume import Grid
from shared.simulation.phantom_brain import make_phantom
from tests.helpers.real_data import DATA, needs_data


def moved(image: MetaTensor, mm: tuple[float, ...], degrees: tuple[float, ...]) -> tuple[MetaTensor, np.ndarray]:
    """The image after turns around the three axes through the middle of its grid and a shift, and that move."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        (first, second), step = [n for n in range(3) if n != axis], np.eye(3)
        step[[first, second], [first, second]] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    centre = (image.affine.numpy() @ [*(np.array(image.shape[1:]) - 1) / 2, 1])[:3]
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = turn, centre - turn @ centre + mm
    other = image.clone()
    other.affine = torch.from_numpy(move) @ image.affine
    return other, move


def distances(one: np.ndarray, other: np.ndarray, image: MetaTensor) -> np.ndarray:
    """How far, in mm, two moves take the corners of a box of 120 x 150 x 110 mm around the middle apart."""
    middle = (image.affine.numpy() @ [*(np.array(image.shape[1:]) - 1) / 2, 1])[:3]
    corners = np.array([[x, y, z] for x in (-60, 60) for y in (-75, 75) for z in (-55, 55)]) + middle
    return np.linalg.norm(np.c_[corners, np.ones(8)] @ (one - other).T, axis=1)


@pytest.fixture(scope="module")
def pair() -> dict[str, MetaTensor]:
    """FLAIR and T1 of one simulated brain with a tumour, which lie on each other."""
    phantom = make_phantom(9001, "tumour", ("t1", "flair"), spacing=3.0)
    affine = torch.from_numpy(phantom.affine)
    return {name: MetaTensor(torch.from_numpy(image[None]), affine=affine) for name, image in phantom.images.items()}


@pytest.mark.parametrize(
    ("mm", "degrees"), [((0, 0, 0), (0, 0, 0)), ((6, -5, 4), (4, -3, 6)), ((-9, 12, 8), (-8, 6, 9))]
)
def test_a_known_move_is_taken_back(pair, mm, degrees):
    t1, move = moved(pair["t1"], mm, degrees)
    found, better = register_rigid(pair["flair"], t1)
    assert better or not any(mm)
    assert distances(found, np.linalg.inv(move), t1).max() < 1
    assert size_of(found @ move, Grid.of(t1))[1] < 1


def test_only_the_affine_changes_and_the_note_says_how_far(pair):
    t1, move = moved(pair["t1"], (6, -5, 4), (0, 0, 5))
    case = {"image": pair["flair"], "t1": t1, "notes": ["thick slices"]}
    found = RegisterRigidd(["t1", "t1ce"])(case)
    assert torch.equal(found["t1"].as_tensor(), t1.as_tensor()) and found["image"] is pair["flair"]
    np.testing.assert_allclose(found["t1"].affine, pair["t1"].affine, atol=1)
    earlier, note = found["notes"]
    assert earlier == "thick slices" and note.startswith("t1: registered: moved by 8.")
    assert "turned by 5.0 degrees" in note or "turned by 4.9" in note or "turned by 5.1" in note
    np.testing.assert_array_equal(t1.affine, torch.from_numpy(move) @ pair["t1"].affine, "the input is left alone")


def test_two_runs_are_equal_bit_for_bit(pair):
    t1, _ = moved(pair["t1"], (6, -5, 4), (4, -3, 6))
    np.testing.assert_array_equal(*(register_rigid(pair["flair"], t1)[0] for _ in range(2)))


def test_what_is_not_likely_is_said_and_not_done(pair):
    t1, _ = moved(pair["t1"], (0, 0, 0), (0, 0, 25))
    found = RegisterRigidd("t1")({"image": pair["flair"], "t1": t1})
    assert found["t1"] is t1
    assert found["notes"][0].startswith("t1: not registered: it would have been moved by")
    there = RegisterRigidd("t1")({"image": pair["flair"], "t1": pair["t1"]})
    assert there["t1"] is pair["t1"] and "stays where it is" in there["notes"][0]
    few = {name: image[..., 20:30] for name, image in pair.items()}
    assert "few slices" in RegisterRigidd("t1")({"image": few["flair"], "t1": few["t1"]})["notes"][0]


@pytest.mark.real_data
@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("study", ["patient01_study1", "patient01_study2", "patient04_study1"])
def test_heads_of_a_session_lie_on_each_other_as_the_data_set_says(study):
    """Its transforms scale too, by up to .5 %: a third of a millimetre at the skull."""
    folder = DATA / "ms_heads" / study
    load = LoadImage(image_only=True, ensure_channel_first=True)
    flair, t1 = load(folder / "flair.nii.gz"), load(folder / "t1.nii.gz")
    there, move = moved(t1, (5, -4, 6), (3, -4, 5))
    found, better = register_rigid(flair, there)
    assert better and distances(found @ move, known(folder / "t1_to_flair.txt"), t1).mean() < 1


def known(file: Path) -> np.ndarray:
    """The move, ``4 4`` in mm (RAS+), that an ITK transform file of FLAIR to T1 takes back."""
    lines = (line.partition(": ")[::2] for line in file.read_text(encoding="utf-8").splitlines())
    values = {name: np.array(text.split(), float) for name, text in lines if "Parameters" in name}
    matrix, centre = values["Parameters"][:9].reshape(3, 3), values["FixedParameters"]
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = matrix, values["Parameters"][9:] + centre - matrix @ centre
    to_lps = np.diag([-1, -1, 1, 1])
    return np.linalg.inv(to_lps @ transform @ to_lps)
