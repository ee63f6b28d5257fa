"""Simulated, registered, brain-extracted MRI of a new subject per seed, with or without a lesion.

Command: python -m shared.simulation.phantom_brain OUTPUT_DIR --cases 8 --lesions none,tumour --sequences t1,flair
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from tqdm import tqdm

from ..cases.datalists import write_datalist
from .lesion_shapes import SHAPES
from .mri_signal import HEALTHY, LESIONS, SEQUENCES, Tissue, signal
from .phantom_anatomy import FIELD_OF_VIEW, Anatomy, grid_coordinates, make_anatomy
from .random_fields import gaussian_field

ANATOMY, LESION, ACQUISITION = range(3)  # independent random streams: a lesion leaves the anatomy as it was
INTENSITY_SCALE = 1000.0
T1_PER_TEMPLATE_INTENSITY = 1.6  # relative fall of T1 per unit of template intensity beyond the tissue fractions


@dataclass(frozen=True)
class Phantom:
    """One simulated subject; every volume is `X Y Z` on the same RAS+ grid in MNI space.

    `images` maps a sequence to float32, exactly 0 outside the brain mask and > 0 inside; `brain_mask` and `label`
    (1 = lesion) are uint8; `affine` is 4 x 4 float64, in mm.
    """

    images: dict[str, np.ndarray]
    brain_mask: np.ndarray
    label: np.ndarray
    affine: np.ndarray


def _acquire(
    rng: np.random.Generator,
    name: str,
    tissues: dict[str, Tissue],
    fractions: dict[str, np.ndarray],
    t1_change: np.ndarray,
    anatomy: Anatomy,
    coordinates: list[np.ndarray],
) -> np.ndarray:
    """Return one sequence: partial-volume sum of tissue signals, point spread, bias field, Rician noise."""
    sequence = SEQUENCES[name]
    flip, echo, inversion = rng.uniform((0.65, 0.9, 0.95), (1.35, 1.3, 1.05))  # scanners differ in their protocol
    sequence = replace(
        sequence,
        flip_angle=sequence.flip_angle * flip,
        echo_time=sequence.echo_time * echo,
        inversion_time=sequence.inversion_time * inversion,
    )
    image = np.zeros(anatomy.brain_mask.shape, np.float32)
    for key, fraction in fractions.items():
        tissue = tissues[key]
        value = signal(tissue, sequence)
        image += value * fraction
        if key in ("grey", "deep_grey", "white"):
            # To first order in the relative change of T1, with T2 changing along at half the rate.
            shorter = signal(replace(tissue, t1=tissue.t1 * 0.95, t2=tissue.t2 * 0.975), sequence)
            image += ((value - shorter) / 0.05) * fraction * t1_change
    image = ndimage.gaussian_filter(image, rng.uniform(0.2, 0.5))  # the point spread of the scanner, in voxels
    bias = np.exp(rng.uniform(0.0, 0.05) * gaussian_field(rng, coordinates, 45.0, FIELD_OF_VIEW))
    image = np.maximum(image, 0) * bias.astype(np.float32)
    # A coarse volume is taken as the mean of fine voxels, so that noise falls with the root of the voxel volume.
    spacing = float(coordinates[0][1] - coordinates[0][0])
    noise = rng.uniform(0.5, 1.5) * sequence.noise * signal(HEALTHY["white"], sequence) * spacing**-1.5
    real, imaginary = (noise * rng.standard_normal(image.shape, dtype=np.float32) for _ in range(2))
    image = np.hypot(image + real, imaginary)
    tiny = np.finfo(np.float32).tiny
    return np.where(anatomy.brain_mask, np.maximum(INTENSITY_SCALE * image, tiny), 0).astype(np.float32)


def make_phantom(
    seed: int,
    lesion: str | None = None,
    sequences: Sequence[str] = ("t1", "t2", "flair", "t1ce", "pd"),
    spacing: float = 1.0,
) -> Phantom:
    """Simulate one subject; the same seed gives the same anatomy with every lesion, sequence and spacing.

    Args:
        seed: not negative.
        lesion: "tumour", "stroke", "ms" or None for the healthy twin.
        sequences: any of t1, t2, flair, t1ce, pd.
        spacing: isotropic voxel size in mm.

    Raises:
        ValueError: unknown lesion or sequence, or a spacing that is not positive.
    """
    if lesion is not None and lesion not in SHAPES:
        raise ValueError(f"unknown lesion {lesion!r}; choose one of {', '.join(SHAPES)} or None")
    unknown = [name for name in sequences if name not in SEQUENCES]
    if unknown:
        raise ValueError(f"unknown sequence {', '.join(map(repr, unknown))}; choose among {', '.join(SEQUENCES)}")
    if not spacing > 0:
        raise ValueError(f"spacing must be a positive number of mm, got {spacing!r}")

    coordinates, affine = grid_coordinates(spacing)
    rng = np.random.default_rng([seed, ANATOMY])
    spread = {key: rng.normal(1, 0.02, 2) for key in HEALTHY}
    tissues = {k: replace(t, t1=t.t1 * spread[k][0], t2=t.t2 * spread[k][1]) for k, t in HEALTHY.items()}
    anatomy = make_anatomy(rng, coordinates)
    texture = 0.02 * gaussian_field(rng, coordinates, 1.5, FIELD_OF_VIEW)
    texture += 0.02 * gaussian_field(rng, coordinates, 8.0, FIELD_OF_VIEW)
    t1_change = texture - T1_PER_TEMPLATE_INTENSITY * np.clip(anatomy.myelin, -0.12, 0.12)

    fractions, label = anatomy.fractions, np.zeros(anatomy.brain_mask.shape, np.uint8)
    if lesion is not None:
        shapes = SHAPES[lesion](np.random.default_rng([seed, LESION]), coordinates, anatomy)
        shapes = {key: np.where(anatomy.brain_mask, shape, 0).astype(np.float32) for key, shape in shapes.items()}
        covered = np.minimum(sum(shapes.values()), 1)
        label = (covered > 0.5).astype(np.uint8)
        fractions = {key: fraction * (1 - covered) for key, fraction in fractions.items()} | shapes
        tissues = tissues | dict(LESIONS)

    images = {}
    for name in sequences:
        stream = np.random.default_rng([seed, ACQUISITION, list(SEQUENCES).index(name)])
        images[name] = _acquire(stream, name, tissues, fractions, t1_change, anatomy, coordinates)
    return Phantom(images, anatomy.brain_mask.astype(np.uint8), label, affine)


def write_phantom(phantom: Phantom, folder: str | Path, case_id: str, *, label: bool = True) -> dict[str, str]:
    """Write `<case_id>_<name>.nii.gz` per volume and return the case of the datalist, names relative to `folder`.

    The label is written if `label` is true and the phantom has a lesion.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    volumes = dict(phantom.images) | {"brain_mask": phantom.brain_mask}
    if label and phantom.label.any():
        volumes["label"] = phantom.label
    case = {"case_id": case_id}
    for name, volume in volumes.items():
        case[name] = f"{case_id}_{name}.nii.gz"
        nib.save(nib.Nifti1Image(volume, phantom.affine), folder / case[name])
    return case


