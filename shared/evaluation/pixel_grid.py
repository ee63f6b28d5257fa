"""Do generated images bear a grid of 2 x 2 pixels? A network that folds pixels into channels leaves one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .detection import detection_intervals
from .statistics import Interval


def grid_strength(images: np.ndarray) -> np.ndarray:
    """How much of the finest detail repeats in squares of 2 x 2 pixels.

    The detail is a pixel less the mean of its 3 x 3; it is averaged at each of the four places in such squares. The
    sign of the grid may differ from image to image, so that the spread of the four means counts, and detail of noise
    alone has next to none of it, whatever its strength.

    Args:
        images: `N X Y`, X and Y at least 4; the outermost pixels, which have no full neighbourhood, are left out.

    Returns:
        `N`, standard deviation of the four means over that of the detail: 1 where all detail is a grid, about the
        square root of 3 over the number of pixels where it is noise, 0 without any detail.
    """
    images = np.asarray(images, np.float64)
    detail = (images - ndimage.uniform_filter(images, size=(0, 3, 3)))[:, 1:-1, 1:-1]
    means = [detail[:, x::2, y::2].mean(axis=(1, 2)) for x in (0, 1) for y in (0, 1)]
    spread, whole = np.std(means, axis=0), detail.std(axis=(1, 2))
    return np.divide(spread, whole, out=np.zeros(len(images)), where=whole > 0)


def pixel_grid_auc(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> Interval:
    """AUC with which `grid_strength` tells generated from real images: 0.5 where it cannot, 1 where all bear a grid.

    Args:
        real: `N X Y`, that came to their pixels as the images did which the generator was trained on.
        generated: `M X Y`.
        seed: of the bootstrap.
    """
    strength = np.concatenate([grid_strength(real), grid_strength(generated)])
    return detection_intervals(strength, np.arange(len(strength)) >= len(real), seed=seed)["auroc"]
