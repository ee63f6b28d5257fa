"""The conditional denoiser around U-Nets that are known, and its loss by hand and at its analytic optimum."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from shared.diffusion.losses import WEIGHTS
from shared.diffusion.unet import UNetShape
from shared.methods.tsgm.conditional import ConditionalDenoiser, WeightedSquaredError
from tests.helpers.denoising_losses import edm_loss, ve_loss

MEAN, STD, DIFFERENCE = 0.18, 0.25, 0.05
SIGMA_MIN, SIGMA_MAX = 0.01, 348.0
TINY = UNetShape(width=16, multipliers=(1, 2), attention_levels=(1,), blocks=1, dropout=0.0)
LEVELS = torch.tensor([SIGMA_MIN, 0.1, 1.0, 10.0, SIGMA_MAX])


class Known(nn.Module):
    """In place of the U-Net: returns a constant, keeps what it was given."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, inputs: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        self.inputs, self.timesteps = inputs, timesteps
        return torch.full_like(inputs[:, : inputs.shape[1] // 2], self.value)


def denoiser_of(channels: int = 3, unet: nn.Module | None = None) -> ConditionalDenoiser:
    """Around a known network, or around a small U-Net none of whose layers is 0."""
    torch.manual_seed(0)
    denoiser = ConditionalDenoiser(channels, TINY, MEAN, STD, DIFFERENCE, (SIGMA_MIN, SIGMA_MAX)).eval()
    for parameter in denoiser.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    if unet is not None:
        denoiser.unet = unet
    return denoiser


def images(batch: int = len(LEVELS), sequences: int = 3, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, batch, sequences, 8, 12, generator=torch.Generator().manual_seed(seed)).unbind()


def close(found: torch.Tensor, expected: torch.Tensor, **tolerance: float) -> None:
    torch.testing.assert_close(found, expected, **{"atol": 1e-5, "rtol": 1e-5, **tolerance})


class TestPreconditioning:
    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_what_the_network_returns_is_scaled_and_added_to_condition_and_scaled_difference(self, value: float):
        x, condition = images()
        sigma = LEVELS[:, None, None, None]
        total = (sigma**2 + DIFFERENCE**2).sqrt()
        expected = condition + DIFFERENCE**2 / total**2 * (x - condition) + sigma * DIFFERENCE / total * value
        close(denoiser_of(unet=Known(value))(x, LEVELS, condition), expected)

    def test_without_noise_the_image_comes_back_and_without_an_image_the_condition(self):
        x, condition = images(2)
        tiny, huge = 1e-6, 1e6
        found = denoiser_of()(x, torch.tensor([tiny, huge]), condition)
        close(found[0], x[0])
        returned = denoiser_of(unet=Known())(x, torch.tensor([tiny, huge]), condition)
        close(returned[1], condition[1])

    def test_a_new_network_returns_zero(self):
        x, condition = images()
        new = ConditionalDenoiser(3, TINY, MEAN, STD, DIFFERENCE, (SIGMA_MIN, SIGMA_MAX))
        assert torch.equal(new(x, LEVELS, condition), denoiser_of(unet=Known())(x, LEVELS, condition))

    def test_the_network_sees_differences_of_unit_variance_at_every_noise_level(self):
        unet, pixels = Known(), 200
        generator = torch.Generator().manual_seed(0)
        changed, noise, condition = torch.randn(3, len(LEVELS), 1, pixels, pixels, generator=generator)
        x = condition + DIFFERENCE * changed + LEVELS[:, None, None, None] * noise
        denoiser_of(1, unet)(x, LEVELS, condition)
        seen = unet.inputs[:, 0].flatten(1)
        assert seen.mean(1).abs().max() < 5 / pixels
        assert (seen.var(1) - 1).abs().max() < 5 * math.sqrt(2) / pixels

    @pytest.mark.parametrize("channels", [3, 1])
    def test_the_condition_reaches_the_network_clean_and_the_same_at_every_noise_level(self, channels: int):
        x, condition = images()
        unet = Known()
        denoiser_of(channels, unet)(x, LEVELS, condition)
        given = unet.inputs[:, channels:].reshape(condition.shape)
        assert torch.equal(given, (condition - MEAN) / STD)

    def test_nothing_noisy_is_in_the_condition(self):
        (x, condition), unet = images(), Known()
        x, condition = x.requires_grad_(), condition.requires_grad_()
        denoiser_of(unet=unet)(x, LEVELS, condition)
        noisy, given = unet.inputs.split(3, dim=1)
        of_x, of_condition = torch.autograd.grad(given.sum(), (x, condition), allow_unused=True, retain_graph=True)
        assert (of_x is None or not of_x.any()) and of_condition.all()
        of_x, of_condition = torch.autograd.grad(noisy.sum(), (x, condition))
        assert of_x.all() and torch.equal(of_condition, -of_x)

    def test_timesteps_are_linear_in_log_sigma(self):
        unet, (x, condition) = Known(), images(5)
        part = torch.tensor([0.0, 0.1, 0.5, 0.75, 1.0])
        denoiser_of(unet=unet)(x, SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** part, condition)
        close(unet.timesteps, 1000 * part, atol=1e-3)

    @pytest.mark.parametrize("channels", [3, 1])
    def test_one_noise_level_for_all_or_one_for_each(self, channels: int):
        denoiser, (x, condition) = denoiser_of(channels), images(2)
        with torch.no_grad():
            for_all = denoiser(x, torch.tensor(0.3), condition)
            assert torch.equal(for_all, denoiser(x, torch.tensor([0.3, 0.3]), condition))
            of_two = denoiser(x, torch.tensor([0.3, 5.0]), condition)
        close(of_two[0], for_all[0])
        assert (of_two[1] - for_all[1]).abs().max() > 1e-3

    def test_what_comes_out_is_of_the_precision_of_the_image(self):
        denoiser, (x, condition) = denoiser_of(), images(2)
        with torch.no_grad():
            exact = denoiser(x, torch.tensor(SIGMA_MIN), condition)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                rough = denoiser(x, torch.tensor(SIGMA_MIN), condition)
        assert rough.dtype == torch.float32
        close(rough, exact, atol=0.1 * SIGMA_MIN, rtol=0)  # the error of the network, times c_out


class TestPresence:
    PRESENT = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])

    @pytest.mark.parametrize("held", [7.0, float("nan"), float("inf")])
    def test_absent_sequences_change_nothing_whatever_they_hold(self, held: float):
        denoiser, (x, condition), sigma = denoiser_of(), images(2), torch.tensor([0.1, 5.0])
        absent = self.PRESENT[:, :, None, None].expand_as(x) == 0
        with torch.no_grad():
            expected = denoiser(x, sigma, condition, self.PRESENT)
            found = denoiser(x.masked_fill(absent, held), sigma, condition.masked_fill(absent, held), self.PRESENT)
            shown = denoiser(x, sigma, condition)
        assert torch.equal(found[~absent], expected[~absent])
        assert (shown - expected)[~absent].abs().max() > 1e-3

    def test_absent_sequences_are_zeros_to_the_network(self):
        (x, condition), unet = images(2), Known()
        denoiser_of(unet=unet)(x, torch.tensor(1.0), condition, self.PRESENT)
        shown = unet.inputs.flatten(2).abs().sum(dim=2) > 0
        assert torch.equal(shown, self.PRESENT.repeat(1, 2) > 0)

    def test_nothing_that_is_absent_moves_the_weights_of_the_network(self):
        denoiser, (x, condition) = denoiser_of(), images(2)
        absent = self.PRESENT[:, :, None, None].expand_as(x) == 0
        x, condition = x.masked_fill(absent, torch.nan), condition.masked_fill(absent, torch.nan)
        denoiser(x, torch.tensor(1.0), condition, self.PRESENT)[~absent].square().sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in denoiser.parameters())

    def test_all_are_present_where_nothing_is_said(self):
        denoiser, (x, condition) = denoiser_of(), images(2)
        with torch.no_grad():
            found = denoiser(x, torch.tensor(1.0), condition)
            assert torch.equal(found, denoiser(x, torch.tensor(1.0), condition, torch.ones(2, 3)))


