"""Nearest training images and the signs of memorising, against brute force and known laws."""

from __future__ import annotations

import numpy as np
import pytest

from shared.evaluation import nearest_neighbours as module
from shared.evaluation.nearest_neighbours import blurred_pixels, memorisation, nearest_neighbours


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_equals_brute_force_whatever_the_block(block: int):
    queries, training = normal(0, 7, 5), normal(1, 11, 5)
    all_distances = np.linalg.norm(queries[:, None] - training, axis=2)
    distances, indices = nearest_neighbours(queries, training, block)
    np.testing.assert_allclose(distances, all_distances.min(axis=1), rtol=1e-12)
    assert indices.tolist() == all_distances.argmin(axis=1).tolist()


@pytest.mark.parametrize("block", [1, 2, 10])
def test_copies_are_found_exactly_and_the_first_of_equals_is_given(block: int):
    training = (1000 + normal(0, 6, 4)).astype(np.float32)
    training[4] = training[1]
    distances, indices = nearest_neighbours(training, training, block)
    assert not distances.any() and indices.tolist() == [0, 1, 2, 3, 1, 5]


def test_memory_is_bounded_by_the_block(monkeypatch: pytest.MonkeyPatch):
    sizes = []
    direct = module.cdist
    monkeypatch.setattr(module, "cdist", lambda a, b: sizes.append((len(a), len(b))) or direct(a, b))
    nearest_neighbours(normal(0, 5, 2), normal(1, 7, 2), block=3)
    assert sorted(sizes) == sorted((rows, columns) for rows in (3, 2) for columns in (3, 3, 1))


def test_blur_leaves_images_and_channels_apart_and_forgives_noise_and_small_shifts():
    images = np.zeros((2, 2, 15, 15), np.float32)
    images[1, 0, 7, 7] = 1
    vectors = blurred_pixels(images, sigma=1.0)
    assert vectors.shape == (2, 450) and vectors.dtype == np.float32
    blurred = vectors.reshape(images.shape)
    assert not blurred[0].any() and not blurred[1, 1].any()
    assert blurred[1].sum() == pytest.approx(1, abs=1e-5)
    assert blurred[1, 0, 7, 7] == pytest.approx(1 / (2 * np.pi), rel=0.02)  # the peak of a Gaussian of 1 pixel
    assert blurred[1, 0, 7, 8] / blurred[1, 0, 7, 7] == pytest.approx(np.exp(-1 / 2), rel=1e-4)

    def change(images: np.ndarray, sigma: float) -> float:
        a, b = blurred_pixels(np.stack([images, np.roll(images, 1, axis=2)]), sigma)
        return float(np.linalg.norm(a - b) / np.linalg.norm(a))

    assert change(images[1], 2.0) < 0.6 * change(images[1], 0.5)


def test_summary_by_hand():
    # Held out: median 3, 5th percentile 1 + 0.2 (linear between the first two of five).
    result = memorisation(np.array([1.1, 1.3, 2.4, 1.0]), np.array([3.0, 1.0, 5.0, 2.0, 4.0]), resamples=2)
    assert result["median_ratio"].estimate == pytest.approx(1.2 / 3)
    assert result["near_share"].estimate == pytest.approx(2 / 4)


def test_a_generator_of_the_law_is_told_from_one_that_repeats():
    training, held_out, generated = normal(0, 200, 6), normal(1, 100, 6), normal(2, 150, 6)
    copies = training[:150] + 0.1 * normal(3, 150, 6)
    among_held_out, _ = nearest_neighbours(held_out, training)
    honest = memorisation(nearest_neighbours(generated, training)[0], among_held_out)
    assert honest["median_ratio"].low < 1 < honest["median_ratio"].high
    assert honest["near_share"].low <= 0.05 <= honest["near_share"].high < 0.2

    repeating = memorisation(nearest_neighbours(copies, training)[0], among_held_out)
    assert repeating["median_ratio"].high < 0.3 and repeating["near_share"].low > 0.9
    # A tenth of copies among honest images hardly moves the median, and shows in the share.
    some = np.concatenate([copies[:50], generated])
    partly = memorisation(nearest_neighbours(some, training)[0], among_held_out)
    assert partly["median_ratio"].estimate > 0.8 and partly["near_share"].low > 0.15


def test_intervals_have_the_spread_of_fresh_draws_of_both_sets():
    generator = np.random.default_rng(0)
    drawn = [
        memorisation(generator.normal(5, 1, 60), generator.normal(6, 1, 40), 0.6827, resamples=300, seed=n)
        for n in range(150)
    ]
    for key in ("median_ratio", "near_share"):
        spread = np.std([result[key].estimate for result in drawn])
        half_widths = [(result[key].high - result[key].low) / 2 for result in drawn]
        assert np.mean(half_widths) == pytest.approx(spread, rel=0.25), key
    generated, held_out = generator.normal(5, 1, 60), generator.normal(6, 1, 40)
    first, again, other = (memorisation(generated, held_out, resamples=50, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_vectors_that_are_none_are_refused():
    good = normal(0, 4, 3)
    for bad in (good[:0], good[:, :2], good[0]):
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(ValueError, match="matrices of one width"):
                nearest_neighbours(*pair)
    for value in (np.nan, np.inf):
        for pair in ((good, good * value), (good * value, good)):
            with pytest.raises(ValueError, match="must be finite; leave out images"):
                nearest_neighbours(*pair)


def test_distances_that_are_none_are_refused():
    good = np.ones(4)
    for bad, message in (
        (good[:0], "one-dimensional and not empty"),
        (good[None], "one-dimensional and not empty"),
        (-good, "finite and at least 0"),
        (good * np.nan, "finite and at least 0"),
    ):
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(ValueError, match=message):
                memorisation(*pair)
    with pytest.raises(ValueError, match="copies of training images; hold out"):
        memorisation(good, np.array([0.0, 0.0, 0.0, 1.0]))
    assert memorisation(0 * good, good)["median_ratio"].estimate == 0
