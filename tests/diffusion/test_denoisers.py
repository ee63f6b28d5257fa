"""The denoiser of a variance-preserving network against closed forms and the schedule it was trained on."""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.denoisers import VPDenoiser
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