def write_dataset(
    folder: str | Path,
    cases: int,
    lesions: Sequence[str | None],
    sequences: Sequence[str],
    spacing: float,
    seed: int,
    section: str | None = None,
) -> Path:
    """Write `cases` phantoms, the lesions in turn, and `datalist.json`; return the path of the list.

    Without a `section` the last eighth is `validation` (from eight cases on) and the rest `training`.
    """
    folder = Path(folder)
    written = []
    for number in tqdm(range(cases), desc="phantoms"):
        lesion = lesions[number % len(lesions)]
        phantom = make_phantom(seed + number, lesion, sequences, spacing)
        written.append(write_phantom(phantom, folder, f"phantom{seed + number:04d}_{lesion or 'healthy'}"))
    return write_datalist(folder, written, section)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command of the module docstring."""
    parser = argparse.ArgumentParser(prog="python -m shared.simulation.phantom_brain", description=make_phantom.__doc__)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--lesions", default="none", help="comma-separated, taken in turn: none, tumour, stroke, ms")
    parser.add_argument("--sequences", default="t1", help="comma-separated: t1, t2, flair, t1ce, pd")
    parser.add_argument("--spacing", type=float, default=1.0, help="mm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--section", choices=("training", "validation", "test"), help="put all cases in this section")
    given = parser.parse_args(arguments)
    lesions = [None if name == "none" else name for name in given.lesions.split(",")]
    sequences = given.sequences.split(",")
    write_dataset(given.output_dir, given.cases, lesions, sequences, given.spacing, given.seed, given.section)


if __name__ == "__main__":
    main()
