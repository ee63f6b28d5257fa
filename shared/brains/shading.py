"""Shading, the slow change of brightness that receiver coils leave: found against the pseudo-healthy brain, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.polynomial.legendre import leggrid3d, legvander3d

from .units import denormalise, normalise, p90_scale

STRONG_SHADING = 0.1
"""Stronger shading is a warning: corrected scans of IXI have .02 to .06, as the scanner gave them .14 to .23."""

_FLUID = 0.25  # of the 90th percentile: what is darker, in the image or its reconstruction, takes no part in the fit
_VOXELS = 20_000  # are enough for a field this smooth: with all of a brain (2 mm) the maps are the same
_VOXELS_PER_DEGREE = 8  # of the brain along an axis, at least, or the fit would treat a few slices one by one
_NOISE = 0.02  # of the log at least, or a fit that is all but exact would call the rest outliers
_ROUNDS, _RIDGE = 20, 1e-4


@dataclass(frozen=True)
class Unshaded:
    """Images whose shading was removed.

    Attributes:
        images: ``C X Y Z``, normalised, the 90th percentile in the brain at 3 again.
        gains: ``C X Y Z``, above 0: what was taken off the brightness; None where nothing was looked for.
        strengths: of the shading of each image: the standard deviation of the log of its gain in the brain.
    """

    images: torch.Tensor
    gains: torch.Tensor | None
    strengths: list[float]

    def shade(self, images: torch.Tensor) -> torch.Tensor:
        """Give other normalised images ``C X Y Z``, such as pseudo-healthy ones, the brightness of before."""
        return images if self.gains is None else normalise(denormalise(images, self.gains), 1.0)

    def facts(self, names: Sequence[str] = ("",)) -> dict[str, Any]:
        """What a report says: ``shading`` (of several, by ``names``) and, where one is strong, ``notes`` on it."""
        strengths = dict(zip(names, self.strengths))
        notes = [
            f"{name}: the scan is shaded".removeprefix(": ")
            + f": its brightness varies by {100 * strength:.0f} % across the brain "
            "(standard deviation); this was removed before the comparison"
            for name, strength in strengths.items()
            if strength > STRONG_SHADING
        ]
        found: dict[str, Any] = {f"shading_{name}".rstrip("_"): strength for name, strength in strengths.items()}
        return {**found, "notes": notes} if notes else found


@dataclass(frozen=True)
class ShadingRemoval:
    """Fit a smooth field to the log of the ratio of image and pseudo-healthy brain, remove it, and repeat.

    N4 knows no more than that a histogram should be sharp, and takes a large lesion for shading. Here the lesion is
    absent from the reference and an outlier of the fit, so it stays.

    Attributes:
        degree: highest total degree of the polynomial in x, y and z; 0: the images are returned as they are.
        cut: voxels further from the fit than this many median deviations do not count (Tukey's biweight).
        passes: at most so many, each with reconstructions of its own.
        tolerance: no further pass where the standard deviation of the log of the last field was below it.
        heads_only: prepared scans are returned as they are, and only those of whole heads lose their shading.

    Raises:
        ValueError: the degree is below 0 or no whole number, or there is no pass.
    """

    degree: int = 3
    cut: float = 3.0
    passes: int = 5
    tolerance: float = 0.01
    heads_only: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.degree, int) or self.degree < 0:
            raise ValueError(f"the degree of the shading is a whole number, at least 0, got {self.degree}")
        if self.passes < 1:
            raise ValueError(f"the shading is removed in at least 1 pass, got {self.passes}")

    def __call__(
        self,
        images: torch.Tensor,
        brain_mask: torch.Tensor,
        reconstruct: Callable[[torch.Tensor], torch.Tensor],
        whole_head: bool = True,
    ) -> Unshaded:
        """Find and remove the shading.

        Args:
            images: ``C X Y Z``, normalised, of one subject; each has a field of its own.
            brain_mask: ``1 X Y Z``, 0/1.
            reconstruct: normalised images ``C X Y Z`` to their normalised pseudo-healthy brains ``C X Y Z``.
            whole_head: the brain was extracted here, from a scan as the scanner gave it.
        """
        brain = np.asarray(brain_mask[0].cpu()) > 0
        if self.degree == 0 or not brain.any() or (self.heads_only and not whole_head):
            return Unshaded(images, None, [])
        foregrounds, unshaded, logs = denormalise(images), images, np.zeros(images.shape)
        for _ in range(self.passes):
            fields = [self._field(*pair, brain) for pair in zip(unshaded, reconstruct(unshaded), strict=True)]
            logs += fields
            gains = torch.as_tensor(np.exp(logs)).to(images)
            levels = [p90_scale(_numbers(x)[brain]) for x in foregrounds / gains]
            gains *= torch.tensor(levels).to(gains).reshape(-1, 1, 1, 1)
            unshaded = normalise(foregrounds, gains)
            if max(field[brain].std() for field in fields) < self.tolerance:
                break
        return Unshaded(unshaded, gains, [float(log[brain].std()) for log in logs])

    def _field(self, image: torch.Tensor, reconstruction: torch.Tensor, brain: np.ndarray) -> np.ndarray:
        """Log of how much brighter an image is than its reconstruction, smooth, ``X Y Z``; mean 0 in the brain."""
        foregrounds = [_numbers(denormalise(x)) for x in (image, reconstruction)]
        values, reference = (x / np.percentile(x[brain], 90) for x in foregrounds)
        voxels = np.argwhere(brain & (np.minimum(values, reference) > _FLUID))
        at = tuple(voxels[:: len(voxels) // _VOXELS + 1].T)
        extents = [np.flatnonzero(brain.any(axis=others))[[0, -1]] for others in ((1, 2), (0, 2), (0, 1))]
        x, y, z = ((2 * np.arange(n) - sum(ends)) / max(np.ptp(ends), 1) for n, ends in zip(brain.shape, extents))
        degrees = [min(self.degree, int(np.ptp(ends)) // _VOXELS_PER_DEGREE) for ends in extents]
        terms = np.indices([degree + 1 for degree in degrees]).sum(axis=0) <= self.degree
        if len(at[0]) < 10 * terms.sum():
            return np.zeros(brain.shape)
        basis = legvander3d(x[at[0]], y[at[1]], z[at[2]], degrees)[:, terms.ravel()]
        coefficients = np.zeros(terms.shape)
        coefficients[terms] = _robust_fit(basis, np.log(values[at] / reference[at]), self.cut)
        field = np.asarray(leggrid3d(x, y, z, coefficients))
        inside = field[brain]
        return (
            np.clip(field, inside.min(), inside.max()) - inside.mean()
        )  # beyond the brain a polynomial may be anything


def _numbers(image: torch.Tensor) -> np.ndarray:
    return image.double().cpu().numpy()


def _robust_fit(basis: np.ndarray, values: np.ndarray, cut: float) -> np.ndarray:
    """Coefficients of ``basis`` (N K) for ``values`` (N): ridge, re-weighted by Tukey's biweight."""
    ridge = np.diag([0.0, *[_RIDGE] * (basis.shape[1] - 1)])  # none on the constant
    weights = np.ones(len(values))
    for _ in range(_ROUNDS):
        weighted = basis * weights[:, None] / weights.sum()
        coefficients = np.linalg.solve(basis.T @ weighted + ridge, weighted.T @ values)
        errors = values - basis @ coefficients
        deviation = np.median(np.abs(errors))
        weights = np.clip(1 - (errors / (cut * max(deviation, _NOISE))) ** 2, 0, None) ** 2
    return coefficients
