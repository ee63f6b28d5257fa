"""The door: every input file is read and checked once, before any computation; bad cases are named and left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from .errors import InputError, NoUsableCaseError
from .nifti_check import Volume, read_volume
from .whole_head import MAX_BRAIN_LITRES, why_not_a_brain

MIN_BRAIN_LITRES = 0.1
WHOLE_BRAIN_LITRES = 0.6  # below it, a part of a brain or that of an infant
THICK_SLICE_MM = 4.0
_SHOW_PROGRESS_FROM = 6  # cases

logger = logging.getLogger(__name__)


class Door:
    """Check all cases; the good ones go on, the bad ones are recorded, logged and make the run end with exit code 2.

    Args:
        cases: as :func:`~.datalists.gather_cases` returns them.
        spacing_range_mm: voxel sizes, mm, that the weights have seen; outside them a case gets a warning.
        known_sequences: sequences that the weights have seen; for others a case gets a warning. Empty: not checked.

    Attributes:
        cases: the good cases, each with ``warnings`` (list of str) added.
        failures: ``{"case_id", "file", "key", "error", "remedy"}`` of each bad case (its first problem).
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        spacing_range_mm: Sequence[float] = (0.3, 6.0),
        known_sequences: Sequence[str] = (),
    ) -> None:
        self.cases: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        for case in tqdm(cases, desc="checking input", unit="case", disable=len(cases) < _SHOW_PROGRESS_FROM):
            try:
                volume, notes = check_case(case)
            except InputError as error:
                logger.error("case '%s' left out: %s", case["case_id"], error)
                self.failures.append(_record(case, error))
            else:
                notes = notes + describe(case, volume, spacing_range_mm, known_sequences)
                for note in notes:
                    logger.warning("case '%s': %s", case["case_id"], note)
                self.cases.append({**case, "warnings": notes})

    def require_some(self) -> None:
        """Stop where nothing is left to do.

        Raises:
            NoUsableCaseError: no case passed; it lists every failure.
        """
        if not self.cases:
            raise NoUsableCaseError(self.failures)

    def conclude(self) -> None:
        """Last step of a run: log the failures again.

        Raises:
            SystemExit: with code 2, when any case failed.
        """
        if self.failures:
            lines = [f"{f['case_id']}: {f['error']}. {f['remedy']}. ({f['key']}: {f['file']})" for f in self.failures]
            done = f"{len(self.cases)} of {len(self.cases) + len(self.failures)} cases done, left out"
            logger.error("%s:\n  %s", done, "\n  ".join(lines))
            raise SystemExit(2)


def check_case(case: Mapping[str, Any]) -> tuple[Volume, list[str]]:
    """Check all files of one case.

    Returns:
        the image and notes on what was unusual but can be dealt with.

    Raises:
        InputError: the first problem found.
    """
    key = case["sequence"]
    if "image" not in case:
        remedy = "Add it to the datalist, or choose another sequence with --sequence"
        raise InputError(case["case_id"], key, case.get("reason", "has no image"), remedy)
    image = read_volume(case["image"], key)
    _check_values(image, np.ones(image.data.shape, bool))
    if case.get("brain_mask"):
        brain, notes = _check_mask(read_volume(case["brain_mask"], "brain_mask"), image)
    else:
        brain, notes = image.data != 0, []
    _check_values(image, brain)
    if not case.get("brain_mask"):
        _check_extracted(image)
    notes += _check_brain(image, brain)
    if case.get("label"):
        _check_same_grid(read_volume(case["label"], "label"), image)
    return image, image.warnings + notes


def describe(
    case: Mapping[str, Any], volume: Volume, spacing_range_mm: Sequence[float], known_sequences: Sequence[str]
) -> list[str]:
    """Say in what a good case differs from what the weights have seen: voxel size (mm), slices, sequence."""
    notes, size = [], " x ".join(f"{s:.3g}" for s in volume.spacing)
    low, high = spacing_range_mm
    if min(volume.spacing) < 0.99 * low or max(volume.spacing) > 1.01 * high:
        notes.append(f"voxels of {size} mm are outside the range of the training data ({low:g} to {high:g} mm)")
    elif max(volume.spacing) >= THICK_SLICE_MM:
        notes.append(f"thick slices ({size} mm): small findings may be lost between them")
    if known_sequences and case["sequence"] not in ("image", *known_sequences):
        notes.append(f"the weights do not know the sequence '{case['sequence']}', only {', '.join(known_sequences)}")
    return notes


