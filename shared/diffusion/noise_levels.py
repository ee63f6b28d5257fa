"""Noise levels: the variance-preserving schedule a network is trained on and the sigmas a sampler walks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def linear_alphas_cumprod(train_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """Signal power left at each timestep of the linear schedule, the product of 1 - beta (Ho et al. 2020, section 4).

    Args:
        train_steps: number of timesteps of the training.
        beta_start: noise variance added at the first timestep.
        beta_end: noise variance added at the last timestep.

    Returns:
        ``(train_steps,)``, float64, strictly descending in (0, 1).
    """
    return torch.cumprod(1 - torch.linspace(beta_start, beta_end, train_steps, dtype=torch.float64), dim=0)


def even_timesteps(steps: int, train_steps: int = 1000) -> list[int]:
    """Evenly spaced timesteps that begin at the noisiest one ("trailing" spacing; Lin et al. 2024, section 3.3).

    Args:
        steps: number of timesteps to choose; need not divide ``train_steps``.
        train_steps: number of timesteps of the training.

    Returns:
        ``steps`` timesteps, strictly descending from ``train_steps - 1``.

    Raises:
        ValueError: ``steps`` is not in 1 to ``train_steps``.
    """
    if not 1 <= steps <= train_steps:
        raise ValueError(f"steps is {steps}; choose 1 to {train_steps}, the number of timesteps of the training.")
    return [round(train_steps - i * train_steps / steps) - 1 for i in range(steps)]


def vp_sigmas(alphas_cumprod: Tensor, timesteps: Sequence[int]) -> Tensor:
    """Noise levels in variance-exploding form, sigma = sqrt((1 - abar) / abar), at timesteps; then 0.

    Args:
        alphas_cumprod: ``(train_steps,)``, strictly descending in (0, 1).
        timesteps: strictly descending indices into ``alphas_cumprod``, at least one.

    Returns:
        ``(len(timesteps) + 1,)``, float64, strictly descending to 0, in the units of the image.

    Raises:
        ValueError: the timesteps are none, not strictly descending, or out of range.
    """
    chosen = list(timesteps)
    if not chosen or chosen[0] >= len(alphas_cumprod) or chosen[-1] < 0:
        raise ValueError(f"timesteps are {chosen}; give one or more from {len(alphas_cumprod) - 1} down to 0.")
    if any(t <= after for t, after in pairwise(chosen)):
        raise ValueError(f"timesteps are {chosen}; they must descend strictly.")
    abar = alphas_cumprod.double()[chosen]
    return torch.cat([torch.sqrt((1 - abar) / abar), abar.new_zeros(1)])


def geometric_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels of constant ratio, the discretised variance-exploding SDE (arXiv 2011.13456, eq. 9); then 0.

    Args:
        steps: number of noise levels above 0; one is ``sigma_max`` alone.
        sigma_min: the lowest above 0, in the units of the image.
        sigma_max: the highest.

    Returns:
        ``(steps + 1,)``, float64, strictly descending from ``sigma_max`` to 0.

    Raises:
        ValueError: no step, or not 0 < ``sigma_min`` < ``sigma_max``.
    """
    _check_range(steps, sigma_min, sigma_max)
    logs = torch.linspace(math.log(sigma_max), math.log(sigma_min), steps, dtype=torch.float64)
    return torch.cat([logs.exp(), logs.new_zeros(1)])


def _check_range(steps: int, sigma_min: float, sigma_max: float) -> None:
    if steps < 1:
        raise ValueError(f"steps is {steps}; choose 1 or more.")
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(f"sigmas are {sigma_min} to {sigma_max}; the lower must be above 0 and below the upper.")
