"""Simulated anteroposterior radiographs of an infant's distal tibia, with or without a classic metaphyseal lesion.

Command: python -m shared.simulation.phantom_tibia OUTPUT_DIR --cases 8 --lesions none,corner,bucket_handle --size 256
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from ..cases.datalists import write_datalist
from .bone_projection import Pose, project
from .bone_shapes import LongBone, Nucleus
from .infant_ankle import draw_ankle
from .metaphyseal_lesions import KINDS, draw_fracture
from .x_ray import bin_pixels, draw_technique, expose, shutter

ANATOMY, POSE, TECHNIQUE, LESION, TEXTURE, NOISE = range(6)  # independent streams: a lesion leaves the rest as it was
FINE_PIXEL = 0.25  # mm, about the sampling across the beam
FIELDS = (40.0, 70.0)  # mm, what shows the metaphysis and is filled by the simulated leg


@dataclass(frozen=True)
class SimulatedRadiograph:
    """One simulated radiograph; images are `X Y`, x to the right and y down, as MONAI reads them from PNG files.

    `image` is float32 in [0, 1], bone bright. The masks are uint8, 1 in the projection: `tibia_mask` of the ossified
    shaft and metaphysis with any fragment (not of the nucleus of the epiphysis, nor of periosteal new bone),
    `lesion_mask` of fragment and fracture gap. `facts` are of types that JSON has: anatomy, pose, technique, lesion.
    """

    image: np.ndarray
    tibia_mask: np.ndarray
    lesion_mask: np.ndarray
    pixel_mm: float
    facts: dict[str, Any]


def make_radiograph(
    seed: int, lesion: str | None = None, size: int = 256, pixel_mm: float | None = None
) -> SimulatedRadiograph:
    """Simulate one radiograph; the same seed gives the same leg, pose and technique with every lesion and size.

    Lesions of the same seed, size and pixel are twins: the noise is the same too, and they are equal away from it.

    Args:
        seed: not negative.
        lesion: "corner", "bucket_handle" or None for the normal twin.
        size: pixels along both axes.
        pixel_mm: None for a field of 50 to 58 mm, different with each seed.

    Raises:
        ValueError: unknown lesion, size below 32, or a field (size times pixel) outside 40 to 70 mm.
    """
    if lesion is not None and lesion not in KINDS:
        raise ValueError(f"unknown lesion {lesion!r}; choose one of {', '.join(KINDS)} or None")
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, got {size}")
    rng = np.random.default_rng([seed, POSE])
    field = rng.uniform(50, 58)
    if pixel_mm is not None:
        field = size * pixel_mm
    if not FIELDS[0] <= field <= FIELDS[1]:
        limits = " to ".join(f"{limit / size:.3g}" for limit in FIELDS)
        raise ValueError(f"{size} pixels of {pixel_mm} mm are no field of an ankle; choose pixel_mm from {limits}")
    pixel_mm = field / size
    angles = np.clip(rng.normal(0, (7.0, 5.0, 5.0)), -15, 15)  # degrees about z (oblique), x (flexion) and the beam
    pose = Pose(
        rotation=Rotation.from_euler("zxy", angles, degrees=True).as_matrix(),
        centre=(rng.uniform(-6, 2), rng.uniform(-13, -4)),
    )
    side = str(rng.choice(["left", "right"]))
    ankle = draw_ankle(np.random.default_rng([seed, ANATOMY]))
    fracture = None if lesion is None else draw_fracture(np.random.default_rng([seed, LESION]), lesion)

    factor = max(1, round(pixel_mm / FINE_PIXEL))
    fine_mm = pixel_mm / factor
    right = (np.arange(size * factor) - (size * factor - 1) / 2) * fine_mm
    up = right[::-1]
    bones: tuple[LongBone | Nucleus, ...] = (ankle.tibia, ankle.fibula, *ankle.nuclei)
    shadows = [
        project(bone, pose, right, up, np.random.default_rng([seed, TEXTURE, n]), fracture if n == 0 else None)
        for n, bone in enumerate(bones)
    ]
    x, _, z = (position[:, 0] for position in pose.points(right, np.zeros(1), up))
    paths = ankle.soft_tissue.paths(x, z)
    paths["bone"] = reduce(np.add, (shadow.mineral for shadow in shadows))
    paths["soft"] = np.maximum(paths["soft"] - paths["bone"], 0)

    technique = draw_technique(np.random.default_rng([seed, TECHNIQUE]))
    noise = np.random.default_rng([seed, NOISE]).standard_normal((size, size))
    typical = ankle.soft_tissue.paths(np.array([ankle.soft_tissue.middle]), np.array([5.0]))
    image = expose(paths, technique, typical, fine_mm, factor, noise)
    opening = shutter(technique, field, *(v.reshape(size, factor).mean(1) for v in (right, up)))
    tibia_mask, lesion_mask = (
        bin_pixels(shadow.astype(np.float32), factor) * opening > 0.5 for shadow in (shadows[0].bone, shadows[0].lesion)
    )

    mirror = slice(None, None, 1 if side == "left" else -1)  # the fibula lies to the right in a left leg
    facts = {
        "seed": seed,
        "lesion": lesion,
        "age_months": ankle.age_months,
        "side": side,
        "rotation_degrees": dict(zip(("axial", "flexion", "in_plane"), angles.tolist(), strict=True)),
        "technique": asdict(technique),
    }
    if fracture is not None:
        where = "lateral" if fracture.direction[0] > 0 else "medial"
        facts |= {"lesion_side": where, "gap_mm": fracture.gap, "shift_mm": fracture.shift, "healing": fracture.healing}
    return SimulatedRadiograph(
        np.ascontiguousarray((image * opening)[mirror], np.float32),
        np.ascontiguousarray(tibia_mask[mirror], np.uint8),
        np.ascontiguousarray(lesion_mask[mirror], np.uint8),
        float(pixel_mm),
        facts,
    )


def write_radiograph(radiograph: SimulatedRadiograph, folder: str | Path, case_id: str) -> dict[str, Any]:
    """Write `<case_id>_{image,tibia_mask,lesion_mask}.png` and return the case of the datalist.

    The image has 16 bits, 65535 for 1; the masks have 8 bits, 255 inside. Names are relative to `folder`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"image": np.round(radiograph.image * 65535).astype(np.uint16)}
    pictures |= {name: getattr(radiograph, name) * np.uint8(255) for name in ("tibia_mask", "lesion_mask")}
    case: dict[str, Any] = {"case_id": case_id}
    for name, picture in pictures.items():
        case[name] = f"{case_id}_{name}.png"
        Image.fromarray(np.ascontiguousarray(picture.T)).save(folder / case[name])  # rows of a file are y
    fractured = int(radiograph.facts["lesion"] is not None)
    return case | {"class_label": fractured, "pixel_mm": radiograph.pixel_mm, "facts": radiograph.facts}


def write_dataset(
    folder: str | Path, cases: int, lesions: Sequence[str | None], size: int, seed: int, section: str | None = None
) -> Path:
    """Write `cases` radiographs, each of another infant, the lesions in turn, and `datalist.json`; return its path.

    Without a `section` the last eighth is `validation` (from eight cases on) and the rest `training`.
    """
    folder = Path(folder)
    written = []
    for number in tqdm(range(cases), desc="radiographs"):
        lesion = lesions[number % len(lesions)]
        radiograph = make_radiograph(seed + number, lesion, size)
        written.append(write_radiograph(radiograph, folder, f"tibia{seed + number:05d}_{lesion or 'normal'}"))
    return write_datalist(folder, written, section)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command of the module docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.simulation.phantom_tibia", description=make_radiograph.__doc__
    )
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--lesions", default="none,corner,bucket_handle", help="comma-separated, taken in turn")
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--section", choices=("training", "validation", "test"), help="put all cases in this section")
    given = parser.parse_args(arguments)
    lesions = [None if name == "none" else name for name in given.lesions.split(",")]
    write_dataset(given.output_dir, given.cases, lesions, given.size, given.seed, given.section)


if __name__ == "__main__":
    main()
