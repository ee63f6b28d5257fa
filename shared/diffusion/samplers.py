"""Samplers: from noise to an image with a denoiser, along descending noise levels.

Each is a pure function of ``denoise(x, sigma) -> x0`` (any condition closed over), the state ``x = x0 + sigma * eps``
at the first noise level (``B C *S``, commonly ``sigmas[0]`` times standard normal noise), and ``sigmas``,
``(steps + 1,)``, strictly descending to 0 and best kept on the CPU. It returns x0, ``B C *S``, in the dtype of ``x``,
and raises ValueError when the sigmas do not descend to 0. The step to 0 returns what was denoised last.

``noise(step)`` gives standard normal noise of the shape of ``x`` to the samplers that draw any.
``callback(step, x, sigma, denoised)`` is called once per step, before the state moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Noise = Callable[[int], Tensor]
Callback = Callable[[int, Tensor, float, Tensor], None]


def noise_level_steps(sigmas: Tensor) -> list[tuple[float, float]]:
    """Pairs of each noise level and the next, as Python floats, so that no step waits for a device."""
    steps = list(pairwise(sigmas.tolist()))
    if not steps or steps[-1][1] != 0 or any(sigma <= after for sigma, after in steps):
        raise ValueError(f"sigmas are {sigmas.tolist()}; they must descend strictly, and to 0.")
    return steps


def sample_euler(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None, callback: Callback | None = None
) -> Tensor:
    """Euler's method on the probability-flow ODE, which is DDIM with eta 0 (Song et al. 2021, eq. 13)."""
    for step, (sigma, sigma_next) in enumerate(noise_level_steps(sigmas)):
        denoised = denoise(x, sigma)
        if callback is not None:
            callback(step, x, sigma, denoised)
        x = denoised + (sigma_next / sigma) * (x - denoised)
    return x


def sample_heun(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None, callback: Callback | None = None
) -> Tensor:
    """Heun's method of second order, two evaluations a step (EDM, Karras et al. 2022, algorithm 1)."""
    for step, (sigma, sigma_next) in enumerate(noise_level_steps(sigmas)):
        denoised = denoise(x, sigma)
        if callback is not None:
            callback(step, x, sigma, denoised)
        if sigma_next == 0:
            x = denoised
        else:
            slope = (x - denoised) / sigma
            predicted = x + (sigma_next - sigma) * slope
            slope_next = (predicted - denoise(predicted, sigma_next)) / sigma_next
            x = x + (sigma_next - sigma) * (slope + slope_next) / 2
    return x


def sample_dpmpp_2m(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None, callback: Callback | None = None
) -> Tensor:
    """DPM-Solver++(2M): second order in log sigma, one evaluation a step (Lu et al. 2022, algorithm 2)."""
    previous, previous_log_step = None, math.nan
    for step, (sigma, sigma_next) in enumerate(noise_level_steps(sigmas)):
        denoised = target = denoise(x, sigma)
        if callback is not None:
            callback(step, x, sigma, denoised)
        if sigma_next > 0:
            log_step = math.log(sigma / sigma_next)
            if previous is not None:  # extrapolate to the middle of the step
                target = denoised + (log_step / (2 * previous_log_step)) * (denoised - previous)
            previous, previous_log_step = denoised, log_step
        x = target + (sigma_next / sigma) * (x - target)
    return x


def sample_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None, callback: Callback | None = None
) -> Tensor:
    """Sampling of the DDPM posterior, with fresh noise at every step but the last (Ho et al. 2020, eq. 6 and 7).

    Raises:
        ValueError: no ``noise`` was given.
    """
    if noise is None:
        raise ValueError("sample_ancestral draws noise at every step; pass noise=, a function of the step.")
    for step, (sigma, sigma_next) in enumerate(noise_level_steps(sigmas)):
        denoised = denoise(x, sigma)
        if callback is not None:
            callback(step, x, sigma, denoised)
        sigma_down = sigma_next**2 / sigma
        x = denoised + (sigma_down / sigma) * (x - denoised)
        if sigma_next > 0:
            sigma_up = sigma_next * math.sqrt(sigma**2 - sigma_next**2) / sigma
            x = x + sigma_up * noise(step)
    return x


def langevin_step(denoise: Denoise, x: Tensor, sigma: float, noise: Tensor, snr: float) -> Tensor:
    """One step of Langevin dynamics at a fixed noise level (score SDE, arXiv 2011.13456, algorithm 4).

    Its length is that of each case alone, so that a case does not depend on the others of its batch.

    Args:
        denoise: ``denoise(x, sigma) -> x0``.
        x: the state, ``B C *S``, not equal to what is denoised from it.
        sigma: its noise level, above 0.
        noise: standard normal, of the shape of ``x``.
        snr: "signal-to-noise ratio", the norm of the term of the score over that of the noise.

    Returns:
        The state at the same noise level, ``B C *S``. Of a normal distribution it leaves all as it is but the
        variance, which repeated steps hold at (1 + snr^2) times the true one.
    """
    score = (denoise(x, sigma) - x) / sigma**2
    norms = [torch.linalg.vector_norm(each.flatten(1), dim=1) for each in (noise, score)]
    length = 2 * (snr * norms[0] / norms[1]).square().reshape(-1, *(1,) * (x.dim() - 1))
    return x + length * score + (2 * length).sqrt() * noise


def sample_predictor_corrector(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
    snr: float = 0.075,
) -> Tensor:
    """At every noise level a Langevin step, then a step of reverse diffusion (arXiv 2011.13456, algorithm 2; TSGM).

    Two evaluations a step, made for about 1000 geometric noise levels: with 100 the variance of the sample is some
    10 % too high. The corrector comes first, as in the code of TSGM; its paper prints the other order. Step ``i``
    draws ``noise(2 * i)`` for the corrector and ``noise(2 * i + 1)`` for the predictor, but for the last, which adds
    none. The callback is told the corrected state, so that what was denoised last is the sample.

    Raises:
        ValueError: no ``noise`` was given.
    """
    if noise is None:
        raise ValueError("sample_predictor_corrector draws noise at every step; pass noise=, a function of the draw.")
    for step, (sigma, sigma_next) in enumerate(noise_level_steps(sigmas)):
        x = langevin_step(denoise, x, sigma, noise(2 * step), snr)
        denoised = denoise(x, sigma)
        if callback is not None:
            callback(step, x, sigma, denoised)
        x = denoised + (sigma_next / sigma) ** 2 * (x - denoised)
        if sigma_next > 0:
            x = x + math.sqrt(sigma**2 - sigma_next**2) * noise(2 * step + 1)
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "euler": sample_euler,
    "heun": sample_heun,
    "dpmpp_2m": sample_dpmpp_2m,
    "ancestral": sample_ancestral,
}
