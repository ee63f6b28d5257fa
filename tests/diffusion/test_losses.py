"""The losses against their identities and, for a Gaussian pair of images, the posterior mean in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.denoisers import EDMDenoiser
from shared.diffusion.losses import ve_training_sigmas
from tests.helpers.denoising_losses import edm_loss, ve_loss

SIGMA_DATA = 0.5
MEAN, PAIR = 0.3, ((0.25, 0.1), (0.1, 0.2))  # of the healthy image and its condition: mean of each, and covariance
LEVELS = torch.tensor([0.01, 0.1, 1.0, 10.0, 80.0], dtype=torch.float64)


def losses(denoise, x0, sigma, noise):
    return {"edm": edm_loss(denoise, x0, sigma, noise, SIGMA_DATA), "ve": ve_loss(denoise, x0, sigma, noise)}


def cubature() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points with the exact first and second moments of the pair and the noise, at every noise level.

    A loss of an affine denoiser has no higher moments in it, so that on these points it is the expectation itself.
    """
    units = math.sqrt(3) * torch.cat([torch.eye(3), -torch.eye(3)]).double()
    pair = MEAN + units[:, :2] @ torch.linalg.cholesky(torch.tensor(PAIR, dtype=torch.float64)).T
    x0, condition, noise = (
        column.repeat(len(LEVELS)).reshape(-1, 1, 1) for column in (pair[:, 0], pair[:, 1], units[:, 2])
    )
    return x0, condition, noise, torch.arange(len(LEVELS)).repeat_interleave(6)


def posterior(sigma: float) -> list[float]:
    """Coefficients of E[x0 | x, condition] = a x + b condition + c."""
    seen = torch.tensor(PAIR, dtype=torch.float64)
    to_x0 = seen[0].clone()
    seen[0, 0] += sigma**2
    a, b = torch.linalg.solve(seen, to_x0).tolist()
    return [a, b, MEAN * (1 - a - b)]


def minimiser(name: str, parameters: int) -> torch.Tensor:
    """Coefficients at which the loss is least, by one Newton step, exact as the loss is quadratic.

    Args:
        parameters: sets of coefficients, one for each noise level, or a single one for all.
    """
    x0, condition, noise, level = cubature()

    def loss(coefficients: torch.Tensor) -> torch.Tensor:
        a, b, c = coefficients.expand(len(LEVELS), 3)[level].T.reshape(3, -1, 1, 1)
        return losses(lambda x, sigma: a * x + b * condition + c, x0, LEVELS[level], noise)[name]

    start = torch.zeros(parameters, 3, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(loss, start).flatten()
    hessian = torch.autograd.functional.hessian(loss, start).reshape(3 * parameters, 3 * parameters)
    scale = hessian.diagonal().rsqrt()  # the levels' weights differ by 10^7
    return -(scale * torch.linalg.solve(scale[:, None] * hessian * scale, scale * gradient)).reshape(parameters, 3)


def test_both_losses_are_least_at_the_posterior_mean_of_every_noise_level():
    expected = torch.tensor([posterior(float(sigma)) for sigma in LEVELS], dtype=torch.float64)
    for name in ("edm", "ve"):
        torch.testing.assert_close(minimiser(name, len(LEVELS)), expected, rtol=1e-8, atol=1e-9)


def test_a_model_too_small_for_all_noise_levels_shows_that_the_weights_differ():
    assert float((minimiser("edm", 1) - minimiser("ve", 1)).abs().max()) > 1e-2


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 5, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()


def test_ve_loss_is_the_objective_in_terms_of_the_score(batch):
    x0, noise = batch

    def denoise(x, sigma):
        return torch.tanh(x) + sigma.reshape(-1, 1, 1, 1)

    sigma = LEVELS.reshape(-1, 1, 1, 1)
    x = x0 + sigma * noise
    score = (denoise(x, LEVELS) - x) / sigma**2
    torch.testing.assert_close(
        ve_loss(denoise, x0, LEVELS, noise), (sigma * score + noise).square().mean(), rtol=1e-9, atol=0
    )


def test_edm_loss_is_the_squared_error_of_the_network_inside(batch):
    x0, noise = batch
    drawn = []

    def network(x, c_noise, condition):
        drawn.append(torch.tanh(x) + c_noise.double().reshape(-1, 1, 1, 1))
        return drawn[-1]

    loss = edm_loss(EDMDenoiser(network, SIGMA_DATA), x0, LEVELS, noise, SIGMA_DATA)
    sigma = LEVELS.reshape(-1, 1, 1, 1)
    total = (sigma**2 + SIGMA_DATA**2).sqrt()
    target = (x0 - (SIGMA_DATA / total) ** 2 * (x0 + sigma * noise)) * total / (sigma * SIGMA_DATA)
    torch.testing.assert_close(loss, (drawn[0] - target).square().mean(), rtol=1e-9, atol=0)


def test_the_error_of_one_case_moves_the_loss_by_its_own_weight(batch):
    x0, noise = batch
    for case, sigma in enumerate(LEVELS.tolist()):
        off = x0.clone()
        off[case] += 0.1
        moved = losses(lambda x, sigma: off, x0, LEVELS, noise)  # noqa: B023
        assert float(moved["ve"]) == pytest.approx(0.01 / sigma**2 / 5)
        assert float(moved["edm"]) == pytest.approx(0.01 * (1 / sigma**2 + 1 / SIGMA_DATA**2) / 5)


def test_training_noise_levels_are_log_uniform():
    uniform = torch.tensor([[0.0, 0.25], [0.5, 1.0]], dtype=torch.float64)
    assert ve_training_sigmas(uniform, 0.01, 100).flatten().tolist() == pytest.approx([0.01, 0.1, 1, 100])
