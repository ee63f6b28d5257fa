"""Growing bones as implicit functions of points in mm: the end of a long bone at its physis, and nuclei in cartilage.

Points are `(x, y, z)`, arrays that broadcast: x lateral, y along the beam, z proximal. Distances are signed, negative
inside, and right to first order near the surface. Mineral is the volume fraction of cortical bone, in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]

CORNER = 0.5  # mm, how far the edge between the outline and the physis is rounded
RIM_OF_NUCLEUS = 0.5  # mm


def occupancy(distance: np.ndarray, edge: float) -> np.ndarray:
    """Return how much of a cell of `edge` mm lies inside: 1 below `-edge / 2`, 0 above `edge / 2`, linear between.

    Summed over samples `edge` apart along a ray this gives the true path through any face across the ray.
    """
    return np.clip(0.5 - distance / edge, 0, 1)


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves of two variables, the irregularity of a surface; the same at every sampling.

    `numbers` is `K 2`, in radians per unit of the variables; `phases` and `amplitudes` are `K`.
    """

    numbers: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int, shortest: float, longest: float, amplitude: float) -> Waves:
        """Draw `count` waves, the wavelengths log-uniform, with a root mean square of `amplitude` all together."""
        angles, phases = rng.uniform(0, 2 * np.pi, (2, count))
        number = 2 * np.pi / (shortest * (longest / shortest) ** rng.uniform(0, 1, count))
        numbers = number[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return cls(numbers, phases, np.full(count, amplitude * np.sqrt(2 / count)))

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        terms = zip(self.numbers.tolist(), self.phases.tolist(), self.amplitudes.tolist(), strict=True)
        return sum(a * np.cos(k * first + m * second + phase) for (k, m), phase, a in terms)


@dataclass(frozen=True)
class Surface:
    """Where points lie in a long bone.

    `side` is the distance from the outline, `height` the one above the physis (both mm); `across` is `(x, y)` over the
    half widths there, so that its norm is 1 on the outline; `flare` is 1 at the physis and falls to 0 in the shaft.
    """

    side: np.ndarray
    height: np.ndarray
    across: tuple[np.ndarray, np.ndarray]
    flare: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """Signed distance from the whole surface, its edge rounded."""
        return 0.5 * (self.side - self.height + np.sqrt((self.side + self.height) ** 2 + CORNER**2))


@dataclass(frozen=True)
class LongBone:
    """The distal end of the ossified part of a long bone, from its physis up.

    Lengths in mm, mineral as fractions. `physis` is the centre of the growth plate; `shaft` and `metaphysis` are half
    widths `(x, y)`; over the length `flare` the one goes over into the other; `lean` is the slope `(x, y)` of the axis
    and `bow` its curvature per mm; the growth plate bulges by `dome`; `cortex` and `collar` are the thicknesses of the
    compact bone in the shaft and at the physis; `calcification` that of the zone of provisional calcification, of
    mineral `calcified`; the spongiosa falls from `spongiosa` at the physis to `marrow` over `spongiosa_length`.
    """

    physis: tuple[float, float, float]
    shaft: tuple[float, float]
    metaphysis: tuple[float, float]
    flare: float
    lean: tuple[float, float]
    bow: float
    dome: float
    cortex: float
    collar: float
    calcification: float
    compact: float
    calcified: float
    spongiosa: float
    marrow: float
    spongiosa_length: float
    triangular: float
    plate: Waves  # of x and y, mm
    outline: Waves  # of z in mm and of x over the half width

    def reach(self, height: float) -> float:
        """Return how far from the axis, in mm, the bone reaches at most above a height in mm over the physis."""
        return 1.1 * max(s + (m - s) * self._flare(max(height, 0)) for s, m in zip(self.shaft, self.metaphysis)) + 0.8

    def axis(self, height: Any) -> tuple[Any, Any]:
        """Return where the axis `(x, y)` runs, from that of the physis, at heights in mm, one or many."""
        return (self.lean[0] + self.bow * height) * height, self.lean[1] * height

    def _flare(self, height: Any) -> Any:
        """Share of the shaft in the half widths at heights in mm, one or many."""
        relative = height / self.flare
        return 1 / (1 + relative * relative * np.sqrt(relative))

    def surface(self, points: Points) -> Surface:
        """Locate points (mm) in the bone."""
        x, y, z = (p - c for p, c in zip(points, self.physis, strict=True))
        above = np.maximum(z, 0)
        flare, axis = self._flare(above), self.axis(above)
        width, depth = (s + (m - s) * flare for s, m in zip(self.shaft, self.metaphysis, strict=True))
        u, v = (x - axis[0]) / width, (y - axis[1]) / depth
        square = u * u + v * v + 1e-6
        radius = np.sqrt(square)
        slope = np.sqrt((u / width) ** 2 + (v / depth) ** 2) / radius  # the gradient of the radius
        ridges = self.triangular * (1 - flare) * v * (v * v - 3 * u * u) / (radius * square)
        side = (radius - 1 - ridges) / np.maximum(slope, 0.5 / max(*self.metaphysis)) + self.outline(z, 2 * u)
        height = z + self.dome * (1 - np.minimum(square, 1.4)) + self.plate(x, y)
        return Surface(side, height, (u, v), flare)

    def mineral(self, surface: Surface, texture: np.ndarray, edge: float) -> np.ndarray:
        """Return the mineral at the points of a surface; `texture` (mean 1) multiplies the spongiosa."""
        whole = occupancy(surface.distance, edge)
        cortex = self.collar + (self.cortex - self.collar) * (1 - surface.flare)
        inside = np.minimum(occupancy(surface.side + cortex, edge), whole)
        growing = np.exp(-np.maximum(surface.height, 0) / self.spongiosa_length)
        cancellous = (self.marrow + (self.spongiosa - self.marrow) * growing) * texture
        zone = self.calcified * occupancy(surface.height - self.calcification, edge) * (0.7 + 0.3 * texture)
        return np.minimum((whole - inside) * self.compact + inside * (cancellous + zone), 1)


@dataclass(frozen=True)
class Nucleus:
    """An ossification centre in cartilage: an uneven ellipsoid with half axes in mm, denser at its rim."""

    centre: tuple[float, float, float]
    half_axes: tuple[float, float, float]
    roughness: Waves  # of the position over the half axes, a fraction of the radius
    rim: float
    interior: float

    def mineral(self, points: Points, texture: np.ndarray, edge: float) -> np.ndarray:
        """Return the mineral at points (mm); `texture` (mean 1) multiplies that of the interior."""
        x, y, z = ((p - c) / h for p, c, h in zip(points, self.centre, self.half_axes, strict=True))
        radius = np.sqrt(x * x + y * y + z * z) + 1e-6
        slope = np.sqrt(sum((q / h) ** 2 for q, h in zip((x, y, z), self.half_axes, strict=True))) / radius
        distance = (radius - 1 - self.roughness(x + y, z - y)) / np.maximum(slope, 0.3 / max(self.half_axes))
        inside = occupancy(distance + RIM_OF_NUCLEUS, edge)
        return (occupancy(distance, edge) - inside) * self.rim + inside * self.interior * texture
