"""The hybrid loss against the formulas of the papers in their own variables, and against the entropy of Gaussian data.

With the exact model of data N(m, s^2) the variational bound is tight: the terms of t = 1 to T - 1 add up to what the
first state tells about x0 less what the last one does, and with the term of t = 0 to the entropy of x0 less the latter.
"""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.hybrid_loss import HybridLoss, hybrid_target, variational_bound
from shared.diffusion.learned_variance import variance_bounds
from shared.diffusion.noise_levels import linear_alphas_cumprod

ABAR = linear_alphas_cumprod()
LIMITS = [(-1.0, 1.0), (-0.5, 0.5)]
SIGMAS = ((1 - ABAR) / ABAR).sqrt()


def draws(t: list[int], channels: int = 2, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Arguments of the bound: data of 8 bits between the limits, and a network that errs by about 0.5."""
    generator = torch.Generator().manual_seed(0)
    shape = (len(t), channels, 3, 4)
    noise, error, v = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    x0 = 2 * torch.randint(0, 256, shape, generator=generator) / 255 - 1
    x0[:, :, 0, 0], x0[:, :, 0, 1] = -1, 1
    half = torch.tensor([high for _, high in LIMITS[:channels]], dtype=torch.float64)[:, None, None]
    found = {"epsilon": noise + 0.5 * error, "v": torch.sigmoid(v), "noise": noise, "x0": half * x0}
    return {name: values.to(dtype) for name, values in found.items()} | {"t": torch.tensor(t)}


def bound(t: list[int], **given: torch.Tensor) -> torch.Tensor:
    return variational_bound(**draws(t) | given, alphas_cumprod=ABAR, limits=LIMITS)


def paper(epsilon, v, noise, x0, t) -> torch.Tensor:
    """Improved DDPM, eq. 4 to 15, in variance-preserving form, by the distributions of torch."""
    betas = 1 - ABAR / torch.cat([torch.ones(1).double(), ABAR[:-1]])
    before = torch.cat([torch.ones(1).double(), ABAR[:-1]])
    posterior = betas * (1 - before) / (1 - ABAR)
    clipped = torch.cat([posterior[1:2], posterior[1:]])
    terms = []
    for n, step in enumerate(t.tolist()):
        abar, beta = ABAR[step], betas[step]
        x_t = abar.sqrt() * x0[n] + (1 - abar).sqrt() * noise[n]
        predicted = (x_t - (1 - abar).sqrt() * epsilon[n]) / abar.sqrt()
        first, second = before[step].sqrt() * beta / (1 - abar), (1 - beta).sqrt() * (1 - before[step]) / (1 - abar)
        deviation = torch.exp((v[n] * beta.log() + (1 - v[n]) * clipped[step].log()) / 2)
        model = torch.distributions.Normal(first * predicted + second * x_t, deviation)
        if step > 0:
            true = torch.distributions.Normal(first * x0[n] + second * x_t, posterior[step].sqrt())
            terms.append(torch.distributions.kl_divergence(true, model))
        else:
            half = torch.tensor([1 / 255, 0.5 / 255], dtype=torch.float64)[:, None, None]
            above, below = model.cdf(x0[n] + half), model.cdf(x0[n] - half)
            whole = x0[n] / (255 * half)
            terms.append(-torch.where(whole > 0.999, 1, above).sub(torch.where(whole < -0.999, 0, below)).log())
    return torch.stack(terms) / math.log(2)


class TestBound:
    T = [0, 1, 2, 50, 500, 999]

    def test_every_term_is_that_of_the_paper(self):
        torch.testing.assert_close(bound(self.T), paper(**draws(self.T)), rtol=1e-7, atol=1e-11)

    def test_float32_is_enough(self):
        found = variational_bound(**draws(self.T, dtype=torch.float32), alphas_cumprod=ABAR.float(), limits=LIMITS)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), paper(**draws(self.T)), rtol=2e-3, atol=1e-6)

    def test_it_is_0_for_the_true_step_alone(self):
        later = self.T[1:]
        exact = {"epsilon": draws(later)["noise"], "v": torch.zeros_like(draws(later)["v"])}
        assert torch.equal(bound(later, **exact), torch.zeros_like(exact["v"]))
        assert bound(later, epsilon=exact["epsilon"]).min() > 0
        assert bound(later, v=exact["v"]).min() > 0

    @pytest.mark.parametrize("deviation", [0.05, 0.5])
    def test_its_sum_is_the_entropy_of_gaussian_data(self, deviation: float):
        limits = [(-0.005, 0.005)]  # so small a bin that the density over it is flat, and none is open
        t = torch.arange(1000)
        variance_of_x0 = deviation**2 * SIGMAS**2 / (deviation**2 + SIGMAS**2)  # given the noisy state
        error = (variance_of_x0 / SIGMAS**2).sqrt()  # of epsilon, root mean square; the terms are linear in the square
        after = torch.cat([torch.zeros(1).double(), SIGMAS[:-1]])
        least, largest = variance_bounds(SIGMAS, after)
        best = least + (1 - (after / SIGMAS) ** 2) ** 2 * variance_of_x0
        least[0] = variance_bounds(SIGMAS[1], SIGMAS[0])[0] * ABAR[0]
        v = (best / least).log() / (largest / least).log()
        of_each = [each.reshape(-1, 1, 1) for each in (error, v, torch.zeros(1000).double())]
        terms = variational_bound(of_each[0], of_each[1], of_each[2], of_each[2], t, ABAR, limits).flatten()

        def told(sigma: torch.Tensor) -> float:
            """Bits about x0 in the state at a noise level."""
            return math.log2(1 + deviation**2 / float(sigma) ** 2) / 2

        assert float(terms[1:].sum()) == pytest.approx(told(SIGMAS[0]) - told(SIGMAS[-1]), rel=1e-9)
        entropy = math.log2(2 * math.pi * math.e * deviation**2) / 2 - math.log2(0.01 / 255)
        assert float(terms.sum()) == pytest.approx(entropy - told(SIGMAS[-1]), rel=1e-6)

    def test_the_bins_cover_the_whole_range(self):
        given = draws([0], channels=1)
        values = torch.linspace(-0.5, 0.5, 256, dtype=torch.float64).reshape(1, 1, -1)
        mean, sigma = 0.497, float(SIGMAS[0])  # close to a limit
        noise = torch.zeros_like(values)
        epsilon = (values - mean) / sigma + noise  # so that the predicted x0 is the mean, whatever x0
        bits = variational_bound(epsilon, noise + 0.3, noise, values, given["t"], ABAR, [(-0.5, 0.5)])
        assert float(torch.exp2(-bits).sum()) == pytest.approx(1, abs=1e-9)


class TestLoss:
    T = [0, 3, 999]

    @staticmethod
    def parts(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
        given = draws(TestLoss.T, dtype=dtype)
        output = torch.cat([given["epsilon"], 2 * given["v"] - 1], dim=1)
        return output.requires_grad_(), hybrid_target(given["noise"], given["x0"], given["t"])

    @pytest.mark.parametrize(("weight", "factor"), [(0.001, 1.0), (0.0005, 0.5), (0.0, 0.0)])
    def test_it_is_the_squared_error_and_the_bound(self, weight: float, factor: float):
        given = draws(self.T)
        expected = (given["epsilon"] - given["noise"]).square().mean() + factor * bound(self.T).mean()
        found = HybridLoss(ABAR, LIMITS, weight)(*self.parts())
        assert float(found.detach()) == pytest.approx(float(expected), rel=1e-12)

    def test_the_factor_of_fewer_timesteps_is_smaller(self):
        abar, given = linear_alphas_cumprod(100), draws([0, 3, 99])
        output = torch.cat([given["epsilon"], 2 * given["v"] - 1], dim=1)
        found = HybridLoss(abar, LIMITS)(output, hybrid_target(given["noise"], given["x0"], given["t"]))
        expected = 0.1 * variational_bound(**given, alphas_cumprod=abar, limits=LIMITS).mean()
        assert float(found - (given["epsilon"] - given["noise"]).square().mean()) == pytest.approx(float(expected))

    def test_only_the_variance_learns_from_the_bound(self):
        gradients = []
        for weight in (0.001, 0.0):
            output, target = self.parts()
            HybridLoss(ABAR, LIMITS, weight)(output, target).backward()
            gradients.append(output.grad.chunk(2, dim=1))
        (with_bound, variance), (without, nothing) = gradients
        assert torch.equal(with_bound, without) and with_bound.abs().min() > 0
        assert variance.abs().min() > 0 and nothing.abs().max() == 0

    def test_the_network_may_answer_in_half_precision(self):
        output, target = self.parts(torch.float32)
        half = output.detach().bfloat16()
        found = HybridLoss(ABAR, LIMITS)(half, target)
        assert found.dtype == torch.float32
        assert torch.equal(found, HybridLoss(ABAR, LIMITS)(half.float(), target))

    def test_a_wild_output_has_a_finite_gradient(self):
        output, target = self.parts(torch.float32)
        output = (20 * output).detach().requires_grad_()
        HybridLoss(ABAR, LIMITS)(output, target).backward()
        assert output.grad.isfinite().all()

    def test_channels_that_do_not_belong_together_are_refused(self):
        output, target = self.parts()
        with pytest.raises(ValueError, match="1 limits need 2 channels of output and 3 of target; there are 4 and 5"):
            HybridLoss(ABAR, LIMITS[:1])(output, target)
        with pytest.raises(ValueError, match="there are 2 and 5"):
            HybridLoss(ABAR, LIMITS)(output[:, :2], target)
