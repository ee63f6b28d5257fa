"""Image formation of a digital radiograph: attenuation, scatter, blur, quantum noise and display.

The beam is taken as parallel (a field of 6 cm at 1 m spreads by less than 2 degrees) and mono-energetic, at 40 keV, our
choice for the 50 to 60 kV that infant limbs are taken at. Images are `X Y`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Linear attenuation in 1/mm at 40 keV: NIST mass attenuation (cm^2/g, ICRU-44 tissues) times density (g/cm^3) / 10.
ATTENUATION = {
    "bone": 0.6655 * 1.92 / 10,  # cortical
    "soft": 0.2688 * 1.06 / 10,  # ICRU-44 soft tissue: here muscle, skin, marrow and cartilage
    "fat": 0.2396 * 0.95 / 10,  # adipose tissue
}
SCATTER_WIDTH = 12.0  # mm, standard deviation of the kernel
EQUALISED_WIDTH = 9.0  # mm, what is larger is taken as background by the processing
PENUMBRA = 0.4  # mm, of the collimator


@dataclass(frozen=True)
class Technique:
    """How a radiograph was taken and processed.

    `quanta` arrive per mm^2 where nothing is in the way; `scatter` is the fraction of the signal; `blur_mm` the
    standard deviation of focal spot and detector together; `window` how far, in log attenuation, brightness spans below
    and above that of soft tissue; `equalised` the share of the large-scale background taken away. `margins` (left,
    right, top) are widths in mm of collimated borders within the field, 0 for none, at an angle of `skew_degrees`.
    """

    quanta: float
    scatter: float
    blur_mm: float
    window: tuple[float, float]
    equalised: float
    margins: tuple[float, float, float]
    skew_degrees: float


def draw_technique(rng: np.random.Generator) -> Technique:
    """Draw a technique; the ranges are our choice, doses about those of digital radiographs of infants' limbs."""
    margins = np.where(rng.uniform(size=3) < 0.15, rng.uniform(1.0, (5.0, 5.0, 8.0)), 0.0)
    return Technique(
        quanta=float(np.exp(rng.uniform(np.log(5e4), np.log(4e5)))),
        scatter=rng.uniform(0.15, 0.3),
        blur_mm=rng.uniform(0.12, 0.2),
        window=(rng.uniform(0.45, 0.7), rng.uniform(0.5, 0.75)),
        equalised=rng.uniform(0.2, 0.6),
        margins=tuple(margins.tolist()),
        skew_degrees=rng.normal(0, 1.0),
    )


def transmission(paths: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the primary fraction exp(-sum of attenuation times path) (Beer-Lambert) of paths in mm by tissue."""
    return np.exp(-sum(ATTENUATION[tissue] * path for tissue, path in paths.items()))


def add_scatter(primary: np.ndarray, fraction: float, pixel_mm: float) -> np.ndarray:
    """Turn a `fraction` of the signal into scatter, spread by a broad Gaussian; the sum stays the same."""
    scatter = ndimage.gaussian_filter(primary, SCATTER_WIDTH / pixel_mm, mode="reflect")
    return (1 - fraction) * primary + fraction * scatter


def blur(image: np.ndarray, sigma_mm: float, pixel_mm: float) -> np.ndarray:
    """Blur by focal spot and detector together: a Gaussian of standard deviation `sigma_mm`."""
    return ndimage.gaussian_filter(image, sigma_mm / pixel_mm, mode="nearest", truncate=5.0)


def bin_pixels(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the means over squares of `factor` pixels; both sizes are multiples of it."""
    width, height = image.shape
    return image.reshape(width // factor, factor, height // factor, factor).mean((1, 3))


def quantum_noise(expected: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return Poisson counts as quantiles, so that one field of noise serves two images that differ in places.

    By the Cornish-Fisher expansion of the Poisson quantile, to within one count where 20 or more are expected.

    Args:
        expected: mean number of quanta, not negative.
        normal: standard normal deviates, of the same shape.
    """
    return np.maximum(np.floor(expected + np.sqrt(expected) * normal + (normal**2 + 2) / 6), 0)


def display(attenuation: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map log attenuation to brightness in [0, 1], dense bright (MONOCHROME2), the ends of the window bent like film.

    The window is `(low, high)`: where the straight part of the curve would begin and end.
    """
    low, high = window
    return 1 / (1 + np.exp(-4 * ((attenuation - low) / (high - low) - 0.5)))


def expose(
    paths: Mapping[str, np.ndarray],
    technique: Technique,
    typical: Mapping[str, np.ndarray],
    fine_mm: float,
    factor: int,
    normal: np.ndarray,
) -> np.ndarray:
    """Return the displayed image, in [0, 1], of a body.

    Args:
        paths: path of the beam in mm by tissue, on a grid finer than the detector's.
        technique: exposure and processing.
        typical: paths through soft tissue alone, which becomes the middle of the display.
        fine_mm: pixel of `paths`.
        factor: fine pixels per pixel of the detector along an axis.
        normal: standard normal deviates per pixel of the detector, the quantum noise.
    """
    pixel_mm = fine_mm * factor
    signal = add_scatter(transmission(paths), technique.scatter, fine_mm)
    signal = bin_pixels(blur(signal, technique.blur_mm, fine_mm), factor)
    open_field = technique.quanta * pixel_mm**2
    counts = quantum_noise(open_field * signal, normal)
    attenuation = -np.log(np.maximum(counts, 1) / open_field)
    middle = -float(np.log(transmission(typical)).mean())
    background = ndimage.gaussian_filter(attenuation, EQUALISED_WIDTH / pixel_mm, mode="nearest")
    attenuation = attenuation - technique.equalised * (background - middle)
    return display(attenuation, (middle - technique.window[0], middle + technique.window[1]))


def shutter(technique: Technique, field_mm: float, right: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return 1 in the open field and 0 in the borders, which a display shows black, at positions in mm; `X Y`.

    The field is a square of `field_mm` about the origin.
    """
    skew, half = np.deg2rad(technique.skew_degrees), field_mm / 2
    x = right[:, None] * np.cos(skew) + up[None] * np.sin(skew)
    y = up[None] * np.cos(skew) - right[:, None] * np.sin(skew)
    opening = np.ones(x.shape)
    for position, margin in zip((-x, x, y), technique.margins, strict=True):
        if margin > 0:
            opening *= np.clip(0.5 - (position - half + margin) / PENUMBRA, 0, 1)
    return opening
