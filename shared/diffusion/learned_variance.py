"""The learned variance of improved DDPM (Nichol and Dhariwal 2021, section 3.1), for any noise levels.

A network that returns, beside epsilon, where between its two bounds the variance of each pixel lies can take longer
steps: the best variance makes those for Gaussian data exact, whatever their number. The bounds are those of the steps
really taken, not those of the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from .denoisers import Network, VPDenoiser
from .samplers import Callback, Denoise, Noise, noise_level_steps

DenoiseWithVariance = Callable[[Tensor, float], tuple[Tensor, Tensor]]
Level = TypeVar("Level", float, Tensor)


def variance_bounds(sigma: Level, sigma_next: Level) -> tuple[Level, Level]:
    """Least and largest variance of a step between noise levels, betatilde and beta in variance-exploding form.

    With abar = 1 / (1 + sigma^2), beta is 1 - abar / abar_next and betatilde is beta (1 - abar_next) / (1 - abar);
    both times 1 + sigma_next^2, the square of x / x_VP after the step. A step to 0 has betatilde 0.

    Args:
        sigma: the noise level before the step, above ``sigma_next``; numbers, or tensors of one shape.
        sigma_next: the noise level after it, 0 or above.
    """
    lost = sigma**2 - sigma_next**2
    return sigma_next**2 * lost / sigma**2, (1 + sigma_next**2) * lost / (1 + sigma**2)


def learned_variance(v: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """exp(v log beta + (1 - v) log betatilde), of the shape of ``v`` (eq. 15), in variance-exploding form.

    Args:
        v: 0 for the least and 1 for the largest variance; not held in between.
        sigma: the noise level before the step.
        sigma_next: the noise level after it, above 0.
    """
    log_least, log_largest = (math.log(bound) for bound in variance_bounds(sigma, sigma_next))
    return torch.exp(v * log_largest + (1 - v) * log_least)


class LearnedVarianceDenoiser:
    """A network of epsilon and variance, trained on a variance-preserving schedule: ``(x, sigma) -> (x0, v)``.

    Args:
        network: ``network(x_vp, t, condition)`` as for :class:`~.denoisers.VPDenoiser`, but returning ``B 2C *S``,
            epsilon and then 2 v - 1.
        alphas_cumprod: ``(train_steps,)``, the schedule of the training, strictly descending in (0, 1).
    """

    def __init__(self, network: Network, alphas_cumprod: Tensor) -> None:
        self.network, self.timestep = network, VPDenoiser(network, alphas_cumprod, "epsilon").timestep

    def __call__(self, x: Tensor, sigma: float | Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x0 and v, each ``B C *S`` in the dtype of ``x``; arguments and errors are those of ``VPDenoiser``."""
        sigma = float(sigma)
        t = torch.full((len(x),), self.timestep(sigma), dtype=torch.float32, device=x.device)
        predicted = self.network(x / math.sqrt(1 + sigma**2), t, condition).to(x.dtype)
        epsilon, v = predicted.chunk(2, dim=1)
        return x - sigma * epsilon, (v + 1) / 2


def on_x0(change: Callable[[Denoise], Denoise], denoise: DenoiseWithVariance) -> DenoiseWithVariance:
    """Apply a change of plain denoisers (guidance, clamping) to the x0 of one that returns v too, evaluated once."""

    def denoise_changed(x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        x0, v = denoise(x, sigma)
        return change(lambda *_: x0)(x, sigma), v

    return denoise_changed


def sample_learned_variance(
    denoise: DenoiseWithVariance,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: Noise | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Sampling of the DDPM posterior with a learned variance, fresh noise at every step but the last (eq. 15).

    Arguments as in :mod:`~.samplers`, but ``denoise(x, sigma) -> (x0, v)``. Guide it by :func:`on_x0`.

    Raises:
        ValueError: no ``noise`` was given, or the sigmas do not descend to 0.
    """
    if noise is None:
        raise ValueError("sample_learned_variance draws noise at every step; pass noise=, a function of the step.")
    for step, (sigma, sigma_next) in enumerate(noise_level_steps(sigmas)):
        denoised, v = denoise(x, sigma)
        if callback is not None:
            callback(step, x, sigma, denoised)
        x = denoised + (sigma_next / sigma) ** 2 * (x - denoised)
        if sigma_next > 0:
            x = x + learned_variance(v, sigma, sigma_next).sqrt() * noise(step)
    return x
