"""From a brain and its pseudo-healthy reconstruction to how far they differ."""

from __future__ import annotations

import numpy as np
import torch

ERRORS = ("squared", "bright", "dark")


def signed_residual(image: torch.Tensor, reconstruction: torch.Tensor, error: str) -> torch.Tensor:
    """What is brighter ("bright") or darker ("dark") than reconstructed, 0 elsewhere; any shape, units of the image.

    Raises:
        ValueError: another ``error``.
    """
    if error not in ERRORS[1:]:
        raise ValueError(f"the error is one of {', '.join(ERRORS)}, got '{error}'")
    return ((image - reconstruction) if error == "bright" else (reconstruction - image)).clamp(min=0)


def fit_intensities(reconstruction: torch.Tensor, image: torch.Tensor, brain_mask: torch.Tensor) -> torch.Tensor:
    """Rescale a reconstruction, ``a x + b``, to the image it reconstructs, so that contrast is not taken for disease.

    Least squares in the brain, then once more without the quarter that fits worst, where lesions would be.

    Args:
        reconstruction: any shape.
        image: the same shape.
        brain_mask: the same shape, 0/1.

    Returns:
        the rescaled reconstruction; as it was where the brain is too uniform for a fit, or the fit would invert it.
    """
    brain = brain_mask > 0
    x, y = (values[brain].double().cpu().numpy() for values in (reconstruction, image))
    if len(x) < 100 or np.ptp(x) == 0:
        return reconstruction
    slope, offset = np.polyfit(x, y, 1)
    misfit = np.abs(slope * x + offset - y)
    fits = misfit <= np.quantile(misfit, 0.75)
    if np.ptp(x[fits]) > 0:
        slope, offset = np.polyfit(x[fits], y[fits], 1)
    return float(slope) * reconstruction + float(offset) if slope > 0 else reconstruction
