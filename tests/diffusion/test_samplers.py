"""Samplers against truth in closed form: Gaussian data, whose denoiser is affine, on the real schedule.

With data N(m, s^2) and sigma = s tan(theta), the exact path of the probability-flow ODE is m + c / cos(theta). A
sampler's final standard deviation over s is therefore the product over its steps of (its factor) / (the exact factor).
With d the angle of a step, that ratio is exactly
    Euler  cos d
    Heun   cos d (1 + sin(d)^2 / 2) + tan(theta) sin(d)^3 / 2,  within  3/8 d^4 + tan(theta) |sin d|^3 / 2  of 1
and the last step, to sigma 0, is Euler's for each. So Euler errs by sum d^2 / 2 at most, O(h), Heun by O(h^2).
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler

from shared.diffusion.noise_levels import even_timesteps, linear_alphas_cumprod, vp_sigmas
from shared.diffusion.samplers import SAMPLERS, sample_ancestral, sample_euler, sample_heun

MEAN, STD = 0.3, 0.5  # of the data
STEPS = [1, 2, 7, 20, 100]
ABAR = linear_alphas_cumprod()
DETERMINISTIC = ["euler", "heun", "dpmpp_2m"]


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The denoiser of N(MEAN, STD^2)."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def mixture(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The denoiser of 0.3 N(-1, 0.25^2) + 0.7 N(1, 0.25^2)."""
    mean, weight = torch.tensor([[-1.0, 1.0], [0.3, 0.7]], dtype=x.dtype)
    variance = 0.25**2 + sigma**2
    posterior = torch.softmax(weight.log() - (x[..., None] - mean) ** 2 / (2 * variance), dim=-1)
    return (posterior * (0.25**2 * x[..., None] + sigma**2 * mean) / variance).sum(-1)


def silence(step: int) -> torch.Tensor:
    """The mean of the noise."""
    return torch.zeros((), dtype=torch.float64)


def real_sigmas(steps: int) -> torch.Tensor:
    return vp_sigmas(ABAR, even_timesteps(steps))


def angles(sigmas: torch.Tensor) -> list[float]:
    return torch.atan(sigmas / STD).tolist()


def affine(name: str, sigmas: torch.Tensor) -> tuple[float, float]:
    """Gain and offset of the map from the noisy state to the sample, which is affine for Gaussian data."""
    at_0, at_1 = SAMPLERS[name](gaussian, torch.tensor([0.0, 1.0], dtype=torch.float64), sigmas, noise=silence).tolist()
    return at_1 - at_0, at_0


def std_ratio(name: str, sigmas: torch.Tensor) -> float:
    """Final standard deviation over that of the data, when the state starts at its true distribution."""
    return affine(name, sigmas)[0] * math.hypot(STD, float(sigmas[0])) / STD


def euler_bound(sigmas: torch.Tensor) -> float:
    return sum((a - b) ** 2 for a, b in pairwise(angles(sigmas))) / 2


def heun_bound(sigmas: torch.Tensor) -> float:
    *steps, last = pairwise(angles(sigmas))
    bounds = [3 / 8 * (a - b) ** 4 + math.tan(a) * math.sin(a - b) ** 3 / 2 for a, b in steps]
    return math.prod(1 + bound for bound in [*bounds, last[0] ** 2 / 2]) - 1


def dpmpp_2m_bound(sigmas: torch.Tensor) -> float:
    """O(h^2), from the local errors in log sigma and their propagation.

    In units of s the exact path has D = y = cos(theta), with |y'| = sin^2 cos and |y''| = sin^2 cos |1 - 3 cos^2|,
    below 0.385 and 0.277, in log sigma. A step of length h integrates y against exp(-(h - tau)): the constant part
    exactly, the linear one up to (its true weight less h / 2 that of the constant) |y'|, and the difference quotient
    of the last step, of length k, is off by k |y''| / 2. The first step knows no slope.
    """
    theta, sup = angles(sigmas), [0.0, 0.0]  # bounds of the error of the state, before and after the last step
    lengths = [math.log(float(a / b)) for a, b in pairwise(sigmas[:-1])]
    for i, h in enumerate(lengths):
        decay, g = math.exp(-h), math.cos(theta[i]) ** 2
        slope_weight, curvature_weight = h - 1 + decay, h**2 / 2 - h + 1 - decay
        if i == 0:
            local = slope_weight * min(0.385, math.sin(theta[0]) ** 2 * math.cos(theta[1]))
            sup = [0.0, local]
            continue
        slope = math.sin(theta[i]) ** 2 * math.cos(theta[i])
        curvature = min(0.277, 2 * math.sin(theta[i - 1]) ** 2 * math.cos(theta[i + 1]))
        local = abs(slope_weight - (1 - decay) * h / 2) * slope
        local += ((1 - decay) * h / 2 * lengths[i - 1] / 2 + curvature_weight) * curvature
        c = h / (2 * lengths[i - 1])
        propagated = (decay + (1 - decay) * (1 + c) * g) * sup[1]
        sup = [sup[1], propagated + (1 - decay) * c * math.cos(theta[i - 1]) ** 2 * sup[0] + local]
    return math.cos(theta[-2]) ** 2 * sup[1] + 1 - math.cos(theta[-2])


