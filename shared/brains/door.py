"""The door: every input file is read and checked once, before any computation; bad cases are named and left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..cases.checked_cases import CheckedCases
from ..cases.datalists import named
from ..cases.file_names import SEQUENCES, read_name, stem_of
from ..cases.folder_cases import FoundCases
from ..cases.sequence_cases import check_channels
from ..runs.errors import InputError
from .checks import check_brain, check_companion, check_no_labels, check_values
from .contrast import check_contrast
from .find_brain import find_brain
from .grid_checks import check_same_grid
from .head_masks import HeadMasks
from .intensity_zero import with_zero
from .nifti import read_channels, read_volume
from .volume import Volume

THICK_SLICE_MM = 4.0
DISTANT_SLICES_MM = 8.0  # for methods that work on slices


class Door(CheckedCases):
    """Check all cases; the good ones go on, the bad ones are recorded, logged and make the run end with exit code 2.

    Args:
        cases: as :func:`~..cases.datalists.gather_cases` returns them, or as MONAI Label lists them.
        spacing_range_mm: voxel sizes, mm, that the weights have seen; outside them a case gets a warning.
        known_sequences: sequences that the weights have seen; for others a case gets a warning. Empty: not checked.
        slices: the method works on axial slices: stacks of few slices, single ones and 2D images are welcome, and
            voxel sizes are compared within the slices only.
        channels: of a method that takes all ``known_sequences`` of a case: those of the volumes of a 4D ``image``, in
            their order; empty: 4D files are refused. None: the method takes one sequence, and no 4D file.
        head_masks: where the brains of whole heads are extracted; None: whole heads are refused.

    Attributes:
        cases: the good cases, each with ``warnings`` (list of str) added, those of whole heads with a ``brain_mask``.
        brains: by case id what the report says of the brain: ``brain_litres``, and in ``brain_from`` what found it.
        failures: ``{"case_id", "file", "key", "error", "remedy"}`` of each bad case (its first problem).

    Raises:
        DataListError: ``channels`` that cannot be used, whatever the files.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        spacing_range_mm: Sequence[float] = (0.3, 6.0),
        known_sequences: Sequence[str] = (),
        slices: bool = False,
        channels: Sequence[str] | None = None,
        head_masks: HeadMasks | None = None,
    ) -> None:
        primary = check_channels(channels, known_sequences or channels) if channels else ""
        self.brains: dict[str, dict[str, Any]] = {}

        def check(case: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
            if head_masks:
                head_masks.remove_other(case)
            checked = check_case(case, slices, channels, primary, head_masks)
            self.brains[case["case_id"]] = checked.brain
            notes = checked.notes + describe(case, checked.image, spacing_range_mm, known_sequences, slices)
            notes += absent_sequences(case, channels, known_sequences) if channels is not None else []
            return checked.case, notes + named_otherwise(case)

        show_from = 6 if head_masks is None else 2  # an extraction takes seconds
        passed_over = cases.passed_over if isinstance(cases, FoundCases) else ()
        super().__init__(FoundCases(map(named, cases), passed_over), check, show_from=show_from)


@dataclass(frozen=True)
class CheckedCase:
    """A good case as it goes on, its image, notes on what is unusual, and what is known of its brain."""

    case: Mapping[str, Any]
    image: Volume
    notes: list[str]
    brain: dict[str, Any]


def check_case(
    case: Mapping[str, Any],
    slices: bool = False,
    channels: Sequence[str] | None = None,
    primary: str = "",
    head_masks: HeadMasks | None = None,
) -> CheckedCase:
    """Check all files of one case; the sequences it holds beside ``image`` are its companions.

    Args:
        case: as :func:`~..cases.datalists.gather_cases` returns it.
        slices: as for :class:`Door`.
        channels: as for :class:`Door`; of cases whose sequence is ``image``.
        primary: the one of ``channels`` that stands for the image, the others are its companions.
        head_masks: as for :class:`Door`.

    Raises:
        InputError: the first problem found.
    """
    key = case["sequence"]
    if "image" not in case or "reason" in case:
        missing = case.get("missing", key)
        remedy = "Add it to the datalist, "
        remedy += "or choose another sequence with --sequence" if missing == key else f"each case needs its {missing}"
        raise InputError(case["case_id"], missing, case.get("reason", "has no image"), case.get("remedy", remedy))
    named = channels if key == "image" or channels is None else ()  # a file of one sequence has one volume
    volumes = [with_zero(volume) for volume in read_channels(case["image"], key, named, slices)]
    image = next((volume for volume in volumes if volume.key == primary), volumes[0])
    check_values(image, np.ones(image.data.shape, bool))
    check_no_labels(image)
    found = find_brain(case, image, volumes, slices, head_masks)
    brain, notes = found.voxels, found.notes
    check_values(image, brain)
    notes += check_brain(image, brain, slices) + check_contrast(image, brain)
    for volume in (volume for volume in volumes if volume is not image):
        notes += check_companion(replace(volume, warnings=[]), image, brain)
    for name in (sequence for sequence in SEQUENCES if sequence in case):
        notes += check_companion(with_zero(read_volume(case[name], name, slices)), image, brain)
    if case.get("label"):
        check_same_grid(read_volume(case["label"], "label", slices), image)
    known = {"brain_litres": float(np.count_nonzero(brain) * image.voxel_litres), "brain_from": found.source}
    return CheckedCase(found.case, image, image.warnings + notes, known)


def describe(
    case: Mapping[str, Any],
    volume: Volume,
    spacing_range_mm: Sequence[float],
    known_sequences: Sequence[str],
    slices: bool = False,
) -> list[str]:
    """Say in what a good case differs from what the weights have seen: voxel size (mm), slices, sequence."""
    notes, spacing = [], volume.pixel_spacing if slices else volume.spacing
    size = " x ".join(f"{s:.3g}" for s in spacing)
    low, high = spacing_range_mm
    if min(spacing) < 0.99 * low or max(spacing) > 1.01 * high:
        voxels = "pixels" if slices else "voxels"
        notes.append(f"{voxels} of {size} mm are outside the range of the training data ({low:g} to {high:g} mm)")
    elif max(spacing) >= THICK_SLICE_MM:
        notes.append(f"thick slices ({size} mm): small findings may be lost between them")
    step = volume.spacing[volume.slice_axis]
    if slices and step > 1.01 * DISTANT_SLICES_MM:
        notes.append(f"slices {step:.3g} mm apart: findings between them are missed")
    if known_sequences and case["sequence"] not in ("image", *known_sequences):
        notes.append(f"the weights do not know the sequence '{case['sequence']}', only {', '.join(known_sequences)}")
    return notes


def named_otherwise(case: Mapping[str, Any]) -> list[str]:
    """Say which files of a case have the name of another sequence than that which they are taken for."""
    files = {case["sequence"]: case["image"], **{name: case[name] for name in SEQUENCES if name in case}}
    stated = {name: read_name(stem_of(file)).sequence for name, file in files.items() if name in SEQUENCES}
    return [
        f"{os.path.basename(files[name])} is taken as {name}, but its name says {other}: is it the right file?"
        for name, other in stated.items()
        if other in SEQUENCES and other != name
    ]


def absent_sequences(case: Mapping[str, Any], channels: Sequence[str], known_sequences: Sequence[str]) -> list[str]:
    """Say which sequences a good case lacks of those that a method takes together, see :class:`Door`."""
    given = channels if case["sequence"] == "image" else (case["sequence"], *case)
    absent = [name for name in known_sequences if name not in given]
    together = f"the stored threshold is for {', '.join(known_sequences)} together (--used_sequences names others)"
    return [f"no {', '.join(absent)}, but {together}"] if absent else []
