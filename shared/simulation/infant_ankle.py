"""The distal leg of an infant of 0 to 12 months, drawn at random: bones, ossification centres and soft tissue.

Origin: the middle of the tibial physis; x lateral, y along the beam, z proximal, mm. Talus and calcaneus ossify before
birth (Gray's Anatomy), the distal tibial epiphysis late in the first year (8th month to one year: J Korean Orthop Assoc
1985;20:427; by 10 months: Scheuer and Black 2004), here from the 4th to the 11th month. Sizes are our choice, near
those of radiographs: at birth and at one year the tibia is about 8 and 11 mm wide in the shaft, and 15 and 20 mm at the
physis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bone_shapes import LongBone, Nucleus, Waves

SKIN = 1.2  # mm


@dataclass(frozen=True)
class SoftTissue:
    """The outline of the leg as ellipses across its axis; lengths in mm, `x` and `z` as in the module docstring.

    Half widths go from `ankle` to `calf` over `rise` above the physis and grow by `heel` below it; depth over width is
    `depth`; `creases` are `(z, depth, curvature)` of skin folds.
    """

    middle: float
    ankle: float
    calf: float
    rise: float
    heel: float
    depth: float
    fat: float
    creases: tuple[tuple[float, float, float], ...]
    outline: Waves  # of z and of the side, mm
    planes: Waves  # of x and z: fat between muscles

    def paths(self, x: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return the path in mm of a beam along y through soft tissue (skin, muscle) and fat, at points `(x, z)`."""

        def smooth(t: np.ndarray) -> np.ndarray:
            t = np.clip(t, 0, 1)
            return t * t * (3 - 2 * t)

        x = x - self.middle
        bump = self.outline(z, 3.0 * np.tanh(x / 8))
        for height, deep, curvature in self.creases:
            fold = np.exp(-(((z - height - curvature * x * x) / 1.1) ** 2))
            bump = bump - deep * fold * (0.55 + 0.45 * np.tanh(x / 12 + 40 * curvature))
        width = self.ankle + (self.calf - self.ankle) * smooth((z + 4) / self.rise) + bump
        thick = self.depth * width + self.heel * smooth((-z - 2) / 14)
        width = width + 0.35 * self.heel * smooth((-z - 6) / 16)

        def chord(less: float | np.ndarray) -> np.ndarray:
            return 2 * (thick - less) * np.sqrt(np.clip(1 - (x / np.maximum(width - less, 1)) ** 2, 0, None))

        whole, below_skin = chord(0.0), chord(SKIN)
        muscle = chord(SKIN + self.fat * (0.6 + 0.4 * smooth((z + 4) / self.rise)))
        between = muscle * np.clip(0.15 + self.planes(x, 0.3 * z), 0, 0.5)
        fat = below_skin - muscle + between
        return {"soft": whole - fat, "fat": fat}


@dataclass(frozen=True)
class InfantAnkle:
    """One anatomy, see the module docstring; `age_months` in [0, 12]."""

    age_months: float
    tibia: LongBone
    fibula: LongBone
    nuclei: tuple[Nucleus, ...]
    soft_tissue: SoftTissue


def _long_bone(
    rng: np.random.Generator, physis: tuple[float, float, float], shaft: float, metaphysis: float
) -> LongBone:
    """Draw a long bone with half widths of shaft and metaphysis in mm."""
    relative_depth = rng.uniform(0.85, 1.0, 2)
    return LongBone(
        physis=physis,
        shaft=(shaft, shaft * relative_depth[0]),
        metaphysis=(metaphysis, metaphysis * relative_depth[1]),
        flare=metaphysis * rng.uniform(1.0, 1.35),
        lean=tuple(rng.normal(0, 0.02, 2)),
        bow=rng.normal(0, 0.0006),
        dome=rng.uniform(-0.4, 0.9) * metaphysis / 9,
        cortex=shaft * rng.uniform(0.24, 0.38),
        collar=rng.uniform(0.3, 0.5),
        calcification=rng.uniform(0.5, 0.9),
        compact=rng.uniform(0.68, 0.85),
        calcified=rng.uniform(0.2, 0.45),
        spongiosa=rng.uniform(0.24, 0.34),
        marrow=rng.uniform(0.02, 0.07),
        spongiosa_length=metaphysis * rng.uniform(0.9, 1.6),
        triangular=rng.uniform(0.03, 0.1),
        plate=Waves.draw(rng, 5, 3.0, 20.0, 0.13),
        outline=Waves.draw(rng, 4, 4.0, 25.0, 0.09),
    )


