"""Random changes of a healthy brain against what they must do to shapes whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from shared.brains.augmentation import (
    RandErodeBraind,
    RandLeftoverRimd,
    RandSwellVentriclesd,
    RandWideFluidd,
    smooth_field,
)
from tests.helpers.known_volumes import cube, volume


def distance(size: int) -> np.ndarray:
    """Of each voxel of a cube from its middle, in voxels."""
    axes = np.indices((size,) * 3) - (size - 1) / 2
    return np.sqrt((axes**2).sum(axis=0))


def constant_field(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    def field(random: Any, shape: Any, points: int = 5) -> torch.Tensor:
        return torch.full(tuple(shape), value)

    monkeypatch.setattr("shared.brains.augmentation.smooth_field", field)


def test_a_smooth_field_is_uniform_at_its_points_and_linear_between_them():
    field = smooth_field(np.random.RandomState(0), (9, 17, 5), points=3)
    assert field.shape == (9, 17, 5) and 0 <= field.min() and field.max() <= 1
    torch.testing.assert_close(field[2], (field[0] + field[4]) / 2)
    torch.testing.assert_close(field[:, 4], (field[:, 0] + field[:, 8]) / 2)
    assert torch.equal(field, smooth_field(np.random.RandomState(0), (9, 17, 5), points=3))


class TestRandErodeBraind:
    def layers(self, seed: int, **options: float) -> int:
        transform = RandErodeBraind(**options).set_random_state(seed=seed)
        mask = np.asarray(transform({"brain_mask": volume(cube(16, 3, 13))})["brain_mask"][0])
        for peeled in range(5):
            if np.array_equal(mask, cube(16, 3 + peeled, 13 - peeled)):
                return peeled
        raise AssertionError("not a cube with whole layers peeled off")

    def test_peels_whole_layers(self):
        peeled = [self.layers(seed, prob=1.0, max_layers=2) for seed in range(60)]
        assert set(peeled) == {1, 2}
        assert 15 < peeled.count(1) < 45
        assert {self.layers(seed, prob=1.0, max_layers=1) for seed in range(10)} == {1}

    def test_probability(self):
        peeled = [self.layers(seed, prob=0.5) for seed in range(200)]
        assert 70 < peeled.count(0) < 130
        assert {self.layers(seed, prob=0.0) for seed in range(10)} == {0}

    def test_seeded(self):
        assert [self.layers(s, prob=0.5) for s in range(20)] == [self.layers(s, prob=0.5) for s in range(20)]

    def test_input_is_left_alone_and_header_kept(self):
        mask = volume(cube(16, 3, 13), (2, 2, 2))
        peeled = RandErodeBraind(prob=1.0)({"brain_mask": mask})["brain_mask"]
        assert mask.sum() == 1000
        assert torch.equal(peeled.affine, mask.affine)


class TestRandLeftoverRimd:
    def rim(self, seed: int, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        brain = cube(24, 6, 18)
        data = {"image": volume(100 * brain), "brain_mask": volume(brain), "lesion_free": volume(brain)}
        transform = RandLeftoverRimd("image", ["brain_mask", "lesion_free"], **options).set_random_state(seed=seed)
        done = transform(data)
        assert torch.equal(data["image"], volume(100 * brain)) and torch.equal(data["brain_mask"], volume(brain))
        assert torch.equal(done["brain_mask"], done["lesion_free"])
        mask = np.asarray(done["brain_mask"][0])
        return np.asarray(done["image"][0]), mask, (mask > 0) & (brain == 0)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_strip_of_one_brightness_joins_image_and_masks(self, seed):
        image, mask, strip = self.rim(seed, prob=1.0, max_layers=2, brightness=(0.5, 0.5))
        np.testing.assert_array_equal(image[cube(24, 6, 18) > 0], 100)
        assert 0.25 < strip.sum() / (cube(24, 4, 20).sum() - cube(24, 6, 18).sum()) or strip.any()
        assert image[strip].mean() == pytest.approx(50, abs=1) and image[strip].std() == pytest.approx(5, abs=1)
        assert not image[mask == 0].any() and not strip[cube(24, 4, 20) == 0].any()

    def test_about_half_of_the_surface_has_it(self):
        whole = cube(24, 5, 19).sum() - cube(24, 6, 18).sum()
        shares = [self.rim(seed, prob=1.0, max_layers=1)[2].sum() / whole for seed in range(20)]
        assert np.mean(shares) == pytest.approx(0.5, abs=0.05)

    def test_probability_0_changes_nothing(self):
        image, _, strip = self.rim(0, prob=0.0)
        assert not strip.any() and np.array_equal(image, 100 * cube(24, 6, 18))


class TestRandWideFluidd:
    def widened(self, image: np.ndarray, brain: np.ndarray, **options: Any) -> np.ndarray:
        transform = RandWideFluidd("image", **options).set_random_state(seed=0)
        return np.asarray(transform({"image": volume(image), "brain_mask": volume(brain)})["image"][0])

    def test_a_fissure_of_one_voxel_becomes_three_wide_and_tissue_stays(self, monkeypatch):
        constant_field(monkeypatch, 1.0)
        brain = cube(16, 2, 14)
        image = 100 * brain
        image[8] *= 0.2
        image[4, 4, 4] = 80  # darker than its neighbours, and no fluid
        expected = image.copy()
        expected[7:10] = 20 * brain[7:10]
        np.testing.assert_array_equal(self.widened(image, brain, prob=1.0), expected)

    def test_half_way_where_the_field_says_half(self, monkeypatch):
        constant_field(monkeypatch, 0.5)
        brain = cube(16, 2, 14)
        image = 100 * brain
        image[8] *= 0.2
        wide = self.widened(image, brain, prob=1.0)
        np.testing.assert_allclose(wide[[7, 9]], 60 * brain[[7, 9]])
        np.testing.assert_allclose(wide[8], 20 * brain[8])

    def test_what_is_outside_the_brain_is_no_fluid_and_probability_0_changes_nothing(self, monkeypatch):
        constant_field(monkeypatch, 1.0)
        image = 100 * cube(16, 2, 14)
        np.testing.assert_array_equal(self.widened(image, cube(16, 2, 14), prob=1.0), image)
        image[8] *= 0.2
        np.testing.assert_array_equal(self.widened(image, cube(16, 2, 14), prob=0.0), image)


class LargestChange(np.random.RandomState):
    """The upper end of every range, and no jitter."""

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return np.zeros(size) if size else high


class TestRandSwellVentriclesd:
    def swollen(self, radius: float, random: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        distances = distance(48)
        brain = (distances < 22).astype(np.float32)
        data = {"image": volume(100 * brain - 80 * (distances < radius)), "brain_mask": volume(brain)}
        transform = RandSwellVentriclesd(["image", "brain_mask"], (2, 2, 2), ["bilinear", "nearest"], **options)
        done = transform.set_random_state(state=random)(data)
        return np.asarray(done["image"][0]), np.asarray(done["brain_mask"][0])

    def test_a_sphere_grows_as_the_formula_says_and_the_brain_keeps_its_border(self):
        image, brain = self.swollen(4.0, LargestChange(0), prob=1.0, strength=0.5, radius_mm=(12, 12))
        r = np.arange(0, 22, 0.001)
        radius = r[np.argmax(r * (1 - 0.5 * np.exp(-((2 * r) ** 2) / (2 * 12**2))) >= 4)]  # takes what was at 4 voxels
        assert radius > 5.4
        assert np.cbrt((image[brain > 0] < 60).sum() * 3 / 4 / np.pi) == pytest.approx(radius, rel=0.03)
        np.testing.assert_array_equal(brain, distance(48) < 22)

    def test_strength_0_and_probability_0_change_nothing(self):
        before = 100 * (distance(48) < 22) - 80.0 * (distance(48) < 6)
        for options in ({"prob": 1.0, "strength": 0.0}, {"prob": 0.0}):
            np.testing.assert_allclose(self.swollen(6, np.random.RandomState(0), **options)[0], before, atol=2e-2)

    def test_seeded(self):
        results = [self.swollen(6, np.random.RandomState(seed), prob=1.0)[0] for seed in (1, 1, 2)]
        assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])
