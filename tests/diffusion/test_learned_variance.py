"""The learned variance against the formulas of DDPM, and against Gaussian data, which the best one samples exactly.

Of data N(m, s^2), x0 given x has the variance s^2 sigma^2 / (s^2 + sigma^2), so that a step whose variance is
betatilde + (1 - sigma_next^2 / sigma^2)^2 of that draws from p(x_next | x) itself, however long it is.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from shared.diffusion.guidance import clamped, guided
from shared.diffusion.learned_variance import (
    LearnedVarianceDenoiser,
    learned_variance,
    on_x0,
    sample_learned_variance,
    variance_bounds,
)
from shared.diffusion.noise_levels import even_timesteps, linear_alphas_cumprod, vp_sigmas
from shared.diffusion.samplers import sample_ancestral

ABAR = linear_alphas_cumprod()
MEAN, VARIANCE, TILT = 0.2, 0.09, 1.5
APART, WIDTH = 0.6, 0.04  # of the mixture: +-u and v


def real_sigmas(steps: int) -> torch.Tensor:
    return vp_sigmas(ABAR, even_timesteps(steps))


def gaussian(x: torch.Tensor, sigma: float, mean: float = MEAN, variance: float = VARIANCE) -> torch.Tensor:
    return (variance * x + sigma**2 * mean) / (variance + sigma**2)


def tilt(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return TILT * gaussian(x, sigma).flatten(1).sum(1)


def mixture(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return gaussian(x, sigma, APART * torch.tanh(APART * x / (WIDTH + sigma**2)), WIDTH)


def right(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return functional.logsigmoid(2 * APART * x / (WIDTH + sigma**2)).flatten(1).sum(1)


class Best:
    """The denoiser and, for the steps along the sigmas, where the best variance lies between its bounds."""

    def __init__(self, sigmas: torch.Tensor) -> None:
        self.next = dict(pairwise(sigmas.tolist()))

    def fraction(self, variance_of_x0: torch.Tensor, sigma: float) -> torch.Tensor:
        least, largest = variance_bounds(sigma, self.next[sigma])
        best = least + (1 - self.next[sigma] ** 2 / sigma**2) ** 2 * variance_of_x0
        return (best / least).log() / math.log(largest / least) if least else torch.zeros_like(best)

    def gaussian(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        variance = torch.full_like(x, VARIANCE * sigma**2 / (VARIANCE + sigma**2))
        return gaussian(x, sigma), self.fraction(variance, sigma)

    def mixture(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        between = (APART * sigma**2 / (WIDTH + sigma**2)) ** 2 / torch.cosh(APART * x / (WIDTH + sigma**2)) ** 2
        return mixture(x, sigma), self.fraction(WIDTH * sigma**2 / (WIDTH + sigma**2) + between, sigma)


class TestVariance:
    @pytest.mark.parametrize("steps", [1000, 250, 10])
    def test_the_bounds_are_those_of_ddpm_on_the_timesteps_taken(self, steps: int):
        """Ho et al. 2020, eq. 7, with beta = 1 - abar_t / abar_next as in improved DDPM, section 4."""
        abar = ABAR[even_timesteps(steps)]
        for (before, after), (sigma, sigma_next) in zip(pairwise(abar.tolist()), pairwise(real_sigmas(steps).tolist())):
            beta = 1 - before / after
            betatilde = (1 - after) / (1 - before) * beta
            vp = [bound * after for bound in variance_bounds(sigma, sigma_next)]  # x_VP is sqrt(abar) x
            assert vp == pytest.approx([betatilde, beta], rel=1e-7)

    def test_it_is_between_the_bounds_in_logarithm(self):
        least, largest = variance_bounds(2.0, 0.5)
        found = learned_variance(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), 2.0, 0.5)
        assert found.tolist() == pytest.approx([least, math.sqrt(least * largest), largest], rel=1e-12)

    def test_a_step_to_0_has_no_least_variance(self):
        assert variance_bounds(2.0, 0.0) == (0, 4 / 5)
        tensors = variance_bounds(torch.tensor([2.0, 2.0]), torch.tensor([0.5, 0.0]))
        assert torch.stack(tensors).T.tolist() == [pytest.approx(variance_bounds(2.0, after)) for after in (0.5, 0.0)]


class TestSampler:
    @pytest.mark.parametrize("steps", [1, 2, 20])
    def test_with_the_least_variance_it_is_ancestral(self, steps: int):
        sigmas, noises = real_sigmas(steps), torch.randn(21, 4, 2, generator=torch.Generator().manual_seed(0)).double()
        x = sigmas[0] * noises[20]
        seen = []
        found = sample_learned_variance(
            lambda x, sigma: (gaussian(x, sigma), torch.zeros_like(x)),
            x,
            sigmas,
            noise=lambda step: noises[step],
            callback=lambda *step: seen.append(step),
        )
        expected = sample_ancestral(gaussian, x, sigmas, noise=lambda step: noises[step])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
        assert [(step, sigma) for step, _, sigma, _ in seen] == list(enumerate(sigmas.tolist()[:-1]))
        assert torch.equal(seen[-1][3], found) and torch.equal(seen[0][1], x)

    @pytest.mark.parametrize("scale", [0, 1, 3])
    @pytest.mark.parametrize("steps", [250, 100, 10, 2])
    def test_with_the_best_variance_gaussian_data_are_exact_and_so_is_their_guidance(self, steps: int, scale: float):
        sigmas = real_sigmas(steps)
        denoise = on_x0(partial(guided, log_probability=tilt, scale=scale), Best(sigmas).gaussian)
        impulses = torch.eye(steps + 2, dtype=torch.float64)  # row 0 none, 1 the state, k + 2 the noise of step k
        final = sample_learned_variance(
            denoise, impulses[:, 1:2], sigmas, noise=lambda step: impulses[:, step + 2, None]
        )
        mean, gain = float(final[0]), float(final[1] - final[0])
        variance = gain**2 * float(VARIANCE + sigmas[0] ** 2) + float(((final[2:] - mean) ** 2).sum())
        target = MEAN + scale * VARIANCE * TILT
        assert mean == pytest.approx(target * (1 - gain), abs=1e-9)
        # The last step returns E[x0 | x] for a draw of x0, and so loses its variance.
        last = float(sigmas[-2] ** 2)
        assert variance == pytest.approx(VARIANCE - VARIANCE * last / (VARIANCE + last), rel=1e-7)

    @pytest.mark.parametrize(("scale", "mean", "variance"), [(0, 0.0, 0.4), (1, 0.6, 0.04), (2, 0.645, 0.034)])
    def test_the_law_of_a_guided_mixture(self, scale: float, mean: float, variance: float):
        sigmas, generator = real_sigmas(250), torch.Generator().manual_seed(1)
        x = sample_learned_variance(
            on_x0(partial(guided, log_probability=right, scale=scale), Best(sigmas).mixture),
            sigmas[0] * torch.randn((4000, 1), generator=generator, dtype=torch.float64),
            sigmas,
            noise=lambda step: torch.randn((4000, 1), generator=generator, dtype=torch.float64),
        )
        assert float(x.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / len(x)))
        assert float(x.var()) == pytest.approx(variance, rel=0.07)

    def test_guided_and_clamped_with_one_evaluation_a_step(self):
        evaluated = []

        def denoise(x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
            evaluated.append(sigma)
            return torch.full_like(x, 5.0), torch.full_like(x, 0.25)

        def change(plain):
            return clamped(guided(clamped(plain, [(-1.0, 1.0)]), lambda x, sigma: -2 * x.sum(1), 1), [(-1.0, 1.0)])

        x0, v = on_x0(change, denoise)(torch.zeros(3, 1), 1.0)
        assert x0.tolist() == [[-1.0]] * 3 and v.tolist() == [[0.25]] * 3 and evaluated == [1.0]

    def test_without_noise_or_sigmas_to_0_it_is_refused(self):
        with pytest.raises(ValueError, match="pass noise="):
            sample_learned_variance(Best(real_sigmas(2)).gaussian, torch.zeros(1, 1), real_sigmas(2))
        with pytest.raises(ValueError, match="to 0"):
            sample_learned_variance(Best(real_sigmas(2)).gaussian, torch.zeros(1, 1), torch.ones(2), noise=torch.zeros)


class TestDenoiser:
    @pytest.mark.parametrize("t", [0, 10, 999])
    def test_it_undoes_the_noise_and_splits_the_channels(self, t: int):
        generator = torch.Generator().manual_seed(0)
        x0, epsilon = torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
        x_vp, condition = ABAR[t].sqrt() * x0 + (1 - ABAR[t]).sqrt() * epsilon, torch.ones(1)

        def network(given: torch.Tensor, timesteps: torch.Tensor, also: torch.Tensor) -> torch.Tensor:
            torch.testing.assert_close(given, x_vp, rtol=1e-12, atol=0)
            torch.testing.assert_close(timesteps, torch.full((2,), float(t)), rtol=0, atol=1e-4)
            assert also is condition
            return torch.cat([epsilon, torch.full_like(epsilon, -1)], dim=1)

        found, v = LearnedVarianceDenoiser(network, ABAR)(
            x_vp / ABAR[t].sqrt(), ((1 - ABAR[t]) / ABAR[t]).sqrt(), condition
        )
        torch.testing.assert_close(found, x0, rtol=0, atol=1e-10)
        assert torch.equal(v, torch.zeros_like(x0)) and found.dtype == torch.float64

    def test_v_goes_up_to_1(self):
        denoise = LearnedVarianceDenoiser(lambda x, t, condition: torch.tensor([[0.0, 1.0]]), ABAR)
        assert denoise(torch.zeros(1, 1), 1.0)[1].tolist() == [[1.0]]
