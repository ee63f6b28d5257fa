"""The denoisers against closed forms: of a variance-preserving network on its schedule, and of EDM."""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.denoisers import EDMDenoiser, VPDenoiser
from shared.diffusion.noise_levels import linear_alphas_cumprod, vp_sigmas

ABAR = linear_alphas_cumprod()
SIGMAS = vp_sigmas(ABAR, range(999, -1, -1)).tolist()[-2::-1]  # by timestep
MEAN, STD = 0.3, 0.5  # of Gaussian data


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def x0_network(x_vp: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
    """The perfect network for Gaussian data, of the schedule's own timesteps."""
    abar = ABAR[t.long()].reshape(-1, *(1,) * (x_vp.dim() - 1))
    gain = abar.sqrt() * STD**2 / (abar * STD**2 + 1 - abar)
    return MEAN + gain * (x_vp - abar.sqrt() * MEAN)


def epsilon_network(x_vp: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
    abar = ABAR[t.long()].reshape(-1, *(1,) * (x_vp.dim() - 1))
    return (x_vp - abar.sqrt() * x0_network(x_vp, t, condition)) / (1 - abar).sqrt()


class Recorder:
    """A network that returns zeros and keeps what it was given."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self.dtype = dtype

    def __call__(self, x_vp, t, condition):
        self.x_vp, self.t, self.condition = x_vp, t, condition
        return torch.zeros_like(x_vp, dtype=self.dtype)


def test_every_timestep_of_the_schedule_is_met_exactly():
    network = Recorder()
    denoiser = VPDenoiser(network, ABAR)
    for t, sigma in enumerate(SIGMAS):
        denoiser(torch.zeros(2, 1, 3), sigma)
        assert denoiser.timestep(sigma) == t
        assert network.t.tolist() == [t, t] and network.t.dtype == torch.float32


def test_between_timesteps_the_index_is_linear_in_log_sigma():
    denoiser = VPDenoiser(Recorder(), ABAR)
    for t in (0, 1, 400, 998):
        for part in (0.25, 0.5, 0.9):
            sigma = SIGMAS[t] ** (1 - part) * SIGMAS[t + 1] ** part
            assert denoiser.timestep(sigma) == pytest.approx(t + part, abs=1e-9)


@pytest.mark.parametrize("t", [0, 500, 999])
def test_noise_levels_rounded_to_float32_are_met_within_their_rounding(t: int):
    sigma = torch.tensor(SIGMAS[t], dtype=torch.float32)
    # 2^-24 relative in sigma, over the least slope of log sigma per timestep, 0.005.
    assert VPDenoiser(Recorder(), ABAR).timestep(float(sigma)) == pytest.approx(t, abs=2**-24 / 0.005)
    VPDenoiser(Recorder(), ABAR)(torch.zeros(1, 1, 2), sigma)


@pytest.mark.parametrize("shape", [(2, 1, 5), (3, 2, 4, 5), (1, 1, 3, 4, 5)])
def test_the_network_sees_the_variance_preserving_state_and_the_condition(shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    x0, epsilon = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    network, condition = Recorder(), torch.ones(shape)
    for t in (0, 300, 999):
        VPDenoiser(network, ABAR)(x0 + SIGMAS[t] * epsilon, SIGMAS[t], condition)
        expected = ABAR[t].sqrt() * x0 + (1 - ABAR[t]).sqrt() * epsilon
        torch.testing.assert_close(network.x_vp, expected, rtol=1e-12, atol=1e-12)
        assert network.condition is condition and network.t.shape == shape[:1]


@pytest.mark.parametrize("t", [0, 10, 500, 999])
def test_x0_and_epsilon_networks_are_the_same_denoiser(t: int):
    x = MEAN + math.hypot(STD, SIGMAS[t]) * torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(2, 1, 6)
    expected = gaussian(x, SIGMAS[t])
    torch.testing.assert_close(VPDenoiser(x0_network, ABAR)(x, SIGMAS[t]), expected, rtol=0, atol=1e-12)
    # x0 = x - sigma eps cancels numbers of the size of sigma, up to 157 here: 157 * 2^-52 * a few.
    torch.testing.assert_close(VPDenoiser(epsilon_network, ABAR, "epsilon")(x, SIGMAS[t]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_state_keeps_its_dtype_whatever_the_network_computes_in(prediction: str, dtype: torch.dtype):
    x = torch.ones(1, 1, 4, dtype=dtype)
    denoised = VPDenoiser(Recorder(torch.bfloat16), ABAR, prediction)(x, 1.0)
    assert denoised.dtype == dtype
    assert torch.equal(denoised, torch.zeros_like(x) if prediction == "x0" else x)


@pytest.mark.parametrize("sigma", [0.0, -1.0, 0.009, 158.0, math.nan])
def test_noise_levels_the_network_never_saw_are_refused(sigma: float):
    with pytest.raises(ValueError, match="trained at 0.01.* to 157.4"):
        VPDenoiser(Recorder(), ABAR)(torch.zeros(1, 1, 2), sigma)


def test_unknown_predictions_are_refused():
    with pytest.raises(ValueError, match="'velocity'; choose 'x0' or 'epsilon'"):
        VPDenoiser(Recorder(), ABAR, "velocity")


EDM_SIGMAS = [1e-3, 0.01, 0.5, 3.0, 80.0]


def edm_network(x_scaled: torch.Tensor, c_noise: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
    """The perfect network for N(MEAN, STD^2): with std STD, the denoiser is c_skip x + sigma^2 MEAN / total^2."""
    sigma = (4 * c_noise.double()).exp().reshape(-1, *(1,) * (x_scaled.dim() - 1))
    return MEAN * sigma / (STD * (sigma**2 + STD**2).sqrt()) * torch.ones_like(x_scaled)


@pytest.mark.parametrize("sigma", EDM_SIGMAS)
def test_edm_with_the_perfect_network_is_the_posterior_mean(sigma: float):
    x = MEAN + math.hypot(STD, sigma) * torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(2, 1, 6)
    # c_noise is float32: 2^-24 of at most 1.7, times 4, is the error of sigma in edm_network, on outputs below 1.
    torch.testing.assert_close(EDMDenoiser(edm_network, STD)(x, sigma), gaussian(x, sigma), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", EDM_SIGMAS)
def test_edm_input_and_target_have_unit_variance_at_every_noise_level(sigma: float):
    # Two orthogonal vectors of unit variance: the second moments of data and noise are exact, not sampled.
    unit, noise = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]], dtype=torch.float64).reshape(2, 1, 1, 4)
    x0, network = STD * unit, Recorder()
    x = x0 + sigma * noise
    without = EDMDenoiser(network, STD)(x, sigma)  # c_skip x, the network being 0
    c_out = EDMDenoiser(lambda *given: torch.ones_like(x), STD)(x, sigma) - without
    assert float(network.x_vp.square().mean()) == pytest.approx(1, rel=1e-12)
    assert float(((x0 - without) / c_out).square().mean()) == pytest.approx(1, rel=1e-6)  # 1 - c_skip cancels


def test_edm_keeps_clean_images_and_leaves_noise_alone():
    x = torch.linspace(-2, 2, 5, dtype=torch.float64).reshape(1, 1, 5)
    ones = EDMDenoiser(lambda x, c_noise, condition: torch.ones_like(x), STD)
    torch.testing.assert_close(ones(x, 1e-7), x, rtol=0, atol=2e-7)  # c_skip to 1, c_out to 0
    torch.testing.assert_close(ones(x, 1e7), torch.full_like(x, STD), rtol=0, atol=1e-6)  # c_skip to 0, c_out to STD


@pytest.mark.parametrize("shape", [(2, 1, 5), (3, 2, 4, 5), (2, 1, 3, 4, 5)])
def test_edm_noise_levels_may_differ_in_a_batch_and_the_condition_stays_clean(shape: tuple[int, ...]):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network, condition = Recorder(), torch.ones(shape)
    levels = torch.tensor(EDM_SIGMAS[: len(x)])
    together = EDMDenoiser(network, STD)(x, levels, condition)
    assert network.condition is condition and network.t.dtype == torch.float32
    torch.testing.assert_close(network.t, levels.log() / 4)
    for case, sigma in enumerate(levels):
        for given in (float(sigma), sigma):
            alone = EDMDenoiser(network, STD)(x[case : case + 1], given)
            torch.testing.assert_close(alone, together[case : case + 1], rtol=1e-15, atol=0)


def test_edm_keeps_the_dtype_of_the_state_and_refuses_data_of_no_spread():
    denoised = EDMDenoiser(Recorder(torch.bfloat16), STD)(torch.ones(1, 1, 4), STD)
    assert denoised.dtype == torch.float32
    torch.testing.assert_close(denoised, torch.full_like(denoised, 0.5))  # c_skip is 1/2 at sigma_data
    for sigma_data in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="it must be above 0"):
            EDMDenoiser(Recorder(), sigma_data)