def _record(case: Mapping[str, Any], error: InputError) -> dict[str, str]:
    about = {"case_id": case["case_id"], "file": error.file, "key": error.key}
    return {**about, "error": error.problem, "remedy": error.remedy}


def _check_values(image: Volume, brain: np.ndarray) -> None:
    """Refuse what cannot be normalised: empty, constant, or without positive intensities."""
    values = image.data[brain]
    where = "everywhere" if brain.all() else "in the brain"
    if not values.any():
        raise InputError(image.file, image.key, f"is 0 {where}", "Pass the original scan")
    low, high = np.percentile(values, [1, 99]) if not brain.all() else (values.min(), values.max())
    if low == high:
        remedy = "Pass the scan itself, not a mask or a constant volume"
        raise InputError(image.file, image.key, f"is constant {where} ({low:g})", remedy)
    if not brain.all() and np.percentile(values, 90) <= 0:
        remedy = "Add a constant so that tissue is positive, and keep 0 outside the brain"
        raise InputError(image.file, image.key, "is negative in over 90 % of the brain", remedy)


def _check_extracted(image: Volume) -> None:
    why = why_not_a_brain(image)
    if why:
        out = image.file.removesuffix(".gz").removesuffix(".nii") + "_brain.nii.gz"
        remedy = (
            f"Extract the brain first (hd-bet -i {image.file} -o {out}, or mri_synthstrip -i {image.file} -o {out}), "
            "or pass a brain mask in the datalist"
        )
        raise InputError(image.file, image.key, f"is not a brain-extracted scan: {why}", remedy)


def _check_mask(mask: Volume, image: Volume) -> tuple[np.ndarray, list[str]]:
    _check_same_grid(mask, image)
    brain = mask.data > 0
    if not brain.any():
        raise InputError(mask.file, mask.key, "is empty: no voxel above 0", "Make it again, for example with HD-BET")
    litres = brain.sum() * mask.voxel_litres
    if litres > MAX_BRAIN_LITRES:
        problem = f"covers {litres:.1f} l, more than a brain (0.8 to 2.1 l)"
        raise InputError(mask.file, mask.key, problem, "Make it again, for example with HD-BET or SynthStrip")
    outside = float(np.mean(image.data[brain] == 0))
    return brain, [f"{100 * outside:.0f} % of the brain mask is 0 in the image"] if outside > 0.2 else []


def _check_same_grid(other: Volume, image: Volume) -> None:
    """Refuse a mask or label whose shape differs, or whose corners lie over a tenth of a voxel from the image's."""
    remedy = f"Resample it to the grid of {image.file} (nearest neighbour)"
    if other.data.shape != image.data.shape:
        problem = f"has shape {other.data.shape}, but {image.file} has {image.data.shape}"
        raise InputError(other.file, other.key, problem, remedy)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (*image.data.shape, 1)
    shift = np.linalg.norm(((other.affine - image.affine) @ corners.T)[:3], axis=0).max()
    if shift > 0.1 * min(image.spacing):
        problem = f"its affine differs from that of {image.file} by up to {shift:.3g} mm"
        raise InputError(other.file, other.key, problem, remedy)


def _check_brain(image: Volume, brain: np.ndarray) -> list[str]:
    litres = np.count_nonzero(brain) * image.voxel_litres
    if litres < MIN_BRAIN_LITRES:
        problem = f"holds {1000 * litres:.2g} ml of brain, too little for one"
        raise InputError(image.file, image.key, problem, "Pass the whole brain, or mend its voxel sizes")
    notes = [f"only {litres:.2f} l of brain: a part of one, or an infant's"] if litres < WHOLE_BRAIN_LITRES else []
    negative = float(np.mean(image.data[brain] < 0))
    if negative > 0.2:
        notes.append(f"{100 * negative:.0f} % of the brain is negative: standardised? Pass the original scan")
    return notes
