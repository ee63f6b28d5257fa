"""Projection of bones along a parallel beam: the path through mineral, the shadows of bone and lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .bone_shapes import LongBone, Nucleus, Points
from .metaphyseal_lesions import Fracture, fractured
from .random_fields import gaussian_field

STEP = 0.5  # mm, sampling along the beam
LENGTH = 60.0  # mm of a long bone above its physis
SPONGIOSA = 18.0  # mm above the physis within one band: where two meet, trabeculae break off
TILTED = 4.0  # mm that a bone at an angle reaches beyond a band across the field
THICKNESS = 0.16  # mm of trabeculae, about that of infants' primary spongiosa; columns towards the physis
CONTRAST = 0.6  # standard deviation of the logarithm of their density
ELONGATION = (1.0, 1.5, 4.5)  # of trabeculae over their thickness: across, along the beam (sampled at `STEP`), up


@dataclass(frozen=True)
class Pose:
    """How the leg lies in the field: `rotation` takes the leg's axes to `(right, along the beam, up)`; mm."""

    rotation: np.ndarray
    centre: tuple[float, float]  # of the tibial physis, right and up of the middle of the field

    def place(self, point: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return where a point of the leg comes to lie: mm right, along the beam and up."""
        return self.rotation @ np.asarray(point) + (self.centre[0], 0.0, self.centre[1])

    def points(self, right: np.ndarray, along: np.ndarray, up: np.ndarray) -> Points:
        """Return the points of the leg at positions in the field, three vectors in mm; each point is `X Y Z`."""
        a, c = right - self.centre[0], up - self.centre[1]
        grid = (a[:, None, None], along[None, :, None], c[None, None, :])
        return tuple(sum(self.rotation[i, j] * grid[i] for i in range(3)).astype(np.float32) for j in range(3))


@dataclass(frozen=True)
class Projection:
    """Path of mineral along the beam in mm, and what is crossed anywhere along it; all `X Y`."""

    mineral: np.ndarray
    bone: np.ndarray
    lesion: np.ndarray


def _boxes(bone: LongBone | Nucleus, pose: Pose) -> list[tuple[np.ndarray, np.ndarray, bool]]:
    """Return boxes `(low, high)`, mm right, along the beam and up, that cover a bone without overlap, from below.

    A long bone is cut into bands across the field, for its shaft is thinner; true where a band may hold a lesion.
    """
    if isinstance(bone, Nucleus):
        middle, half = pose.place(bone.centre), 1.25 * max(bone.half_axes) + 0.5
        return [(middle - half, middle + half, False)]
    base, boxes = pose.place(bone.physis), []
    for low, high in pairwise((-6.0, SPONGIOSA, 26.0, 34.0, 42.0, LENGTH)):
        heights = np.array([low, high]) / pose.rotation[2, 2]
        ends = [pose.place(np.add(bone.physis, (*bone.axis(max(z, 0.0)), z))) for z in heights]
        reach = bone.reach(low - TILTED) * np.array([1, 1, 0])
        box_low, box_high = np.minimum(*ends) - reach, np.maximum(*ends) + reach
        box_low[2], box_high[2] = base[2] + low, base[2] + high
        boxes.append((box_low, box_high, low < 0))
    return boxes


def project(
    bone: LongBone | Nucleus,
    pose: Pose,
    right: np.ndarray,
    up: np.ndarray,
    rng: np.random.Generator,
    fracture: Fracture | None = None,
) -> Projection:
    """Project one bone onto the field, its spongiosa drawn from `rng`.

    Args:
        right, up: positions of the pixels in mm, ascending and descending.
        fracture: of a long bone.
    """
    shape = (len(right), len(up))
    result = Projection(np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape, bool))
    for low, high, may_break in _boxes(bone, pose):
        part = (slice(*np.searchsorted(right, (low[0], high[0]))), slice(*np.searchsorted(-up, (-high[2], -low[2]))))
        along = STEP * np.arange(np.floor(low[1] / STEP), np.ceil(high[1] / STEP))  # bands meet without a seam
        box = (right[part[0]], along, up[part[1]])
        texture = _texture(rng, box, low, high)
        points = pose.points(*box)
        if isinstance(bone, Nucleus):
            mineral = bone.mineral(points, texture, STEP)
        elif fracture is not None and may_break:
            broken = fractured(bone, bone.surface(points), points, texture, STEP, fracture)
            mineral = broken.mineral
            result.bone[part] = (broken.bone < 0).any(1)
            result.lesion[part] = (broken.lesion < 0).any(1)
        else:
            surface = bone.surface(points)
            mineral = bone.mineral(surface, texture, STEP)
            result.bone[part] = (surface.distance < 0).any(1)
        result.mineral[part] = STEP * mineral.sum(1)
    return result


def _texture(rng: np.random.Generator, box: Points, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the relative density of spongiosa in a box, mean 1: trabeculae along the bone."""
    shrunk = [axis / ratio for axis, ratio in zip(box, ELONGATION, strict=True)]
    bounds = list(zip(low / ELONGATION, high / ELONGATION, strict=True))
    trabeculae = gaussian_field(rng, shrunk, THICKNESS, bounds)
    return np.exp(CONTRAST * trabeculae - 0.5 * CONTRAST**2)
