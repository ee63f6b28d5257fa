"""Weights of the squared error of a denoiser at each noise level, and the levels that it is trained on.

At each level they are least for the same denoiser, the posterior mean of the clean images.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def edm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """Weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, of the shape of ``sigma`` (EDM, Karras et al. 2022, eq.
    8).

    It makes the error that of the network inside :class:`~.denoisers.EDMDenoiser`.
    """
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def ve_weight(sigma: Tensor, sigma_data: float = 1.0) -> Tensor:
    """Weight 1 / sigma^2, of the shape of ``sigma``, whatever the images' deviation (arXiv 2011.13456, eq. 7; TSGM).

    The error is then the square of sigma * score + noise, for the score is ``(denoise(x, sigma) - x) / sigma^2``.
    """
    return 1 / sigma**2


WEIGHTS: dict[str, Callable[[Tensor, float], Tensor]] = {"edm": edm_weight, "ve": ve_weight}


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