class TestSequencesOnTheirOwn:
    """One channel: each sequence of a slice is a sample of its own."""

    def test_equal_to_each_alone(self):
        denoiser, (x, condition), sigma = denoiser_of(1), images(2), torch.tensor([0.1, 5.0])
        with torch.no_grad():
            together = denoiser(x, sigma, condition)
            for n in range(3):
                one = slice(n, n + 1)
                close(denoiser(x[:, one], sigma, condition[:, one]), together[:, one])

    def test_noise_levels_and_presence_belong_to_their_slice(self):
        unet, (x, condition) = Known(), images(2)
        present = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
        denoiser_of(1, unet)(x, torch.tensor([SIGMA_MIN, SIGMA_MAX]), condition, present)
        close(unet.timesteps, torch.tensor([0.0] * 3 + [1000.0] * 3), atol=1e-3)
        assert torch.equal(unet.inputs.flatten(2).abs().sum(dim=2) > 0, present.reshape(6, 1).expand(6, 2) > 0)

    def test_an_empty_one_does_not_spoil_the_others(self):
        denoiser, (x, condition) = denoiser_of(1), images(2)
        with torch.no_grad():
            expected = denoiser(x, torch.tensor(1.0), condition)
            condition[:, 1] = torch.nan
            found = denoiser(x, torch.tensor(1.0), condition)
        close(found[:, [0, 2]], expected[:, [0, 2]])


