"""Do generated images bear a grid of 2 x 2 pixels? A network that folds pixels into channels leaves one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .real_or_generated import real_or_generated_auc
from .statistics import Interval


def phase_means(images: np.ndarray) -> np.ndarray:
    """Mean of the high-pass (a pixel less the mean of its 3 x 3) at each of the four places in squares of 2 x 2 pixels.

    Args:
        images: `N X Y`, X and Y at least 4; the outermost pixels, which have no full neighbourhood, are left out.

    Returns:
        `N 4`, in the order (even, even), (even, odd), (odd, even), (odd, odd) of X and Y; for images without a grid
        they differ by noise alone.
    """
    images = np.asarray(images, np.float64)
    detail = images - ndimage.uniform_filter(images, size=(1, 3, 3))
    starts = [(x, y) for x in (2, 1) for y in (2, 1)]  # of 0 and 1, the border left out
    return np.stack([detail[:, x:-1:2, y:-1:2].mean(axis=(1, 2)) for x, y in starts], axis=1)


def pixel_grid_auc(
    real: np.ndarray, generated: np.ndarray, permutations: int = 200, seed: int = 0
) -> tuple[float, Interval]:
    """AUC with which a linear discriminant of `phase_means` tells generated from real images, beside chance.

    Args:
        real: `N X Y`, at least 5; images that came to their grid of pixels as the generator's training images did.
        generated: `M X Y`, at least 5.
        permutations: as in `real_or_generated_auc`, whose results these are; so are the errors.
        seed: of folds and permutations.
    """
    return real_or_generated_auc(phase_means(real), phase_means(generated), permutations=permutations, seed=seed)
