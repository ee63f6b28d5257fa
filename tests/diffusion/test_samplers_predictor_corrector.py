"""Langevin steps and predictor-corrector sampling against closed forms of Gaussian data."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from shared.diffusion.noise_levels import geometric_sigmas
from shared.diffusion.samplers import langevin_step, sample_dpmpp_2m, sample_predictor_corrector

MEAN, STD = 0.3, 0.5
SIGMA_MIN, SIGMA_MAX = 0.01, 348  # of TSGM


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The denoiser of N(MEAN, STD^2)."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def seeded(shape: tuple[int, ...], seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return lambda draw: torch.randn(shape, generator=generator, dtype=torch.float64)


def noise_orthogonal_to(centred: torch.Tensor, draw: int) -> torch.Tensor:
    """Noise of unit second moment in each case, without correlation to the state: no chance is left in variances."""
    noise = seeded(tuple(centred.shape), draw)(0).flatten(1)
    flat = centred.flatten(1)
    noise = noise - (noise * flat).sum(1, keepdim=True) / flat.square().sum(1, keepdim=True) * flat
    return (noise / noise.square().mean(1, keepdim=True).sqrt()).reshape(centred.shape)


def variance(x: torch.Tensor) -> list[float]:
    return (x - MEAN).flatten(1).square().mean(1).tolist()


@pytest.mark.parametrize("snr", [0.075, 0.3])
@pytest.mark.parametrize("sigma", [0.01, 1.0, 80.0])
def test_a_langevin_step_keeps_the_noisy_distribution_to_the_fourth_order_of_snr(sigma: float, snr: float):
    # Of the noisy variance w and the length 2 snr^2 w the variance after it is w (1 - 2 snr^2)^2 + 4 snr^2 w.
    w = STD**2 + sigma**2
    centred = math.sqrt(w) * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(1, 1, 50)
    x = langevin_step(gaussian, MEAN + centred, sigma, noise_orthogonal_to(centred, 1), snr)
    assert variance(x) == pytest.approx([w * (1 + 4 * snr**4)], rel=1e-10)


@pytest.mark.parametrize("start", [0.3, 3.0])
def test_repeated_langevin_steps_come_to_their_stationary_variance(start: float):
    sigma, snr = 1.0, 0.3
    w = STD**2 + sigma**2
    x = MEAN + start * math.sqrt(w) * seeded((2, 1, 500))(0)
    for draw in range(200):
        x = langevin_step(gaussian, x, sigma, noise_orthogonal_to(x - MEAN, draw), snr)
    assert variance(x) == pytest.approx([w * (1 + snr**2)] * 2, rel=1e-9)


def test_the_length_of_a_langevin_step_is_that_of_each_case_alone():
    x = torch.cat([seeded((1, 1, 4, 5))(0), 1000 * seeded((1, 1, 4, 5), 1)(0)])
    noise = seeded((2, 1, 4, 5), 2)(0)
    together = langevin_step(gaussian, x, 1.0, noise, 0.1)
    for case in (0, 1):
        one = slice(case, case + 1)
        assert torch.equal(langevin_step(gaussian, x[one], 1.0, noise[one], 0.1), together[one])
        score = gaussian(x[one], 1.0) - x[one]  # at sigma 1
        # The definition of snr: the norm of the term of the score over that of the noise.
        drift = 2 * 0.1**2 * (noise[one].norm() / score.norm()) ** 2 * score
        assert float(drift.norm() / (together[one] - x[one] - drift).norm()) == pytest.approx(0.1, rel=1e-9)


def expected_variances(of_data: list[float], sigmas: torch.Tensor, snr: float) -> torch.Tensor:
    """Variances of the samples of pixels of several variances, equally many of each and very many.

    Every step is affine with independent noise; of many pixels the length of the Langevin step is no longer random.
    """
    data = torch.tensor(of_data, dtype=torch.float64)
    state = torch.full_like(data, float(sigmas[0]) ** 2) + data
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        noisy = data + sigma**2
        length = 2 * snr**2 / (state / noisy**2).mean()
        state = state * (1 - length / noisy) ** 2 + 2 * length
        gap = sigma**2 - sigma_next**2
        state = state * (1 - gap / noisy) ** 2 + (gap if sigma_next > 0 else 0)
    return state


VARIANCES = [1e-6, 1e-4, 0.01, 0.04]


@pytest.mark.parametrize(("sigma_max", "snr"), [(SIGMA_MAX, 0.075), (80, 0.16)])
def test_the_spread_of_samples_follows_the_recursion_of_variances(sigma_max: float, snr: float):
    pixels = 20_000
    data = torch.tensor(VARIANCES, dtype=torch.float64).reshape(1, 4, 1)
    sigmas, noise = geometric_sigmas(100, SIGMA_MIN, sigma_max), seeded((1, 4, pixels))
    start = MEAN + (sigma_max**2 + data).sqrt() * noise(-1)

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return (data * x + sigma**2 * MEAN) / (data + sigma**2)

    sampled = (sample_predictor_corrector(denoise, start, sigmas, noise=noise, snr=snr) - MEAN)[0]
    expected = expected_variances(VARIANCES, sigmas, snr)
    assert (sampled.mean(1) / (expected / pixels).sqrt()).abs().max() < 4
    assert (sampled.square().mean(1) / expected - 1).abs().max() < 4 * math.sqrt(2 / pixels)


def test_a_thousand_levels_give_the_data_but_for_what_the_last_denoising_takes():
    # Denoised at the lowest level, a variance v comes out as v^2 / (v + sigma_min^2).
    data = torch.tensor(VARIANCES, dtype=torch.float64)
    expected = data**2 / (data + SIGMA_MIN**2)
    of_1000, of_100 = (
        expected_variances(VARIANCES, geometric_sigmas(n, SIGMA_MIN, SIGMA_MAX), 0.075) / expected for n in (1000, 100)
    )
    assert (of_1000 - 1).abs().max() < 0.02
    assert float((of_100[2:] - 1).max()) == pytest.approx(0.1, abs=0.02)  # as the sampler says of itself


def test_the_posterior_of_a_gaussian_pair_is_sampled_for_each_condition():
    # Three channels with a full covariance, their noisy measurement as condition; the pixels are independent draws.
    pixels = 5000
    prior = torch.tensor([[1.0, 0.6, 0.2], [0.6, 0.8, -0.1], [0.2, -0.1, 0.5]], dtype=torch.float64)
    measured = torch.diag(torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64))
    gain = prior @ torch.linalg.inv(prior + measured)
    covariance = prior - gain @ prior
    conditions = torch.tensor([[1.0, 0.5, -0.5], [-3.0, 2.0, 1.0]], dtype=torch.float64)
    means = (MEAN + (conditions - MEAN) @ gain.T)[:, :, None]

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        kept = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(3, dtype=torch.float64))
        return means + kept @ (x - means)

    noise, sigmas = seeded((2, 3, pixels)), geometric_sigmas(1000, SIGMA_MIN, SIGMA_MAX)
    sampled = sample_predictor_corrector(denoise, sigmas[0] * noise(-1), sigmas, noise=noise)
    for case in (0, 1):
        spread = covariance.diagonal()
        error = (sampled[case].mean(1) - means[case, :, 0]) / (spread / pixels).sqrt()
        assert error.abs().max() < 4
        scale = (spread[:, None] * spread).sqrt()
        assert ((torch.cov(sampled[case]) - covariance) / scale).abs().max() < 0.02 + 4 * math.sqrt(2 / pixels)


def test_a_start_without_the_highest_noise_level_is_no_start():
    # Twenty geometric levels are enough for a solver of second order, from sigma_max times noise and only from there.
    sigmas, v = geometric_sigmas(20, SIGMA_MIN, SIGMA_MAX), 0.01

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return v / (v + sigma**2) * x

    gain = float(sample_dpmpp_2m(denoise, torch.ones(1, dtype=torch.float64), sigmas))
    expected = v**2 / (v + SIGMA_MIN**2)
    assert (gain * SIGMA_MAX) ** 2 == pytest.approx(expected, rel=0.04)
    assert gain**2 < 1e-4 * expected  # from noise of variance 1


def test_one_level_is_the_posterior_mean_of_the_corrected_state():
    x, noise = 5 * seeded((2, 1, 6))(0), seeded((2, 1, 6), 1)(0)
    corrected = langevin_step(gaussian, x, 5.0, noise, 0.075)
    sampled = sample_predictor_corrector(gaussian, x, torch.tensor([5.0, 0.0]), noise=lambda draw: noise)
    assert torch.equal(sampled, gaussian(corrected, 5.0))


@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 1, 4, 5), (3, 1, 3, 4, 2)])
def test_a_case_is_sampled_the_same_alone_and_beside_others(shape: tuple[int, ...]):
    noises = seeded((15, *shape))(0)
    sigmas = geometric_sigmas(7, SIGMA_MIN, 80)
    x = 80 * noises[14] * torch.tensor([1.0, 3.0, 1e3]).reshape(-1, *(1,) * (len(shape) - 1))
    given = x.clone()
    together = sample_predictor_corrector(gaussian, x, sigmas, noise=lambda draw: noises[draw])
    assert together.shape == shape and torch.equal(x, given)
    for case in range(3):
        one = slice(case, case + 1)
        alone = sample_predictor_corrector(gaussian, x[one], sigmas, noise=lambda draw: noises[draw][one])  # noqa: B023
        torch.testing.assert_close(alone, together[one], rtol=0, atol=1e-12)


def test_evaluations_draws_and_callback_of_the_predictor_corrector():
    sigmas, evaluated, drawn, told = geometric_sigmas(4, 0.1, 10).float(), [], [], []
    shared_noise = seeded((1, 1, 6))

    def denoise(x, sigma):
        evaluated.append(sigma)
        return gaussian(x, sigma)

    def noise(draw):
        drawn.append(draw)
        return shared_noise(draw).float()

    final = sample_predictor_corrector(
        denoise, noise(-1) * 10, sigmas, noise=noise, callback=lambda *given: told.append(given)
    )
    levels = sigmas.tolist()[:-1]
    assert final.dtype == torch.float32 and evaluated == [level for level in levels for _ in range(2)]
    assert drawn == [-1, 0, 1, 2, 3, 4, 5, 6]  # no draw for the last predictor
    assert [(step, sigma) for step, _, sigma, _ in told] == list(enumerate(levels))
    assert all(torch.equal(denoised, gaussian(x, sigma)) for _, x, sigma, denoised in told)
    torch.testing.assert_close(told[-1][3], final, rtol=0, atol=0)


def test_predictor_corrector_refuses_what_it_cannot_sample():
    with pytest.raises(ValueError, match="noise="):
        sample_predictor_corrector(gaussian, torch.zeros(1, 1, 2), geometric_sigmas(2, 0.1, 1))
    with pytest.raises(ValueError, match="descend strictly, and to 0"):
        sample_predictor_corrector(gaussian, torch.ones(1, 1, 2), torch.tensor([2.0, 1.0]), noise=seeded((1, 1, 2)))