class TestLoss:
    CLEAN = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).reshape(1, 2, 1, 3)
    ESTIMATE = torch.tensor([[1.0, 4.0, 0.0], [1.0, 3.0, 5.0]]).reshape(1, 2, 1, 3)  # squares 0 4 9, 1 9 25

    def loss(self, weight: Any, counts: list[float]) -> float:
        weight = torch.as_tensor(weight).expand(1, 2, 1, 3)
        target = torch.cat([self.CLEAN, weight, torch.tensor(counts).reshape(1, 1, 1, 3)], dim=1)
        return float(WeightedSquaredError()(self.ESTIMATE, target))

    def test_by_hand(self):
        assert self.loss(1.0, [1.0, 1.0, 1.0]) == pytest.approx(48 / 6)
        assert self.loss(0.5, [1.0, 1.0, 1.0]) == pytest.approx(24 / 6), "not a mean over the weights"
        each = torch.tensor([[[[2.0]], [[4.0]]]])
        assert self.loss(each, [1.0, 1.0, 1.0]) == pytest.approx((2 * 13 + 4 * 35) / 6)

    def test_what_does_not_count_is_left_out_of_the_mean(self):
        assert self.loss(1.0, [1.0, 0.0, 1.0]) == pytest.approx((0 + 9 + 1 + 25) / 4)
        only_second = torch.tensor([[[[0.0]], [[3.0]]]])
        assert self.loss(only_second, [1.0, 1.0, 1.0]) == pytest.approx(3 * 35 / 3)
        assert self.loss(only_second, [0.0, 1.0, 0.0]) == pytest.approx(3 * 9)
        assert self.loss(0.0, [1.0, 1.0, 1.0]) == self.loss(1.0, [0.0, 0.0, 0.0]) == 0

    def test_what_does_not_count_has_no_gradient(self):
        estimate = self.ESTIMATE.clone().requires_grad_()
        weight = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 3)
        target = torch.cat([self.CLEAN, weight, torch.tensor([1.0, 0.0, 1.0]).reshape(1, 1, 1, 3)], dim=1)
        WeightedSquaredError()(estimate, target).backward()
        assert estimate.grad.flatten().tolist() == [0, 0, 0, 1, 0, 5]

    @pytest.mark.parametrize("name", ["edm", "ve"])
    def test_with_the_weights_of_a_loss_it_is_that_loss(self, name: str):
        denoiser, (x0, condition) = denoiser_of(), images()
        noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
        level = LEVELS[:, None, None, None]
        with torch.no_grad():
            estimate = denoiser(x0 + level * noise, LEVELS, condition)
            weight = WEIGHTS[name](level, DIFFERENCE).expand_as(x0)
            found = WeightedSquaredError()(estimate, torch.cat([x0, weight, torch.ones_like(x0[:, :1])], dim=1))

            def denoise(x, sigma):
                return denoiser(x, sigma, condition)

            expected = {
                "edm": edm_loss(denoise, x0, LEVELS, noise, DIFFERENCE),
                "ve": ve_loss(denoise, x0, LEVELS, noise),
            }
        close(found, expected[name], rtol=1e-4)