BOUNDS = {"euler": euler_bound, "heun": heun_bound, "dpmpp_2m": dpmpp_2m_bound}


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_gives_exactly_the_posterior_mean(name: str):
    sigmas, x = real_sigmas(1), torch.linspace(-400, 400, 12, dtype=torch.float64).reshape(2, 1, 6)
    assert torch.equal(SAMPLERS[name](gaussian, x, sigmas, noise=silence), gaussian(x, float(sigmas[0])))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_mean_of_the_data_is_kept(name: str, steps: int):
    gain, offset = affine(name, real_sigmas(steps))
    assert gain * MEAN + offset == pytest.approx(MEAN, abs=1e-12)


@pytest.mark.parametrize("steps", STEPS)
def test_euler_shrinks_by_the_cosine_of_each_step(steps: int):
    exact = math.prod(math.cos(a - b) for a, b in pairwise(angles(real_sigmas(steps))))
    assert std_ratio("euler", real_sigmas(steps)) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("steps", STEPS)
def test_heun_has_its_closed_form(steps: int):
    *inner, last = pairwise(angles(real_sigmas(steps)))
    exact = math.cos(last[0])
    for a, b in inner:
        d = a - b
        exact *= math.cos(d) * (1 + math.sin(d) ** 2 / 2) + math.tan(a) * math.sin(d) ** 3 / 2
    assert std_ratio("heun", real_sigmas(steps)) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("denoise", [gaussian, mixture])
@pytest.mark.parametrize("steps", STEPS)
def test_dpmpp_2m_equals_algorithm_2_in_the_variables_of_its_paper(steps: int, denoise):
    x = 157.4 * torch.linspace(-3, 3, 13, dtype=torch.float64)
    timesteps = even_timesteps(steps)
    alpha, noise = ABAR[timesteps].sqrt(), (1 - ABAR[timesteps]).sqrt()  # alpha_i, sigma_i
    half_log_snr = (alpha / noise).log()  # lambda_i
    state, before = alpha[0] * x, None
    for i in range(1, steps):
        h = half_log_snr[i] - half_log_snr[i - 1]
        predicted = denoise(state / alpha[i - 1], float(noise[i - 1] / alpha[i - 1]))
        d = predicted
        if i > 1:
            r = (half_log_snr[i - 1] - half_log_snr[i - 2]) / h
            d = (1 + 1 / (2 * r)) * predicted - 1 / (2 * r) * before
        before = predicted
        state = noise[i] / noise[i - 1] * state - alpha[i] * torch.expm1(-h) * d
    expected = denoise(state / alpha[-1], float(noise[-1] / alpha[-1]))
    sampled = SAMPLERS["dpmpp_2m"](denoise, x, real_sigmas(steps))
    torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_spread_of_the_data_is_met_within_the_derived_bound(name: str, steps: int):
    assert abs(std_ratio(name, real_sigmas(steps)) - 1) <= BOUNDS[name](real_sigmas(steps)) + 1e-12


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_order_of_convergence(name: str, order: int):
    # Even in log sigma down to 1e-5, where the last step to 0 costs (1e-5 / s)^2 / 2 = 2e-10, whatever the grid.
    def error(steps: int) -> float:
        sigmas = torch.logspace(math.log10(20), -5, steps + 1, dtype=torch.float64)
        return abs(std_ratio(name, torch.cat([sigmas, sigmas.new_zeros(1)])) - 1)

    errors = [error(steps) for steps in (100, 200, 400)]
    for coarse, fine in pairwise(errors):
        assert fine > 1e-8
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)
    assert BOUNDS[name](real_sigmas(1000)) < (0.01 if order == 1 else 0.002)  # the bounds above are no empty ones


