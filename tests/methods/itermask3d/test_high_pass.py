"""The high-pass against a plain numpy transform, single waves and the physics of grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.methods.itermask3d.high_pass import HighPassd, high_pass


def radius(shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """Spatial frequency in cycles per mm at each place of ``fftn``."""
    axes = [np.fft.fftfreq(size, d=step) for size, step in zip(shape, spacing, strict=True)]
    return np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij")))


def brain_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random tissue in an ellipsoid on a background of -3."""
    grids = np.meshgrid(*[np.linspace(-1.1, 1.1, size) for size in shape], indexing="ij")
    inside = sum(g**2 for g in grids) < 1
    return np.where(inside, np.random.default_rng(seed).uniform(-1, 3, shape), -3.0)


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image[None, None].astype(np.float32))


def test_equals_numpy_on_an_uneven_grid():
    image, spacing, cutoff = brain_like((25, 20, 17)), (2.0, 3.0, 1.5), 0.0801
    spectrum = np.where(radius(image.shape, spacing) >= cutoff, np.fft.fftn(image), 0)
    ours = high_pass(as_batch(image), spacing, cutoff, field_of_view=(1, 1, 1))[0, 0].numpy()
    np.testing.assert_allclose(ours, np.fft.ifftn(spectrum).real, atol=1e-5)


def test_equals_the_released_recipe_in_indices():
    # Released code: on 192^3 voxels of 1 mm, magnitude 1 and the phase kept below index 15. The same field at 2 mm is
    # 96^3. Magnitude 1 in place of 0 adds at most (number of such indices) / (number of voxels): 0.016, there 0.002.
    image = brain_like((96, 96, 96))
    spectrum = np.fft.fftn(image)
    index = np.fft.fftfreq(96, d=1 / 96)
    squared_index = index[:, None, None] ** 2 + index[:, None] ** 2 + index**2
    low = squared_index < 15**2
    ours = high_pass(as_batch(image), (2.0, 2.0, 2.0), field_of_view=(192, 192, 192))[0, 0].numpy()
    zeroed = np.fft.ifftn(np.where(low, 0, spectrum)).real
    np.testing.assert_allclose(ours, zeroed, atol=2e-5)
    released = np.fft.ifftn(np.where(low, np.exp(1j * np.angle(spectrum)), spectrum)).real
    assert low.sum() / 192**3 < 0.002
    assert np.abs(ours - released).max() < low.sum() / 96**3


def test_constant_image_vanishes():
    assert high_pass(torch.full((1, 1, 20, 24, 18), 5.0), (2.0, 2.0, 2.0)).abs().max() == 0


@pytest.mark.parametrize(("cycles", "passes"), [(10, False), (14, False), (16, True), (30, True)])
def test_waves_below_the_cutoff_vanish_and_above_it_pass(cycles: int, passes: bool):
    # 15 cycles in 192 mm is the cutoff; the grid is the field itself, so that the wave is periodic on it.
    x = torch.arange(64) * 3.0
    wave = torch.cos(2 * torch.pi * cycles * x / 192)[:, None, None].expand(64, 8, 8)[None, None]
    filtered = high_pass(wave, (3.0, 3.0, 3.0), field_of_view=(192, 24, 24))
    torch.testing.assert_close(filtered, wave if passes else torch.zeros_like(wave), atol=1e-5, rtol=0)


def test_tightness_of_the_crop_does_not_matter():
    image = as_batch(brain_like((40, 48, 36)))
    looser = torch.nn.functional.pad(image, (5, 3, 0, 7, 11, 2), value=-3.0)
    spacing = (2.0, 2.0, 2.0)
    inside = high_pass(looser, spacing)[..., 11:51, 0:48, 5:41]
    torch.testing.assert_close(inside, high_pass(image, spacing), atol=1e-5, rtol=0)


def test_cutoff_is_physical():
    # Smooth enough for both grids, so that the values at shared places are equal up to rounding.
    def blob(step: float) -> torch.Tensor:
        x = torch.arange(0, 96, step, dtype=torch.float64)
        line = [torch.exp(-((x - centre) ** 2) / (2 * 4.5**2)) for centre in (48, 44, 50)]
        return (line[0][:, None, None] * line[1][:, None] * line[2])[None, None].float()

    field = (96, 96, 96)
    fine = high_pass(blob(1.5), (1.5, 1.5, 1.5), 0.06, field)[..., ::2, ::2, ::2]
    coarse = high_pass(blob(3.0), (3.0, 3.0, 3.0), 0.06, field)
    assert coarse.abs().max() > 0.02
    torch.testing.assert_close(fine, coarse, atol=2e-5, rtol=0)


def test_mean_is_zero_over_the_field_and_background_level_does_not_matter():
    image = as_batch(brain_like((32, 32, 32)))
    filtered = high_pass(image, (2.0, 2.0, 2.0), field_of_view=(64, 64, 64))
    assert filtered.dtype == torch.float32
    assert abs(float(filtered.mean())) < 1e-6
    shifted = high_pass(image + 100, (2.0, 2.0, 2.0), field_of_view=(64, 64, 64))
    torch.testing.assert_close(shifted, filtered, atol=1e-4, rtol=0)


def test_batch_and_channels_are_independent():
    images = torch.cat([as_batch(brain_like((20, 24, 22), seed)) + seed for seed in range(4)]).reshape(2, 2, 20, 24, 22)
    together = high_pass(images, (2.0, 2.0, 2.0))
    alone = high_pass(images[1:, 1:], (2.0, 2.0, 2.0))
    torch.testing.assert_close(together[1:, 1:], alone, atol=1e-6, rtol=0)


def test_transform_takes_the_grid_not_the_affine_that_random_zooms_leave():
    image = torch.from_numpy(brain_like((20, 24, 22))[None].astype(np.float32))
    zoomed = torch.diag(torch.tensor([2.3, 2.9, 1.6, 1.0]))
    data = HighPassd("image", (2.0, 3.0, 1.5))({"image": MetaTensor(image, affine=zoomed)})
    assert torch.equal(data["high_pass"], high_pass(image[None], (2.0, 3.0, 1.5))[0])
    assert torch.equal(data["image"].as_tensor(), image)
