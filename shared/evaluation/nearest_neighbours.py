"""Does a generator remember? The nearest training image of each generated one, against that of held-out images.

A generator that has learned the law of the images comes as near to the training images as images do that it never saw;
one that repeats them comes nearer. The held-out images must be of other patients and prepared alike.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist

from .statistics import Interval, percentile_interval


def blurred_pixels(images: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """The pixels of slightly blurred images as vectors, so that noise and half a pixel of shift count for little.

    Args:
        images: `N C *S`.
        sigma: standard deviation of the Gaussian, in pixels.

    Returns:
        `N D`, in the dtype of the images.
    """
    return ndimage.gaussian_filter(images, sigma, axes=range(2, images.ndim)).reshape(len(images), -1)


def nearest_neighbours(queries: np.ndarray, training: np.ndarray, block: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training vector of each query, by the Euclidean distance.

    Args:
        queries: `N D`, `blurred_pixels` or the features of a network; of generated or of held-out images.
        training: `M D`, of the images the generator was trained on.
        block: vectors of each set that are compared at a time, which bounds the memory.

    Returns:
        distances (`N`, float64, in the unit of the vectors) and indices into training (`N`, int, the first of equals).

    Raises:
        ValueError: the sets are no matrices of equal width, one is empty, or a value is not finite.
    """
    shapes = np.shape(queries), np.shape(training)
    if any(len(shape) != 2 or not shape[0] for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(f"queries and training must be matrices of one width, a row per image, got shapes {shapes}")
    if not (np.isfinite(queries).all() and np.isfinite(training).all()):
        raise ValueError("queries and training must be finite; leave out images with NaN or infinite pixels")
    distances, indices = np.full(len(queries), np.inf), np.zeros(len(queries), dtype=np.int64)
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        for first in range(0, len(training), block):
            of_block = cdist(queries[rows], training[first : first + block])
            nearest, at = of_block.min(axis=1), of_block.argmin(axis=1)
            is_nearer = nearest < distances[rows]
            distances[rows] = np.where(is_nearer, nearest, distances[rows])
            indices[rows] = np.where(is_nearer, first + at, indices[rows])
    return distances, indices


def memorisation(
    generated: np.ndarray, held_out: np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Compare the distances to the nearest training image of generated and of held-out images.

    Both sets are resampled, each on its own; the training images stay as they are.

    Args:
        generated: `N`, distances by `nearest_neighbours` of generated images.
        held_out: `M`, those of real images that the generator was not trained on.
        confidence, resamples, seed: as in `statistics.bootstrap_interval`.

    Returns:
        (estimate, low, high) of median_ratio, the median distance of generated over that of held-out images: about 1
        where nothing is memorised, towards 0 where all is; and of near_share, the part of the generated images nearer
        than the 5th percentile of the held-out ones: about 0.05, and towards 1.

    Raises:
        ValueError: the distances are not one-dimensional, one set is empty, a distance is negative or not finite, half
            of the held-out images are training images, or confidence is not in (0, 1).
    """
    generated, held_out = np.asarray(generated, dtype=np.float64), np.asarray(held_out, dtype=np.float64)
    if any(distances.ndim != 1 or not distances.size for distances in (generated, held_out)):
        shapes = f"{generated.shape} and {held_out.shape}"
        raise ValueError(f"generated and held_out must be one-dimensional and not empty, got shapes {shapes}")
    if not all((np.isfinite(distances) & (distances >= 0)).all() for distances in (generated, held_out)):
        raise ValueError("distances must be finite and at least 0")
    if np.median(held_out) == 0:
        raise ValueError("half of the held-out images are copies of training images; hold out images of other patients")
    generator = np.random.default_rng(seed)
    drawn = [x[generator.integers(x.size, size=(resamples, x.size))] for x in (generated, held_out)]
    estimates, replicates = _summary(generated[None], held_out[None]), _summary(*drawn)
    return {key: percentile_interval(estimates[key][0], replicates[key], confidence) for key in estimates}


def _summary(generated: np.ndarray, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Of resamples `R N` and `R M`, `R` values under each key."""
    near = np.quantile(held_out, 0.05, axis=1, keepdims=True)
    return {
        "median_ratio": np.median(generated, axis=1) / np.median(held_out, axis=1),
        "near_share": (generated < near).mean(axis=1),
    }
