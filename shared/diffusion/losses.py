"""Losses of denoising score matching: the weighted squared error of a denoiser on images with known noise.

Each takes ``denoise(x, sigma) -> x0`` (any clean condition closed over), the clean images ``x0``, ``B C *S``, the noise
levels ``sigma``, ``(B,)``, above 0, and standard normal ``noise`` of the shape of ``x0``, and returns the mean over
all elements, a scalar. They weight the noise levels differently; at each, both are least for the same denoiser, the
posterior mean of x0.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]


def edm_loss(denoise: Denoise, x0: Tensor, sigma: Tensor, noise: Tensor, sigma_data: float) -> Tensor:
    """Squared error times (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (EDM, Karras et al. 2022, table 1, eq. 8).

    The weight makes it the plain squared error of the network inside :class:`~.denoisers.EDMDenoiser`.
    """
    sigma = sigma.reshape(-1, *(1,) * (x0.dim() - 1))
    return (edm_weight(sigma, sigma_data) * _squared_error(denoise, x0, sigma, noise)).mean()


def ve_loss(denoise: Denoise, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Square of sigma * score + noise, the objective of variance-exploding SDEs (arXiv 2011.13456, eq. 7; TSGM).

    The score is ``(denoise(x, sigma) - x) / sigma^2``, so that this is the squared error over sigma^2.
    """
    sigma = sigma.reshape(-1, *(1,) * (x0.dim() - 1))
    return (ve_weight(sigma) * _squared_error(denoise, x0, sigma, noise)).mean()


def edm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """Weight of the squared error in :func:`edm_loss`, of the shape of ``sigma``."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def ve_weight(sigma: Tensor, sigma_data: float = 1.0) -> Tensor:
    """Weight of the squared error in :func:`ve_loss`, of the shape of ``sigma``, whatever the images' deviation."""
    return 1 / sigma**2


WEIGHTS: dict[str, Callable[[Tensor, float], Tensor]] = {"edm": edm_weight, "ve": ve_weight}


def _squared_error(denoise: Denoise, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    return (denoise(x0 + sigma * noise, sigma.flatten()) - x0).square()


def ve_training_sigmas(uniform: Tensor, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels of the variance-exploding SDE's training, ln sigma uniform (arXiv 2011.13456, appendix C).

    Args:
        uniform: draws from [0, 1], any shape.
        sigma_min: the noise level at 0.
        sigma_max: the noise level at 1.

    Returns:
        Of the shape of ``uniform``, in the units of the image.
    """
    return sigma_min * (sigma_max / sigma_min) ** uniform