def ancestral_variance(sigmas: torch.Tensor) -> float:
    """Of the sample, over that of the data, from the response to the state and to each noise alone."""
    n = len(sigmas) - 1
    impulses = torch.eye(n + 1, dtype=torch.float64)[:, 1:]  # element 0 has no noise, element k that of step k - 1 only
    start = torch.eye(n + 1, dtype=torch.float64)[:, 0]
    response = sample_ancestral(gaussian, MEAN + start, sigmas, noise=lambda step: impulses[:, step]) - MEAN
    return float((response[0] ** 2 * (STD**2 + sigmas[0] ** 2) + (response[1:] ** 2).sum()) / STD**2)


@pytest.mark.parametrize("steps", [*STEPS, 1000])
def test_ancestral_variance_is_exact_and_grows_to_the_target(steps: int):
    # A step puts E[x0 | x] in place of a draw of x0 and so loses (1 - sigma_next^2 / sigma^2)^2 var(x0 | x). Carried
    # to the end by the factors (s^2 + sigma_next^2) / (s^2 + sigma^2) of the later steps, and with w = sin(theta)^2,
    # this is (w - w_next)^2 / w of s^2. The sum is at most the largest (w - w_next) / eta, from the steps with
    # w > eta, plus eta, from the others: 2 sqrt(largest) for the best eta, and so goes to 0 with the steps.
    w = [math.sin(theta) ** 2 for theta in angles(real_sigmas(steps))]
    lost = sum((a - b) ** 2 / a for a, b in pairwise(w))
    assert ancestral_variance(real_sigmas(steps)) == pytest.approx(1 - lost, abs=1e-10)
    assert 0 < lost <= 2 * math.sqrt(max(a - b for a, b in pairwise(w)))


def test_ancestral_variance_reaches_the_target_to_first_order():
    def lost(steps: int) -> float:
        sigmas = torch.logspace(math.log10(20), -5, steps + 1, dtype=torch.float64)
        return 1 - ancestral_variance(torch.cat([sigmas, sigmas.new_zeros(1)]))

    losses = [lost(steps) for steps in (200, 400, 800)]
    assert all(math.log2(coarse / fine) == pytest.approx(1, abs=0.1) for coarse, fine in pairwise(losses))
    assert 1 - ancestral_variance(real_sigmas(1000)) < 0.02


def test_heun_keeps_the_weights_of_a_mixture():
    # 1000 points at even quantiles of the noisy mixture. In one dimension the exact flow keeps their order, so 300 end
    # at the left component, up to 1 for the even spacing. The solver can err where paths part: 0.26 % of the data lie
    # within 0.3 of there. The last step, from sigma = 0.044, narrows a component of 0.25 by its cosine, 1.5 %.
    sigmas, n = real_sigmas(100), 1000
    spread = torch.distributions.Normal(0, math.hypot(0.25, float(sigmas[0])))
    parts = [(-1.0, round(0.3 * n)), (1.0, round(0.7 * n))]
    x = torch.cat([mean + spread.icdf((torch.arange(k, dtype=torch.float64) + 0.5) / k) for mean, k in parts])
    final = sample_heun(mixture, x, sigmas)
    left, right = final[final < 0], final[final >= 0]
    assert len(left) == pytest.approx(0.3 * n, abs=1 + 0.0026 * n)
    narrowed = 0.25 * math.cos(math.atan(float(sigmas[-2]) / 0.25))
    for mean, part in ((-1, left), (1, right)):
        assert float(part.mean()) == pytest.approx(mean, abs=0.01)
        assert float(part.std()) == pytest.approx(narrowed, rel=0.01)


def ddim_of_the_paper(x: torch.Tensor, timesteps: list[int]) -> torch.Tensor:
    """The update of the paper (MMCCD; DDIM with eta 0), in variance-preserving form as it is printed."""
    for t, t_next in zip(timesteps, [*timesteps[1:], None]):
        abar, abar_next = ABAR[t], torch.tensor(1.0) if t_next is None else ABAR[t_next]
        x0 = gaussian(x / abar.sqrt(), float(((1 - abar) / abar).sqrt()))
        epsilon = (x / abar.sqrt() - x0) / (1 / abar - 1).sqrt()
        x = abar_next.sqrt() * x0 + (1 - abar_next).sqrt() * epsilon
    return x


def ddim_of_monai(x: torch.Tensor, steps: int, timesteps: list[int] | None = None) -> tuple[torch.Tensor, list[int]]:
    scheduler = DDIMScheduler(
        1000, schedule="linear_beta", beta_start=1e-4, beta_end=0.02, clip_sample=False, prediction_type="sample"
    )
    scheduler.set_timesteps(steps)
    if timesteps is not None:
        scheduler.timesteps = torch.tensor(timesteps)
    for t in scheduler.timesteps:
        abar = ABAR[t]
        x, _ = scheduler.step(gaussian(x / abar.sqrt(), float(((1 - abar) / abar).sqrt())), t, x)
    return x, scheduler.timesteps.tolist()