def _nucleus(rng: np.random.Generator, centre: tuple[float, float, float], half_axes: np.ndarray) -> Nucleus:
    """Draw a nucleus about a centre and half axes in mm."""
    return Nucleus(
        centre=tuple(np.add(centre, rng.normal(0, 0.5, 3))),
        half_axes=tuple(half_axes * rng.uniform(0.9, 1.1, 3)),
        roughness=Waves.draw(rng, 5, 1.0, 5.0, 0.07),
        rim=rng.uniform(0.3, 0.45),
        interior=rng.uniform(0.16, 0.26),
    )


def draw_ankle(rng: np.random.Generator) -> InfantAnkle:
    """Draw one infant."""
    age = rng.uniform(0, 12)
    year, size = age / 12, float(np.clip(rng.normal(1, 0.06), 0.85, 1.15))
    shaft, metaphysis = size * (4.0 + 1.5 * year), size * (7.5 + 2.4 * year)
    tibia = _long_bone(rng, (0.0, 0.0, 0.0), shaft, metaphysis)
    thin, flared = shaft * rng.uniform(0.42, 0.52), metaphysis * rng.uniform(0.42, 0.5)
    apart = metaphysis + flared + rng.uniform(-0.5, 1.5)
    physis = (apart, rng.uniform(0.5, 4.0), rng.uniform(-4.0, 1.5))
    fibula = _long_bone(rng, physis, thin, flared)

    joint = -size * (9.0 + 2.0 * year)
    talus = size * (np.array([4.2, 5.5, 3.2]) + year * np.array([2.8, 4.0, 2.2]))
    calcaneus = size * (np.array([3.8, 7.0, 3.6]) + year * np.array([2.2, 4.0, 2.2]))
    centre_of_talus = (rng.uniform(-1.0, 2.0), -2.0, joint - talus[2])
    centre_of_calcaneus = (rng.uniform(0.0, 4.0), 9.0, joint - 2 * talus[2] - calcaneus[2] + 1.0)
    nuclei = [_nucleus(rng, centre_of_talus, talus), _nucleus(rng, centre_of_calcaneus, calcaneus)]
    onset, width = rng.uniform(4, 11), rng.uniform(1.0, 1.3)
    epiphysis = width * np.sqrt(max(age - onset, 0) + 0.3) * np.array([1.7, 1.3, 0.9])
    grown = _nucleus(rng, (rng.uniform(-0.5, 1.5), 0.0, 0.42 * joint), epiphysis)
    if age > onset:
        nuclei.append(grown)

    ankle = size * (16.5 + 3.0 * year) + rng.uniform(-1.5, 2.5)
    soft_tissue = SoftTissue(
        middle=0.35 * apart + rng.uniform(-1, 1),
        ankle=ankle,
        calf=ankle * rng.uniform(1.2, 1.6),
        rise=rng.uniform(38, 60),
        heel=rng.uniform(1, 8),
        depth=rng.uniform(0.95, 1.2),
        fat=rng.uniform(3.5, 7.5),
        creases=tuple(
            (rng.uniform(-8, 28), rng.uniform(0.3, 1.1), rng.normal(0, 0.01)) for _ in range(rng.integers(0, 3))
        ),
        outline=Waves.draw(rng, 5, 14.0, 60.0, 0.6),
        planes=Waves.draw(rng, 12, 4.0, 25.0, 0.09),
    )
    return InfantAnkle(age, tibia, fibula, tuple(nuclei), soft_tissue)
