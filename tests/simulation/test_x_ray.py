"""The physics against closed forms: attenuation, scatter, blur, quantum noise, display."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shared.simulation.x_ray import (
    ATTENUATION,
    Technique,
    add_scatter,
    bin_pixels,
    blur,
    display,
    draw_technique,
    expose,
    quantum_noise,
    shutter,
)

PLAIN = Technique(1e9, 0.2, 0.15, (1.0, 1.0), 0.0, (0.0, 0.0, 0.0), 0.0)


def _log_attenuation(image: np.ndarray, middle: float) -> np.ndarray:
    """Undo the display of `PLAIN`, a logistic curve over a window of 2 about the middle."""
    return middle + 0.5 * np.log(image / (1 - image))


def test_a_slab_attenuates_exponentially_whatever_the_scatter_and_blur() -> None:
    assert ATTENUATION["soft"] == pytest.approx(0.0285, rel=0.01)  # per mm
    assert ATTENUATION["bone"] / ATTENUATION["soft"] == pytest.approx(4.48, rel=0.01)
    assert ATTENUATION["fat"] / ATTENUATION["soft"] == pytest.approx(0.799, rel=0.01)
    paths = {"soft": np.full((24, 24), 30.0), "bone": np.full((24, 24), 5.0), "fat": np.full((24, 24), 8.0)}
    image = expose(paths, PLAIN, {"soft": np.array([40.0])}, 0.3, 2, np.zeros((12, 12)))
    truth = 30 * ATTENUATION["soft"] + 5 * ATTENUATION["bone"] + 8 * ATTENUATION["fat"]
    np.testing.assert_allclose(_log_attenuation(image, 40 * ATTENUATION["soft"]), truth, atol=1e-4)


def test_the_typical_path_is_shown_at_half_and_bone_is_brighter() -> None:
    paths = {"soft": np.full((24, 24), 40.0), "bone": np.where(np.arange(24) < 12, 0.0, 4.0)[:, None] * np.ones(24)}
    image = expose(paths, PLAIN, {"soft": np.array([40.0])}, 0.5, 1, np.zeros((24, 24)))
    assert image[0].mean() > 0.5 > image[0].mean() - 0.1  # scatter lowers the signal of the open side a little
    assert image[-1].mean() > image[0].mean() + 0.1


def test_equalisation_takes_its_share_of_a_uniform_background() -> None:
    half = Technique(1e9, 0.0, 0.15, (1.0, 1.0), 0.5, (0.0, 0.0, 0.0), 0.0)
    image = expose({"soft": np.full((16, 16), 60.0)}, half, {"soft": np.array([40.0])}, 0.5, 1, np.zeros((16, 16)))
    middle = 40 * ATTENUATION["soft"]
    np.testing.assert_allclose(_log_attenuation(image, middle), 50 * ATTENUATION["soft"], atol=1e-4)


def test_scatter_keeps_the_sum_and_takes_its_fraction_from_a_point() -> None:
    point = np.zeros((201, 201))
    point[100, 100] = 1
    scattered = add_scatter(point, 0.3, 0.6)
    assert scattered.sum() == pytest.approx(1, rel=1e-6)
    spread = np.delete(scattered.ravel(), 100 * 201 + 100).sum()
    assert spread == pytest.approx(0.3, abs=0.001)
    offset = (np.arange(201) - 100) * 0.6
    variance = (scattered.sum(1) * offset**2).sum() / 0.3
    assert np.sqrt(variance) == pytest.approx(12.0, rel=0.02)  # mm


def test_blur_has_its_width_in_mm() -> None:
    line = np.zeros((401, 5))
    line[200] = 1
    offset = (np.arange(401) - 200) * 0.02
    profile = blur(line, 0.15, 0.02)[:, 2]
    assert profile.sum() == pytest.approx(1, rel=1e-6)
    assert np.sqrt((profile * offset**2).sum()) == pytest.approx(0.15, rel=0.01)


def test_binning_is_the_mean_of_squares() -> None:
    image = np.arange(24.0).reshape(4, 6)
    np.testing.assert_array_equal(bin_pixels(image, 2), [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])


@pytest.mark.parametrize("expected", [25.0, 400.0, 20000.0])
def test_noise_is_poisson(expected: float) -> None:
    normal = np.random.default_rng(0).standard_normal(200_000)
    counts = quantum_noise(np.full(200_000, expected), normal)
    assert counts.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / 200_000))
    assert counts.var() == pytest.approx(expected, rel=0.02)
    exact = stats.poisson.ppf(stats.norm.cdf(normal[:500]), expected)
    assert np.abs(counts[:500] - exact).max() <= 1
    assert (quantum_noise(np.zeros(9), np.linspace(-4, -0.1, 9)) >= 0).all()


def test_noise_of_the_image_falls_with_exposure_and_pixel_area() -> None:
    def spread(quanta: float, fine_mm: float) -> float:
        technique = Technique(quanta, 0.0, 0.0, (1.0, 1.0), 0.0, (0.0, 0.0, 0.0), 0.0)
        normal = np.random.default_rng(1).standard_normal((96, 96))
        image = expose({"soft": np.full((96, 96), 40.0)}, technique, {"soft": np.array([40.0])}, fine_mm, 1, normal)
        return float(_log_attenuation(image, 40 * ATTENUATION["soft"]).std())

    quanta = 1e5 * 0.5**2 * np.exp(-40 * ATTENUATION["soft"])
    assert spread(1e5, 0.5) == pytest.approx(quanta**-0.5, rel=0.03)
    assert spread(4e5, 0.25) == pytest.approx(quanta**-0.5, rel=0.03)


def test_display_is_monotone_in_its_range_and_half_in_the_middle() -> None:
    shown = display(np.linspace(-3, 5, 81), (0.5, 1.5))
    assert (np.diff(shown) > 0).all() and shown.min() >= 0 and shown.max() <= 1
    assert shown[40] == pytest.approx(0.5) and np.diff(shown).max() / 0.1 == pytest.approx(1.0, rel=0.02)


def test_the_shutter_covers_its_margins() -> None:
    position = (np.arange(200) - 99.5) * 0.25  # a field of 50 mm
    assert (shutter(PLAIN, 50.0, position, position[::-1]) == 1).all()
    cut = Technique(1e5, 0.2, 0.15, (1.0, 1.0), 0.0, (2.0, 0.0, 5.0), 0.0)
    opening = shutter(cut, 50.0, position, position[::-1])
    open_share = (50 - 2) * (50 - 5) / 50**2
    assert opening.mean() == pytest.approx(open_share, abs=1e-3)
    assert opening[0].max() == 0 and opening[:, 0].max() == 0  # left and top
    assert opening[-1, -1] == 1
    margins = np.array([draw_technique(np.random.default_rng(seed)).margins for seed in range(200)])
    assert 0.08 < (margins > 0).mean() < 0.22 and margins.max() <= 8
