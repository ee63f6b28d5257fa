"""Classic metaphyseal lesions: a disc-like fracture through the immature metaphysis, next to the physis.

The fracture runs close to the zone of provisional calcification in the middle and undercuts a thicker rim with its
collar of subperiosteal bone (Kleinman, Marks and Blackbourne, AJR 1986;146:895). A part of the rim looks like a corner
fracture; the whole disc like a bucket handle where it is displaced or seen at an angle. The sizes are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bone_shapes import LongBone, Points, Surface, Waves, occupancy

KINDS = ("corner", "bucket_handle")
HEALING_SHARE = 0.25  # of the lesions
CLOSED = 0.5  # width of the gap at the inner end of the sheet over that at the outline


@dataclass(frozen=True)
class Fracture:
    """A fracture sheet that cuts the fragment next to the physis off a long bone, and how the fragment has moved.

    `direction` is the unit vector `(x, y)` to the middle of the fragment, which begins at `inner` along it, in half
    widths (-1 and below: the whole disc). A corner fracture rises from 0 there to `rim` at the outline; a bucket handle
    is a disc, `middle` high at its centre and `rim` at the outline. `gap` is the width of the sheet at the outline, in
    the mean; inside it falls to `CLOSED` of that, and `opening` varies it. Of the mineral in the gap `left` remains.
    The fragment moves distally by `shift`, and by `tilt` more per half width along `direction`. Lengths in mm. When
    `healing`, the edge of the shaft is sclerotic and new bone lies beside the collar.
    """

    kind: str
    direction: tuple[float, float]
    inner: float
    middle: float
    rim: float
    gap: float
    left: float
    shift: float
    tilt: float
    healing: bool
    ragged: Waves  # of the position over the half widths, mm
    opening: Waves  # of the same, relative to the gap

    def sheet(self, surface: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the lower face of the sheet in mm above the physis, its width and the fragment's way distally in mm.

        The width is 0 where the bone is whole.
        """
        u, v = surface.across
        along = u * self.direction[0] + v * self.direction[1] - self.inner
        if self.kind == "corner":
            outwards = along / (1 - self.inner)
            face = self.rim * outwards
        else:
            outwards = np.minimum(u * u + v * v, 1.4)
            face = self.middle + (self.rim - self.middle) * outwards
        opened = np.clip(5 * along, 0, 1)
        way = opened * (self.shift + self.tilt * np.clip(along, 0, 2.2))
        wide = (CLOSED + (1 - CLOSED) * np.clip(outwards, 0, 1)) * np.clip(1 + self.opening(u, v), 0.3, 1.7)
        return face + opened * self.ragged(u, v), opened * self.gap * wide, way


def draw_fracture(rng: np.random.Generator, kind: str) -> Fracture:
    """Draw a fracture of a kind, "corner" or "bucket_handle"; the same numbers are drawn for both."""
    angle = rng.uniform(-0.35, 0.35) + np.pi * rng.integers(2)  # medial or lateral, where the view shows it
    direction = (float(np.cos(angle)), float(np.sin(angle)))
    share, height, tilt, middle, gap, left, shift, healing = rng.uniform(0, 1, 8).tolist()
    ragged, opening = Waves.draw(rng, 6, 0.2, 1.2, 0.16), Waves.draw(rng, 6, 0.3, 2.0, 0.3)
    heals = healing < HEALING_SHARE
    left = 0.2 * left + 0.2 * heals
    if kind == "corner":
        inner, middle, rim, gap = 0.25 + 0.35 * share, 0.0, 2.2 + 2.0 * height, 0.65 + 0.5 * gap
        shift, tilt = 0.1 + 0.4 * shift, 0.8 * tilt
    else:
        inner, middle, rim, gap = -1.4 + 1.2 * share, 0.7 + 0.6 * middle, 1.5 + 1.5 * height, 0.45 + 0.5 * gap
        shift, tilt = 0.05 + 0.25 * shift, 0.25 * tilt
    return Fracture(kind, direction, inner, middle, rim, gap, left, shift, tilt, heals, ragged, opening)


@dataclass(frozen=True)
class FracturedBone:
    """Mineral and signed distances (mm, negative inside) at points: of the bone, and of fragment with gap."""

    mineral: np.ndarray
    bone: np.ndarray
    lesion: np.ndarray


def fractured(
    bone: LongBone, surface: Surface, points: Points, texture: np.ndarray, edge: float, fracture: Fracture
) -> FracturedBone:
    """Break a bone at points (mm) whose place in it is `surface`; the arguments are those of `LongBone.mineral`."""
    face, width, way = fracture.sheet(surface)
    below = surface.height - face  # of the lower face of the sheet
    cut = occupancy(below - width, edge) * (width > 0)
    x, y, z = points
    origin = bone.surface((x, y, z + way))  # where what is here now was before
    origin_face, origin_width, _ = fracture.sheet(origin)
    fragment = occupancy(origin.height - origin_face, edge) * (origin_width > 0)

    whole = bone.mineral(surface, texture, edge)
    remaining = whole * (1 - cut) + bone.mineral(origin, texture, edge) * fragment
    in_gap = np.clip(cut - fragment, 0, 1)
    mineral = remaining + fracture.left * whole * in_gap
    if fracture.healing:
        mineral = mineral + _healing(surface, below - width, np.minimum(width / (CLOSED * fracture.gap), 1), edge)
    piece = np.maximum(origin.distance, origin.height - origin_face)
    piece = np.where(origin_width > 0, piece, np.inf)
    gap = np.where(width > 0, np.maximum(surface.distance, below - width), np.inf)
    return FracturedBone(np.minimum(mineral, 1), np.minimum(surface.distance, piece), np.minimum(piece, gap))


def _healing(surface: Surface, below: np.ndarray, opened: np.ndarray, edge: float) -> np.ndarray:
    """Return the mineral of a sclerotic band above the sheet, and of periosteal new bone beside the collar over it."""
    band = occupancy(np.abs(below - 0.6) - 0.6, edge) * occupancy(surface.distance, edge)
    sleeve = occupancy(np.abs(surface.side - 0.7) - 0.25, edge)
    length = occupancy(np.abs(surface.height - 6) - 4, 3.0)
    return opened * (0.12 * band + 0.2 * sleeve * length)
