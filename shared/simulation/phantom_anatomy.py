"""Tissue fractions of a new anatomy per seed: the MNI152 template, resized, aged and deformed, with own folds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from nilearn import datasets
from scipy import ndimage
from scipy.spatial.transform import Rotation

from .random_fields import gaussian_field

# Field of view of the MNI152 space in mm (X, Y, Z), the one of FSL and SPM: 182 x 218 x 182 voxels at 1 mm.
FIELD_OF_VIEW = ((-90.0, 91.0), (-126.0, 91.0), (-72.0, 109.0))
# Template intensity of pure tissue: its medians where the grey or the white map exceed 0.9, or both are near 0.
TEMPLATE_INTENSITY = {"csf": 0.27, "grey": 0.65, "white": 0.87}
VENTRICLES_CENTRE, VENTRICLES_EXTENT = (0.0, -12.0, 14.0), (17.0, 36.0, 17.0)  # mm


@dataclass(frozen=True)
class Anatomy:
    """Tissue maps of one subject on one grid, all `X Y Z`.

    `fractions` maps csf, grey, deep_grey, white and blood to float32 in [0, 1], summing to 1 (CSF fills the outside);
    `brain_mask` is bool; `myelin` is float32, positive where the template is brighter than its tissue fractions say
    (deep nuclei, brain stem, thin cortex); `depth` is the distance below the surface of the brain with its outer CSF,
    of which an extraction leaves more or less, in mm.
    """

    fractions: dict[str, np.ndarray]
    brain_mask: np.ndarray
    myelin: np.ndarray
    depth: np.ndarray


def grid_coordinates(spacing: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the positions in mm along each axis of the RAS+ grid over the field of view, and its 4 x 4 affine."""
    coordinates = [np.arange(low, high + 1e-6, spacing) for low, high in FIELD_OF_VIEW]
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [low for low, _ in FIELD_OF_VIEW]
    return coordinates, affine


@cache
def _template() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the maps grey, white, intensity and depth of the template at 1 mm, and world-to-voxel matrix."""
    grey = datasets.load_mni152_gm_template(resolution=1)
    maps = {
        "grey": grey.get_fdata(dtype=np.float32),
        "white": datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32),
        "intensity": datasets.load_mni152_template(resolution=1).get_fdata(dtype=np.float32),
    }
    mask = datasets.load_mni152_brain_mask(resolution=1).get_fdata(dtype=np.float32) > 0
    maps["depth"] = ndimage.distance_transform_edt(mask).astype(np.float32)
    return maps, np.linalg.inv(grey.affine)


def _template_positions(
    rng: np.random.Generator, coordinates: list[np.ndarray], size: float, atrophy: float
) -> list[np.ndarray]:
    """Return where in the template (mm) each voxel of the subject comes from: affine, ventricles, displacement."""
    rotation = Rotation.from_euler("xyz", rng.normal(0, 2.0, 3), degrees=True).as_matrix()
    matrix = (rotation @ np.diag(1 / (size * rng.normal(1.0, 0.02, 3)))).astype(np.float32)
    matrix[0, 1:] += rng.normal(0, 0.01, 2)
    matrix[1, 2] += rng.normal(0, 0.01)
    shift = rng.normal(0, 1.0, 3).astype(np.float32)
    # 1 / (1 - swelling) is the magnification at the middle of the ventricles.
    swelling = np.clip(-0.1 + 0.8 * atrophy + rng.normal(0, 0.15), -0.6, 0.65)

    x, y, z = np.meshgrid(*[c.astype(np.float32) for c in coordinates], indexing="ij", sparse=True)
    positions = [matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] * z + shift[i] for i in range(3)]
    radius = sum(((p - c) / e) ** 2 for p, c, e in zip(positions, VENTRICLES_CENTRE, VENTRICLES_EXTENT, strict=True))
    pull = swelling * np.exp(-0.5 * radius)
    for axis, share in ((0, 1.0), (1, 0.3), (2, 0.8)):
        positions[axis] = positions[axis] - share * pull * (positions[axis] - VENTRICLES_CENTRE[axis])
    for scale, amplitude in ((22.0, 1.9), (7.0, 1.3)):
        for axis in range(3):
            positions[axis] = positions[axis] + amplitude * gaussian_field(rng, coordinates, scale, FIELD_OF_VIEW)
    return positions


def _folds(rng: np.random.Generator, positions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return a field of variance 1 whose zero set is the new sulci, sheets that stand on the surface, and its weight.

    The field varies more slowly along the radius than across it; the weight in [0, 1] is 0 near the centre of the
    projection, where it cannot.
    """
    noise = ndimage.gaussian_filter(rng.standard_normal((128, 128, 128), dtype=np.float32), 1.6, mode="wrap")
    noise /= noise.std()
    offset = [p - c for p, c in zip(positions, (0.0, -18.0, 5.0), strict=True)]
    radius = np.sqrt(sum(o * o for o in offset)) + 1e-3
    stretch = (0.4 + 0.6 * 70.0 / np.maximum(radius, 20.0)) / 2.0  # lattice of 2 mm at the brain surface
    folds = ndimage.map_coordinates(noise, [o * stretch + 64 for o in offset], order=1, mode="grid-wrap")
    return folds, np.clip((radius - 30) / 15, 0, 1)


