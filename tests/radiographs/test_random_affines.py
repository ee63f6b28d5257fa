"""Random affine maps of a batch: each image by its own, with the geometry of MONAI's Affine."""

from __future__ import annotations

import math

import pytest
import torch
from monai.transforms import Affine

from shared.radiographs.random_affines import RandomAffines

STILL = {"flip": 0.0, "moved": 1.0, "rotation": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0}


def blob(x: float, y: float, size: int = 64) -> torch.Tensor:
    """A Gaussian of 3 pixels at column x and row y, ``1 1 S S``."""
    at = torch.arange(size, dtype=torch.float32)
    return torch.exp(-((at[None] - x) ** 2 + (at[:, None] - y) ** 2) / 18)[None, None]


def centre(image: torch.Tensor) -> tuple[float, float]:
    """Column and row of the centre of mass."""
    at, mass = torch.arange(image.shape[-1], dtype=torch.float32), image.sum()
    return float((image.sum(-2) * at).sum() / mass), float((image.sum(-1) * at).sum() / mass)


def test_nothing_moves_where_all_limits_are_zero_or_nothing_is_chosen():
    images = torch.rand(8, 3, 16, 16)
    torch.testing.assert_close(RandomAffines(**STILL)(images), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(RandomAffines(flip=0.0, moved=0.0)(images), images, atol=1e-5, rtol=0)


def test_a_flip_is_along_the_last_axis_alone():
    images = torch.rand(8, 3, 16, 16)
    torch.testing.assert_close(RandomAffines(**{**STILL, "flip": 1.0})(images), images.flip(-1), atol=1e-5, rtol=0)
    once = RandomAffines(**{**STILL, "flip": 0.5})
    mirrored = sum(bool((once(images[:1]) - images[:1]).abs().max() > 1e-3) for _ in range(200))
    assert abs(mirrored - 100) < 5 * math.sqrt(50)


def test_a_rotation_is_that_of_monai():
    torch.manual_seed(0)
    image, affines = blob(44, 28), RandomAffines(**{**STILL, "rotation": 0.5})
    sin = float(affines.draw(1)[0, 1, 0])
    torch.manual_seed(0)
    found = affines(image)[0]
    wanted = Affine(rotate_params=-math.asin(sin), padding_mode="reflection", image_only=True)(image[0])
    assert abs(sin) > 0.05
    torch.testing.assert_close(found, wanted.as_tensor(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["rotation", "shear", "scale", "shift"])
def test_amounts_reach_their_limits_on_both_sides_and_stay_within(name: str):
    torch.manual_seed(0)
    matrices = RandomAffines(**{**STILL, name: 0.1}).draw(4000) - torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    places = {"rotation": (1, 0), "shear": (0, 1), "scale": (0, 0), "shift": (0, 2)}
    amounts = matrices[:, places[name][0], places[name][1]] / (2 if name == "shift" else 1)
    assert 0.099 < amounts.max() <= 0.1001 and -0.1001 <= amounts.min() < -0.099
    assert abs(float(amounts.mean())) < 5 * 0.1 / math.sqrt(3 * 4000)


def test_a_shift_is_a_share_of_the_side_and_the_same_for_all_channels():
    torch.manual_seed(1)
    affines = RandomAffines(**{**STILL, "shift": 0.1})
    right, down = (32 * affines.draw(1)[0, :, 2]).tolist()  # half the side of pixels for one unit
    torch.manual_seed(1)
    moved = affines(blob(32, 32).expand(1, 3, 64, 64))
    for channel in moved[0]:
        assert centre(channel) == pytest.approx((32 - right, 32 - down), abs=0.05)


def test_each_image_has_amounts_of_its_own_that_follow_the_seed():
    images = torch.rand(1, 1, 16, 16).expand(6, 1, 16, 16)
    torch.manual_seed(3)
    first = RandomAffines()(images)
    torch.manual_seed(3)
    assert torch.equal(RandomAffines()(images), first)
    assert len({tuple(image.flatten().tolist()) for image in first}) == 6


def test_beyond_the_edges_images_are_mirrored():
    torch.manual_seed(0)
    flat = torch.full((16, 1, 16, 16), 0.7)
    torch.testing.assert_close(RandomAffines(moved=1.0)(flat), flat)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 16, 20\); give B C S S"):
        RandomAffines()(torch.rand(2, 3, 16, 20))
