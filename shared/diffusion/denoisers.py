"""Denoisers: every network behind the one contract ``D(x, sigma, condition) -> x0``.

The state is in variance-exploding form, ``x = x0 + sigma * eps`` with standard normal ``eps``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .noise_levels import vp_sigmas

Network = Callable[..., Tensor]
"""``network(scaled image, time, condition)``; each denoiser says what these are."""


class VPDenoiser:
    """A network trained on a variance-preserving schedule (DDPM) as a denoiser.

    Args:
        network: ``network(x_vp, t, condition)`` with ``x_vp = x / sqrt(1 + sigma^2)``, ``B C *S``, and timestep ``t``,
            ``(B,)``, float32; returns ``B C *S``.
        alphas_cumprod: ``(train_steps,)``, the schedule of the training, strictly descending in (0, 1).
        prediction: what the network was trained to return, the clean image (``x0``) or the noise (``epsilon``).

    Raises:
        ValueError: unknown ``prediction``.
    """

    def __init__(
        self,
        network: Network,
        alphas_cumprod: Tensor,
        prediction: Literal["x0", "epsilon"] = "x0",
    ) -> None:
        if prediction not in ("x0", "epsilon"):
            raise ValueError(f"prediction is '{prediction}'; choose 'x0' or 'epsilon'.")
        self.network, self.prediction = network, prediction
        sigmas = vp_sigmas(alphas_cumprod, range(len(alphas_cumprod) - 1, -1, -1))
        # Python's own log, here and of a sigma asked for: vectorised ones may differ in the last bit, off the grid.
        self.log_sigmas = [math.log(sigma) for sigma in reversed(sigmas.tolist()[:-1])]

    def timestep(self, sigma: float) -> float:
        """Index in the schedule of a noise level: linear in log sigma between timesteps, exact at them.

        Raises:
            ValueError: the network was not trained at this noise level, by more than float32 can round.
        """
        lowest, highest = math.exp(self.log_sigmas[0]), math.exp(self.log_sigmas[-1])
        if not lowest * (1 - 1e-6) <= sigma <= highest * (1 + 1e-6):
            raise ValueError(f"sigma is {sigma:g}; the network was trained at {lowest:g} to {highest:g}.")
        log_sigma = min(max(math.log(sigma), self.log_sigmas[0]), self.log_sigmas[-1])
        t = min(bisect_right(self.log_sigmas, log_sigma), len(self.log_sigmas) - 1) - 1
        below, above = self.log_sigmas[t : t + 2]
        return t + (log_sigma - below) / (above - below)

    def __call__(self, x: Tensor, sigma: float | Tensor, condition: Tensor | None = None) -> Tensor:
        """The clean image expected behind a noisy one.

        Args:
            x: ``B C *S``, ``x0 + sigma * eps``.
            sigma: a number or a scalar tensor, within the noise levels of the schedule, hence never 0.
            condition: handed to the network as it is.

        Returns:
            x0, ``B C *S``, in the dtype of ``x`` whatever the network computes in.

        Raises:
            ValueError: ``sigma`` is outside the schedule.
        """
        sigma = float(sigma)
        t = torch.full((len(x),), self.timestep(sigma), dtype=torch.float32, device=x.device)
        predicted = self.network(x / math.sqrt(1 + sigma**2), t, condition).to(x.dtype)
        return predicted if self.prediction == "x0" else x - sigma * predicted


class EDMDenoiser:
    """A network with the preconditioning of EDM as a denoiser (Karras et al. 2022, table 1, eq. 7).

    What the network is given and what it must return have unit variance at every noise level, for data of mean 0 and
    standard deviation ``sigma_data``.

    Args:
        network: ``network(c_in * x, c_noise, condition)`` with ``c_noise = ln(sigma) / 4``, ``(B,)``, float32, about
            -1.2 to 1.1 for sigma from 0.01 to 80; returns ``B C *S``. An embedding made for timesteps to 1000 must
            scale it first.
        sigma_data: standard deviation of the clean images, in their units.

    Raises:
        ValueError: ``sigma_data`` is not above 0.
    """

    def __init__(self, network: Network, sigma_data: float) -> None:
        if not 0 < sigma_data < math.inf:
            raise ValueError(f"sigma_data is {sigma_data}; it must be above 0, the standard deviation of the images.")
        self.network, self.sigma_data = network, sigma_data

    def __call__(self, x: Tensor, sigma: float | Tensor, condition: Tensor | None = None) -> Tensor:
        """The clean image expected behind a noisy one.

        Args:
            x: ``B C *S``, ``x0 + sigma * eps``.
            sigma: a number, a scalar tensor or, in training, one for each case, ``(B,)``; above 0.
            condition: handed to the network as it is, clean and unscaled.

        Returns:
            x0, ``B C *S``, in the dtype of ``x`` whatever the network computes in.
        """
        cases = x.shape[0]  # len(x) is a constant in a trace
        sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(cases)
        c_noise = (sigma.log() / 4).float()
        sigma = sigma.reshape(-1, *(1,) * (x.dim() - 1))
        total = (sigma**2 + self.sigma_data**2).sqrt()  # standard deviation of the noisy image
        predicted = self.network(x / total, c_noise, condition).to(x.dtype)
        return (self.sigma_data / total) ** 2 * x + sigma * self.sigma_data / total * predicted
