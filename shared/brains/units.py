"""Units in which networks see intensities, each with its way back.

Normalised: ``6 x / p90 - 3``, so that the background is -3 and the 90th percentile of the brain 3 (IterMask2, MMCCD).
Median units: the same image with the median of its brain at 0; a lesion moves the median less than the p90.
Half-median units: the background is 0 and the median of the brain 0.5, so that values are about [0, 1].
Signed units: half-median units stretched so that [0, 1] is [-1, 1], the range of a generator.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch

BACKGROUND, P90, MEDIAN = -3.0, 3.0, 0.0
"""Where background, 90th percentile (normalised) and median (median units) of a brain lie."""

Values = TypeVar("Values", np.ndarray, torch.Tensor)


def p90_scale(intensities: np.ndarray, **axis: Any) -> Any:
    """The intensity of one normalised unit: the 90th percentile of the brain's voxels (along an axis) over 6."""
    return np.percentile(intensities, 90, **axis) / (P90 - BACKGROUND)


def normalise(intensities: Values, scale: Any) -> Values:
    """Intensities, 0 in the background, in units of ``scale``, background -3."""
    return intensities / scale + BACKGROUND


def denormalise(image: Values, scale: Any = 1.0) -> Values:
    """The way back from :func:`normalise`."""
    return (image - BACKGROUND) * scale


def to_median_units(image: torch.Tensor, brain_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rescale a normalised image by the median of its brain.

    Args:
        image: any shape, one sequence of one subject, background -3.
        brain_mask: the same shape, 0/1; the median is taken there.

    Returns:
        the image in median units, background -3, and the size of one of them in normalised ones (a scalar tensor).
    """
    foreground = denormalise(image)
    unit = foreground[brain_mask > 0].median() / (MEDIAN - BACKGROUND)
    return normalise(foreground, unit), unit


def from_median_units(image: Values, unit: Any) -> Values:
    """The way back from :func:`to_median_units`."""
    return normalise(denormalise(image, unit), 1.0)


def to_half_median_units(image: torch.Tensor, brain_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale an image whose background is 0 so that the median of its brain is 0.5.

    Args:
        image: any shape, one sequence of one subject.
        brain_mask: the same shape, 0/1; the median is taken there.

    Returns:
        the image in half-median units, and the size of one of them in old ones (a scalar tensor).
    """
    unit = 2 * image[brain_mask > 0].median()
    return image / unit, unit


def from_half_median_units(image: Values, unit: Any) -> Values:
    """The way back from :func:`to_half_median_units`."""
    return image * unit


def to_signed_units(image: Values) -> Values:
    """Half-median units, about [0, 1], to about [-1, 1]."""
    return 2 * image - 1


def from_signed_units(image: Values) -> Values:
    """The way back from :func:`to_signed_units`."""
    return (image + 1) / 2