class LinearOfLevel(nn.Module):
    """In place of the U-Net: affine in noisy image and condition, with coefficients of its own at each timestep."""

    def __init__(self, coefficients: torch.Tensor) -> None:
        super().__init__()
        self.coefficients = coefficients  # one row per level

    def forward(self, inputs: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        log = (LEVELS.log() - LEVELS[0].log()) / (LEVELS[-1] / LEVELS[0]).log()
        level = (timesteps[:, None] - 1000 * log).abs().argmin(dim=1)
        a, b, c = self.coefficients[level].T.reshape(3, -1, 1, 1, 1)
        return a * inputs[:, :1] + b * inputs[:, 1:] + c


@pytest.mark.parametrize("name", ["edm", "ve"])
def test_the_loss_is_least_at_the_posterior_mean_given_the_condition(name: str):
    """Of a Gaussian pair, on points with its exact second moments; one Newton step, exact as the loss is quadratic."""
    covariance, mean = torch.tensor([[0.07, 0.04], [0.04, 0.09]], dtype=torch.float64), torch.tensor([0.2, 0.3])
    units = math.sqrt(3) * torch.cat([torch.eye(3), -torch.eye(3)]).double()
    pair = mean + units[:, :2] @ torch.linalg.cholesky(covariance).T
    x0, condition, noise = (c.repeat(len(LEVELS)).reshape(-1, 1, 1, 1) for c in (pair[:, 0], pair[:, 1], units[:, 2]))
    sigma = LEVELS.double().repeat_interleave(6)
    level = sigma.reshape(-1, 1, 1, 1)
    target = torch.cat([x0, WEIGHTS[name](level, DIFFERENCE), torch.ones_like(x0)], dim=1)

    def estimate(coefficients: torch.Tensor) -> torch.Tensor:
        return denoiser_of(1, LinearOfLevel(coefficients))(x0 + level * noise, sigma, condition)

    def loss(coefficients: torch.Tensor) -> torch.Tensor:
        return WeightedSquaredError()(estimate(coefficients), target)

    start = torch.zeros(len(LEVELS), 3, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(loss, start).flatten()
    hessian = torch.autograd.functional.hessian(loss, start).reshape(gradient.numel(), -1)
    scale = hessian.diagonal().rsqrt()
    step = scale * torch.linalg.solve(scale[:, None] * hessian * scale, scale * gradient)
    found = estimate(start - step.reshape_as(start))
    for n, s in enumerate(sigma.tolist()):
        seen = covariance + torch.diag(torch.tensor([s**2, 0.0]))
        deviation = torch.stack([x0[n] + s * noise[n] - mean[0], condition[n] - mean[1]]).reshape(2)
        expected = mean[0] + covariance[0] @ torch.linalg.solve(seen, deviation)
        assert float(found[n]) == pytest.approx(float(expected), abs=1e-6)
