"""From a brain and its pseudo-healthy reconstruction to how far they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.networks.layers import GaussianFilter

ERRORS = ("squared", "bright", "dark", "absolute")
_PARTS = 20


@dataclass(frozen=True)
class ResidualRule:
    """How an image is compared with its reconstruction; as in MMCCD's paper.

    Attributes:
        error: "squared", or one-sided: "bright" counts what is brighter than reconstructed, "dark" what is darker; they
            are signed, for smoothing, and below 0 where the image is not.
        fit_intensities: rescale the reconstruction to the image's intensities first (not with "squared").
        fluid_below: darker voxels of the image are not counted, see :func:`signed_residual`.
        beyond_tissue: count only what is also brighter ("bright") or darker ("dark") than the brain's median: where
            fluid was reconstructed, tissue is expected, since what is brighter than fluid need not be abnormal.

    Raises:
        ValueError: no such error.
    """

    error: str = "squared"
    fit_intensities: bool = False
    fluid_below: float | None = None
    beyond_tissue: bool = False

    def __post_init__(self) -> None:
        if self.error not in ERRORS:
            raise ValueError(f"the error is one of {', '.join(ERRORS)}, got '{self.error}'")


def check_errors(errors: Mapping[str, str], sequences: Sequence[str]) -> None:
    """Check that each sequence says what counts as abnormal in it, see :func:`signed_residual`.

    Raises:
        ValueError: an error is missing or unknown.
    """
    if wrong := [name for name in sequences if errors.get(name) not in ERRORS[1:]]:
        raise ValueError(f"errors needs one of {', '.join(ERRORS[1:])} for {', '.join(wrong)}, got {dict(errors)}")


def signed_residual(
    image: torch.Tensor, reconstruction: torch.Tensor, error: str, fluid_below: float | None = None
) -> torch.Tensor:
    """How much brighter ("bright") or darker ("dark") an image is than its reconstruction; negative where it is not.

    "absolute" counts both alike, and is never negative: TSGM's code takes it, eq. 8 of its paper is signed.

    Args:
        image: any shape.
        reconstruction: the same shape and units.
        error: what counts as abnormal: "bright", "dark" or "absolute".
        fluid_below: what is darker than this in the image is fluid and not counted (0): on T1 lesions are darker than
            tissue, but fluid is darker still and varies most between people.

    Raises:
        ValueError: another ``error``.
    """
    if error not in ERRORS[1:]:
        raise ValueError(f"the error is one of {', '.join(ERRORS[1:])}, got '{error}'")
    residual = reconstruction - image if error == "dark" else image - reconstruction
    residual = residual.abs() if error == "absolute" else residual
    return residual if fluid_below is None else residual * (image >= fluid_below)


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


def match_tissues(reconstruction: torch.Tensor, image: torch.Tensor, brain_mask: torch.Tensor) -> torch.Tensor:
    """Give each intensity of a reconstruction the one that the image usually has there: contrast is no disease.

    A scanner's contrast between the tissues is no straight line, and a lesion has little part in a median: the brain is
    cut into twenty parts of equal size by the reconstruction, and their medians are joined by a line that never falls.

    Args:
        reconstruction: any shape.
        image: the same shape.
        brain_mask: the same shape, 0/1, not empty.

    Returns:
        the reconstruction in the intensities of the image; beyond the outermost medians it is shifted alone.
    """
    brain = brain_mask > 0
    drawn, seen = (values[brain].double().cpu().numpy() for values in (reconstruction, image))
    parts = np.array_split(np.argsort(drawn, kind="stable"), min(_PARTS, len(drawn)))
    x = np.array([np.median(drawn[part]) for part in parts])
    y = np.maximum.accumulate([np.median(seen[part]) for part in parts])
    values = reconstruction.double().cpu().numpy()
    matched = np.interp(values, x, y) + np.minimum(values - x[0], 0) + np.maximum(values - x[-1], 0)
    return torch.from_numpy(matched).to(reconstruction)


def smooth_in_brain(values: torch.Tensor, brain_mask: torch.Tensor, sigma: Sequence[float]) -> torch.Tensor:
    """Smooth by a Gaussian that sees the brain only; 0 outside.

    Args:
        values: ``B 1 *S``, 0 outside the brain.
        brain_mask: the same shape, 0/1.
        sigma: in voxels, one per spatial axis; all 0 leave the values as they are.
    """
    if not any(sigma):
        return values * brain_mask
    smooth = GaussianFilter(len(sigma), sigma).to(values.device)
    return smooth(values * brain_mask) / smooth(brain_mask).clamp(min=1e-3) * brain_mask


@dataclass(frozen=True)
class SmoothedResidual:
    """How much a brain departs from its reconstruction, smoothed: errors at edges cancel, those of a lesion do not.

    Attributes:
        error: what counts as abnormal, "bright" or "dark"; what departs to the other side is below 0.
        fluid_below: darker voxels of the image are not counted, see :func:`signed_residual`.
        smoothing_mm: standard deviation of the Gaussian.
        spacing: of the voxels, in mm.

    Raises:
        ValueError: another ``error``, or a smoothing below 0.
    """

    error: str
    fluid_below: float | None
    smoothing_mm: float
    spacing: Sequence[float]

    def __post_init__(self) -> None:
        if self.error not in ERRORS[1:]:
            raise ValueError(f"what counts as a lesion is one of {', '.join(ERRORS[1:])}, got '{self.error}'")
        if not self.smoothing_mm >= 0:
            raise ValueError(f"smoothing_mm is a length, at least 0, got {self.smoothing_mm}")

    def __call__(self, image: torch.Tensor, reconstruction: torch.Tensor, brain_mask: torch.Tensor) -> torch.Tensor:
        """Image, reconstruction in its intensities and brain mask, ``B 1 *S`` each, to ``B 1 *S``, 0 outside it."""
        residual = signed_residual(image, reconstruction, self.error, self.fluid_below)
        return smooth_in_brain(residual, brain_mask, [self.smoothing_mm / step for step in self.spacing])
