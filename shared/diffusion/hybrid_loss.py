"""The hybrid loss of improved DDPM (Nichol and Dhariwal 2021, eq. 16): epsilon and its variance from one network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .learned_variance import variance_bounds

BINS = 255  # of the range of a channel, whose data are taken to have 8 bits, as in the paper


class HybridLoss(nn.Module):
    """Squared error of epsilon + lambda L_vlb, of which only the variance learns; a mean over all elements.

    T times the term of a timestep drawn uniformly estimates L_vlb, the sum over the T timesteps. With T = 1000 and
    the lambda of the paper the term's factor is 1, as in guided diffusion.

    Args:
        alphas_cumprod: ``(T,)``, strictly descending in (0, 1), at least two.
        limits: lowest and highest value of each of the C channels of the clean state.
        vlb_weight: lambda.
        velocity: the squared error is that of the velocity (:mod:`~.velocity`), 1 / abar times that of epsilon, so that
            the noisiest states, where the image takes shape, are learnt as fast as the others.
    """

    def __init__(
        self,
        alphas_cumprod: Tensor,
        limits: Sequence[tuple[float, float]],
        vlb_weight: float = 0.001,
        velocity: bool = False,
    ) -> None:
        super().__init__()
        self.alphas_cumprod, self.limits, self.vlb_weight = alphas_cumprod, limits, vlb_weight
        self.velocity = velocity

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """A network's output ``B 2C *S`` (epsilon, then 2 v - 1) and :func:`hybrid_target` to a scalar.

        Raises:
            ValueError: the channels of output, target and limits do not belong together.
        """
        channels = len(self.limits)
        if (output.shape[1], target.shape[1]) != (2 * channels, 2 * channels + 1):
            raise ValueError(
                f"{channels} limits need {2 * channels} channels of output and {2 * channels + 1} of target; "
                f"there are {output.shape[1]} and {target.shape[1]}."
            )
        epsilon, v = output.to(target.dtype).chunk(2, dim=1)
        noise, x0, timestep = target.split([channels, channels, 1], dim=1)
        t = timestep.flatten(1)[:, 0].long()
        bound = variational_bound(epsilon.detach(), (v + 1) / 2, noise, x0, t, self.alphas_cumprod, self.limits)
        simple = (epsilon - noise) ** 2
        if self.velocity:
            simple = simple / self.alphas_cumprod.to(simple)[t].reshape(-1, *(1,) * (simple.dim() - 1))
        return simple.mean() + self.vlb_weight * len(self.alphas_cumprod) * bound.mean()


def hybrid_target(noise: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """What :class:`HybridLoss` needs beside the output, in one tensor, as MONAI's trainer passes it.

    Args:
        noise: ``B C *S``, float32, that of the state sqrt(abar) x0 + sqrt(1 - abar) noise, which the network was given.
        x0: ``B C *S``, the clean state.
        t: ``(B,)``, the timesteps, whole numbers.

    Returns:
        ``B 2C+1 *S``: noise, x0, and everywhere the timestep.
    """
    timestep = t.to(noise).reshape(-1, *(1,) * (noise.dim() - 1)).expand_as(noise[:, :1])
    return torch.cat([noise, x0, timestep], dim=1)


def variational_bound(
    epsilon: Tensor,
    v: Tensor,
    noise: Tensor,
    x0: Tensor,
    t: Tensor,
    alphas_cumprod: Tensor,
    limits: Sequence[tuple[float, float]],
) -> Tensor:
    """The term of the variational bound at a timestep, in bits for each element (improved DDPM, eq. 4 to 7).

    For t > 0 it is the KL divergence of the model's step from the true one, given x0; for t = 0 minus the log
    probability of the bin around x0. The noisy state itself is not needed: the means of the two steps differ by the
    error of epsilon, whose square, over the least variance, has the factor abar_{t-1} / (1 - abar_{t-1}) over
    abar_t / (1 - abar_t), less 1.

    Args:
        epsilon: ``B C *S``, the predicted noise.
        v: ``B C *S``, 0 for the least and 1 for the largest variance (``learned_variance``).
        noise: ``B C *S``, the true noise.
        x0: ``B C *S``, the clean state.
        t: ``(B,)``, int64, 0 to T - 1.
        alphas_cumprod: ``(T,)``, strictly descending in (0, 1), at least two.
        limits: lowest and highest value of each channel; a bin is 1/255 of that range wide, the outermost are open.

    Returns:
        ``B C *S``.
    """
    abar = alphas_cumprod.to(t.device, torch.float64)
    sigmas = ((1 - abar) / abar).sqrt()
    sigma, sigma_next = sigmas[t.clamp(min=1)], sigmas[(t - 1).clamp(min=0)]
    least, largest = variance_bounds(sigma, sigma_next)
    # The step to 0 has the least variance 0, in whose place guided diffusion puts that of t = 1, variance-preserving.
    least = torch.where(t == 0, least / (1 + sigma_next**2), least)
    largest = torch.where(t == 0, 1 - abar[0], largest)

    def of_each_case(values: Tensor) -> Tensor:
        return values.to(x0.dtype).reshape(-1, *(1,) * (x0.dim() - 1))

    error = epsilon - noise
    widened = v * of_each_case((largest / least).log())  # log of the variance over the least
    gain = of_each_case((sigma / sigma_next) ** 2 - 1)
    divergence = (widened + torch.expm1(-widened) + gain * error**2 * torch.exp(-widened)) / 2
    deviation = torch.exp((of_each_case(least.log()) + widened) / 2)
    surprise = _negative_log_probability(x0, x0 - sigmas[0].to(x0) * error, deviation, limits)
    return torch.where(of_each_case(t) == 0, surprise, divergence) / math.log(2)


def _negative_log_probability(
    x0: Tensor, mean: Tensor, deviation: Tensor, limits: Sequence[tuple[float, float]]
) -> Tensor:
    """Of the bins around x0 under normal distributions, ``B C *S``, in nats (Ho et al. 2020, eq. 13)."""
    low, high = torch.tensor(limits, dtype=x0.dtype, device=x0.device).T.reshape(2, -1, *(1,) * (x0.dim() - 2))
    half = (high - low) / (2 * BINS)
    above = torch.special.ndtr((x0 + half - mean) / deviation)
    below = torch.special.ndtr((x0 - half - mean) / deviation)
    above = torch.where(x0 > high - half, 1, above)
    below = torch.where(x0 < low + half, 0, below)
    return -(above - below).clamp(min=1e-12).log()
