"""Losses of denoising score matching as the papers write them, to hold the weights of production against.

Each takes ``denoise(x, sigma) -> x0``, the clean images ``x0``, ``B C *S``, the noise levels ``sigma``, ``(B,)``, above
0, and standard normal ``noise`` of the shape of ``x0``, and returns the mean over all elements, a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from shared.diffusion.losses import edm_weight, ve_weight

Denoise = Callable[[Tensor, Tensor], Tensor]


def edm_loss(denoise: Denoise, x0: Tensor, sigma: Tensor, noise: Tensor, sigma_data: float) -> Tensor:
    """Squared error times (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (EDM, Karras et al. 2022, table 1, eq. 8).

    The weight makes it the plain squared error of the network inside :class:`~shared.diffusion.denoisers.EDMDenoiser`.
    """
    sigma = sigma.reshape(-1, *(1,) * (x0.dim() - 1))
    return (edm_weight(sigma, sigma_data) * _squared_error(denoise, x0, sigma, noise)).mean()


def ve_loss(denoise: Denoise, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Square of sigma * score + noise, the objective of variance-exploding SDEs (arXiv 2011.13456, eq. 7; TSGM).

    The score is ``(denoise(x, sigma) - x) / sigma^2``, so that this is the squared error over sigma^2.
    """
    sigma = sigma.reshape(-1, *(1,) * (x0.dim() - 1))
    return (ve_weight(sigma) * _squared_error(denoise, x0, sigma, noise)).mean()


def _squared_error(denoise: Denoise, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    return (denoise(x0 + sigma * noise, sigma.flatten()) - x0).square()