X_VP = torch.linspace(-3, 3, 61, dtype=torch.float64)
LEADING = list(range(900, -1, -100))


def test_euler_is_the_ddim_of_the_paper():
    for timesteps in (LEADING, list(range(990, -1, -10)), even_timesteps(7)):
        sampled = sample_euler(gaussian, X_VP / ABAR[timesteps[0]].sqrt(), vp_sigmas(ABAR, timesteps))
        torch.testing.assert_close(sampled, ddim_of_the_paper(X_VP, timesteps), rtol=0, atol=1e-6)


def test_fault_of_monai_its_respaced_ddim_steps_past_its_own_timesteps():
    """Documents a fault of MONAI 1.6.1, not of ours; when this fails, MONAI has mended it and DDIMScheduler may serve.

    ``set_timesteps`` spaces by ``linspace`` since Project-MONAI/MONAI#8623, 999, 888, 777, ...; ``step`` still goes
    back by 1000 // steps, from 999 to 899 (the same fault as huggingface/diffusers#12633).
    """
    sampled, timesteps = ddim_of_monai(X_VP, steps=10)
    assert timesteps[:3] == [999, 888, 777]
    assert (sampled - ddim_of_the_paper(X_VP, timesteps)).abs().max() > 1e-2


def test_monai_is_right_on_the_timesteps_that_its_step_believes_in():
    # MONAI's abar is float32: 1 - abar = 1e-4 at timestep 0 is off by 2^-25, its root by 1.5e-6, times epsilon, <= 3.
    sampled, _ = ddim_of_monai(X_VP, steps=10, timesteps=LEADING)
    torch.testing.assert_close(sampled, ddim_of_the_paper(X_VP, LEADING), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 1, 4, 5), (3, 1, 3, 4, 2)])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_case_is_the_same_alone_and_in_a_batch(name: str, shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(8, *shape, generator=generator, dtype=torch.float64)
    sigmas = real_sigmas(7)
    x = sigmas[0] * noises[7]
    given = x.clone()
    together = SAMPLERS[name](mixture, x, sigmas, noise=lambda step: noises[step])
    assert together.shape == shape and torch.equal(x, given)
    for case in range(shape[0]):
        one = slice(case, case + 1)
        alone = SAMPLERS[name](mixture, x[one], sigmas, noise=lambda step: noises[step][one])  # noqa: B023
        torch.testing.assert_close(alone, together[one], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_float32_is_enough_for_the_state(name: str):
    noises = torch.randn(20, 1, 1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigmas = real_sigmas(20)
    exact = SAMPLERS[name](gaussian, sigmas[0] * noises[19], sigmas, noise=lambda step: noises[step])
    single = SAMPLERS[name](gaussian, (sigmas[0] * noises[19]).float(), sigmas, noise=lambda step: noises[step].float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "evaluations"), [("euler", 7), ("heun", 13), ("dpmpp_2m", 7), ("ancestral", 7)])
def test_evaluations_noise_and_callback(name: str, evaluations: int):
    sigmas, evaluated, drawn, told = real_sigmas(7), [], [], []

    def denoise(x, sigma):
        evaluated.append(sigma)
        return mixture(x, sigma)

    def noise(step):
        drawn.append(step)
        return torch.ones(1, 1, 4, dtype=torch.float64)

    start = torch.full((1, 1, 4), 100.0, dtype=torch.float64)
    final = SAMPLERS[name](denoise, start, sigmas, noise=noise, callback=lambda *given: told.append(given))
    assert len(evaluated) == evaluations and all(type(sigma) is float and sigma > 0 for sigma in evaluated)
    assert drawn == (list(range(6)) if name == "ancestral" else [])
    assert [(step, sigma) for step, _, sigma, _ in told] == list(enumerate(sigmas.tolist()[:-1]))
    assert torch.equal(told[0][1], start) and torch.equal(told[-1][3], final)
    assert all(torch.equal(denoised, mixture(x, sigma)) for _, x, sigma, denoised in told)


@pytest.mark.parametrize("sigmas", [[2.0, 1.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0], []])
@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_levels_that_do_not_descend_to_0_are_refused(name: str, sigmas: list[float]):
    with pytest.raises(ValueError, match="descend strictly, and to 0"):
        SAMPLERS[name](gaussian, torch.zeros(1, 1, 2), torch.tensor(sigmas), noise=silence)


def test_ancestral_sampling_asks_for_noise():
    with pytest.raises(ValueError, match="noise="):
        sample_ancestral(gaussian, torch.zeros(1, 1, 2), real_sigmas(2))
