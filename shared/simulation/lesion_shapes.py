"""Geometry of simulated lesions: where, how large and how ragged, as soft fractions of lesion tissue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from .phantom_anatomy import FIELD_OF_VIEW, Anatomy
from .random_fields import gaussian_field

MIDLINE_GAP = 8.0  # mm that the centre of a lesion keeps from the midline plane


def _distance(coordinates: list[np.ndarray], centre: np.ndarray) -> np.ndarray:
    """Return the distance in mm of every voxel from a point."""
    grid = np.meshgrid(*[c.astype(np.float32) for c in coordinates], indexing="ij", sparse=True)
    return np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre.tolist(), strict=True)))


def _soft(signed_distance: np.ndarray, edge: float) -> np.ndarray:
    """Return 1 deep inside (negative distance), 0 outside, with a logistic edge of `edge` mm."""
    return 1 / (1 + np.exp(np.clip(signed_distance / edge, -30, 30)))


def _choose_centre(rng: np.random.Generator, coordinates: list[np.ndarray], weight: np.ndarray) -> np.ndarray:
    """Draw a voxel with probability proportional to a weight `X Y Z` and return its position in mm."""
    cumulative = np.cumsum(weight, dtype=np.float64)
    index = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1]), side="right")
    voxel = np.unravel_index(min(int(index), weight.size - 1), weight.shape)
    return np.array([c[v] for c, v in zip(coordinates, voxel, strict=True)])


def _off_midline(coordinates: list[np.ndarray]) -> np.ndarray:
    return (np.abs(coordinates[0]) > MIDLINE_GAP)[:, None, None]


def tumour(rng: np.random.Generator, coordinates: list[np.ndarray], anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Draw a glioma: necrosis within an enhancing rim within a solid core, oedema spreading along white matter."""
    white = anatomy.fractions["white"]
    # Supratentorial: above the tentorium (z = -10 mm) and not so shallow that most of it would lie outside.
    supratentorial = (coordinates[2] > -10)[None, None]
    weight = white * anatomy.brain_mask * (anatomy.depth > 10) * supratentorial * _off_midline(coordinates)
    centre = _choose_centre(rng, coordinates, weight)
    size = rng.uniform(9.0, 18.0)
    raggedness = gaussian_field(rng, coordinates, 7.0, FIELD_OF_VIEW)
    fine = gaussian_field(rng, coordinates, 3.5, FIELD_OF_VIEW)
    radius = _distance(coordinates, centre) + 0.16 * size * raggedness + 0.7 * fine
    # Oedema reaches further in white matter, hardly into cortex, and stops at CSF.
    reach = rng.uniform(5.0, 13.0) * (ndimage.gaussian_filter(white, 1.0) - 0.35)
    oedema = _soft(radius - size - reach + 0.15 * size * fine, 1.0)
    core, rim_outer = (_soft(radius - size * share, 0.6) for share in (1.0, 0.86))
    necrosis = np.minimum(_soft(radius - 0.62 * size + 1.5 * raggedness, 0.6), rim_outer)  # ragged, within the rim
    tissue = 1 - np.clip(anatomy.fractions["csf"] * 1.2, 0, 1)
    return {
        "oedema": np.clip(oedema - core, 0, 1) * tissue,
        "tumour_core": np.clip(core - rim_outer, 0, 1),
        "tumour_rim": np.clip(rim_outer - necrosis, 0, 1),
        "necrosis": necrosis,
    }


def stroke(rng: np.random.Generator, coordinates: list[np.ndarray], anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Draw an infarct: a wedge with its base on the cortex and its tip in the depth, ragged at its edge."""
    base_band = (anatomy.depth > 4) & (anatomy.depth < 14) & anatomy.brain_mask
    lateral = (np.abs(coordinates[0]) > 25)[:, None, None] & (coordinates[2] > -15)[None, None]
    centre = _choose_centre(rng, coordinates, (base_band & lateral).astype(np.float32))
    tip = np.array([0.35 * centre[0], 0.5 * centre[1] - 6, 0.5 * centre[2] + 8])
    axis = (centre - tip) / np.linalg.norm(centre - tip)
    length, half_angle = rng.uniform(28.0, 50.0), np.deg2rad(rng.uniform(22.0, 38.0))
    apex = centre - axis * length * 0.75
    grid = np.meshgrid(*coordinates, indexing="ij", sparse=True)
    along = sum((g - a) * u for g, a, u in zip(grid, apex, axis, strict=True))
    across = np.sqrt(np.maximum(_distance(coordinates, apex) ** 2 - along**2, 0))
    wedge = np.maximum(across - np.tan(half_angle) * along, np.maximum(-along, along - 1.25 * length))
    ragged = 2.5 * gaussian_field(rng, coordinates, 6.0, FIELD_OF_VIEW)
    ragged += 1.2 * gaussian_field(rng, coordinates, 3.0, FIELD_OF_VIEW)
    tissue = 1 - np.clip(anatomy.fractions["csf"], 0, 1)
    return {"infarct": _soft(wedge + ragged, 0.9) * tissue}


def ms(rng: np.random.Generator, coordinates: list[np.ndarray], anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Draw 8 to 25 plaques of multiple sclerosis: periventricular ovoids pointing away from the ventricle."""
    white = anatomy.fractions["white"]
    spacing = float(coordinates[0][1] - coordinates[0][0])
    ventricle = (anatomy.fractions["csf"] > 0.5) & (anatomy.depth > 25) & anatomy.brain_mask
    away = ndimage.distance_transform_edt(~ventricle, sampling=spacing) if ventricle.any() else anatomy.depth
    deep_white = white * anatomy.brain_mask * (anatomy.depth > 6) * _off_midline(coordinates)
    periventricular = deep_white * np.exp(-((away / 7.0) ** 2)) * (coordinates[2] > 0)[None, None]
    ragged = gaussian_field(rng, coordinates, 3.0, FIELD_OF_VIEW)
    plaques = np.zeros(white.shape, np.float32)
    for number in range(int(rng.integers(8, 26))):
        # One plaque in five is juxtacortical or deep in the white matter.
        centre = _choose_centre(rng, coordinates, deep_white if number % 5 == 4 else periventricular)
        short = rng.uniform(2.2, 4.5)
        lengths = short * np.array([rng.uniform(1.3, 2.2), 1.0, rng.uniform(1.0, 1.5)])
        box = tuple(
            slice(*np.searchsorted(axis, (c - 2 * r - 4, c + 2 * r + 4)))
            for axis, c, r in zip(coordinates, centre, lengths, strict=True)
        )
        local = [axis[part] / r for axis, part, r in zip(coordinates, box, lengths, strict=True)]
        radius = _distance(local, centre / lengths)
        plaques[box] = np.maximum(plaques[box], _soft((radius - 1) * short + 0.6 * ragged[box], 0.5))
    return {"plaque": plaques * np.clip(1.3 * white + 0.3 * anatomy.fractions["deep_grey"], 0, 1)}


SHAPES: dict[str, Callable[..., dict[str, np.ndarray]]] = {"tumour": tumour, "stroke": stroke, "ms": ms}