def _largest_component(mask: np.ndarray) -> np.ndarray:
    components, _ = ndimage.label(mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()


def make_anatomy(rng: np.random.Generator, coordinates: list[np.ndarray]) -> Anatomy:
    """Draw one anatomy on a grid (positions in mm per axis); independent of the spacing up to sampling.

    People differ in the size of the brain (1.1 to 1.9 l), in atrophy (none to that of old age: wide sulci and
    ventricles) and in how much of the outer CSF their extraction leaves.
    """
    size, atrophy = np.cbrt(rng.uniform(0.64, 1.03)), rng.uniform() ** 2
    maps, to_voxel = _template()
    positions = _template_positions(rng, coordinates, size, atrophy)
    voxels = [p + np.float32(to_voxel[i, 3]) for i, p in enumerate(positions)]  # the template is RAS at 1 mm
    sampled = {k: ndimage.map_coordinates(m, voxels, order=1, mode="constant") for k, m in maps.items()}

    # The border of the extraction in mm below the template's, which leaves more CSF than most; rough, and off by parts.
    border = rng.uniform(0.5, 3.0) + 0.8 * gaussian_field(rng, coordinates, 12.0, FIELD_OF_VIEW)
    border += 0.4 * gaussian_field(rng, coordinates, 2.5, FIELD_OF_VIEW)
    brain_mask = _largest_component(sampled["depth"] > np.maximum(border, 0.5))
    # Sulci too narrow for the tissue maps still darken the template.
    darkening = (TEMPLATE_INTENSITY["grey"] - sampled["intensity"]) / (
        TEMPLATE_INTENSITY["grey"] - TEMPLATE_INTENSITY["csf"]
    )
    grey, white = sampled["grey"], sampled["white"]
    csf = np.clip(np.maximum(1 - grey - white, 1.2 * darkening), 0, 1)
    total = csf + grey + white
    csf, grey, white = csf / total, grey / total, white / total
    expected = sum(f * TEMPLATE_INTENSITY[k] for k, f in (("csf", csf), ("grey", grey), ("white", white)))
    myelin = np.where(brain_mask, sampled["intensity"] - expected, 0).astype(np.float32)

    # The template is a mean of many brains, blurred where they differ. A subject is one draw of it: folds added to
    # the log-odds, which are then sharpened, and both only in the cortex, for the deep nuclei are truly mixed.
    depth = sampled["depth"]
    cortical = np.exp(-((depth / 22.0) ** 4)).astype(np.float32)
    cerebellum = (positions[2] < -14) & (positions[1] < -38)
    folds, off_centre = _folds(rng, positions)
    folds = np.abs(folds)
    strength = cortical * off_centre * np.where(cerebellum, 0.3, 1.0).astype(np.float32)
    sulcus = np.exp(-((folds / (0.25 + 0.45 * atrophy)) ** 2)) * np.exp(-((depth / 16.0) ** 4)) * (1 - 0.7 * white)
    bank = np.exp(-((folds / 0.5) ** 2))
    blade = np.clip(folds - 0.6, -0.6, 0.9) * np.clip(depth / 3.0 - 1.1, 0, 1)
    surface = np.clip(1 - depth / (3.0 + 4.5 * atrophy), 0, 1)
    sharpness = 1 + 0.8 * cortical
    logits = {
        "csf": np.log(csf + 0.07) * sharpness + strength * (5.0 + 8.0 * atrophy) * sulcus + 4.0 * surface,
        "grey": np.log(grey + 0.07) * sharpness + strength * 2.2 * bank,
        "white": np.log(white + 0.07) * sharpness + strength * 5.0 * blade + 0.8 * cerebellum + 0.5 * cortical,
    }
    odds = {k: np.exp(v) for k, v in logits.items()}
    total = sum(odds.values())
    fractions = {k: (v / total).astype(np.float32) for k, v in odds.items()}

    # Vessels run where the zero sets of two fields cross, in sulci and on the surface.
    first, second = (gaussian_field(rng, coordinates, 6.0, FIELD_OF_VIEW) for _ in range(2))
    vessel = np.exp(-(first**2 + second**2) / 0.17**2) * (1 - fractions["white"]) * np.exp(-((depth / 12.0) ** 2))
    outside = ~brain_mask
    for key, fraction in fractions.items():
        fractions[key] = np.where(outside, float(key == "csf"), fraction * (1 - vessel)).astype(np.float32)
    fractions["blood"] = np.where(outside, 0, vessel).astype(np.float32)
    fractions["deep_grey"] = fractions["grey"] * (1 - cortical)
    fractions["grey"] = fractions["grey"] * cortical
    return Anatomy(fractions, brain_mask, myelin, size * depth)
