"""What a volume shows, checked: usable values, an extracted brain of plausible size, and masks and sequences of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from monai.data import MetaTensor

from ..runs.errors import InputError
from ..runs.few_values import why_labels
from .contrast import check_contrast
from .grid_checks import check_forms, check_same_grid
from .intensity_zero import MAX_BELOW_ZERO
from .mask_fit import share_beyond, without_outer_zeros
from .one_grid import are_one_grid, resample_to, shown_of
from .volume import MAX_SLICE_CM2, MIN_SLICE_CM2, Volume, is_short, largest_slice
from .whole_head import MAX_BRAIN_LITRES

MIN_BRAIN_LITRES = 0.1
WHOLE_BRAIN_LITRES = 0.6  # below it, a part of a brain or that of an infant
MIN_SHOWN = 0.8  # share of the brain that a further sequence shows
_WHOSE = "is the mask that of this scan?"


def check_values(image: Volume, brain: np.ndarray) -> None:
    """Refuse what cannot be normalised: empty, constant, without positive intensities, or with many negative ones.

    Args:
        image: ``X Y Z``, whose zero was set where that can be done (:mod:`.intensity_zero`).
        brain: ``X Y Z`` bool; all of it, or where there is brain.

    Raises:
        InputError: such values.
    """
    values = image.data[brain]
    where = "everywhere" if brain.all() else "in the brain"
    if not values.any():
        raise InputError(image.file, image.key, f"is 0 {where}", "Pass the original scan")
    low, high = np.percentile(values, [1, 99]) if not brain.all() else (values.min(), values.max())
    if low == high:
        remedy = "Pass the scan itself, not a mask or a constant volume"
        raise InputError(image.file, image.key, f"is constant {where} ({low:g})", remedy)
    if not brain.all() and np.percentile(values, 90) <= 0:
        remedy = "Pass the scan as the scanner gave it: tissue positive, not inverted, 0 outside the brain"
        raise InputError(image.file, image.key, "is below its background in over 90 % of the brain", remedy)
    negative = float(np.mean(values < 0))
    if not brain.all() and negative > MAX_BELOW_ZERO:
        problem = (
            f"is negative in {100 * negative:.0f} % of the brain: standardised, and what was 0 before is not known"
        )
        remedy = "Pass the scan as it was before, or set what is not brain to one value below all of it"
        raise InputError(image.file, image.key, problem, remedy)


def check_no_labels(image: Volume) -> None:
    """Refuse a label map, ``X Y Z``, in place of a scan.

    Raises:
        InputError: it is one (:func:`~..runs.few_values.why_labels`).
    """
    if why := why_labels(image.data):
        remedy = "Pass the scan itself; a mask or label has a key of its own in a datalist"
        raise InputError(image.file, image.key, f"is a mask or label map, no scan: {why}", remedy)


def check_extracted(image: Volume, why: str | None, slices: bool = False, offer: str = "") -> list[str]:
    """Refuse a whole head; say so where that cannot always be told, in ``slices`` that are few.

    Args:
        image: ``X Y Z``.
        why: it is no extracted brain, as :func:`~.whole_head.why_not_a_brain` says.
        slices: as for that function.
        offer: what makes the brain be extracted here, for the remedy.

    Raises:
        InputError: not a brain-extracted scan.
    """
    few = slices and is_short(image)
    if why:
        out = image.file.removesuffix(".gz").removesuffix(".nii") + "_brain.nii.gz"
        commands = f"python -m tools.extract_brain FOLDER OUT, hd-bet -i {image.file} -o {out}, "
        commands += f"or mri_synthstrip -i {image.file} -o {out}"
        how = "in the whole volume these slices are from, with HD-BET or SynthStrip" if few else f"({commands})"
        shading = "correct its shading too (such as by N4), which would be marked as anomaly"
        first = (
            f"To have the brain extracted here: {offer}. Or extract it first" if offer else "Extract the brain first"
        )
        remedy = f"{first} {how}, or pass a brain mask in the datalist; {shading}"
        raise InputError(image.file, image.key, f"is not a brain-extracted scan: {why}", remedy)
    return ["so few slices do not always show whether the brain was extracted: make sure that it was"] * few


def check_mask(mask: Volume, image: Volume, slices: bool = False) -> tuple[np.ndarray, list[str]]:
    """Check a brain mask against its image; zeros of the image within it, connected to the outside, are no brain.

    Returns:
        the brain, ``X Y Z`` bool, and a note where the mask is much larger.

    Raises:
        InputError: on another grid, empty, or larger than a brain.
    """
    check_same_grid(mask, image)
    given = mask.data > 0
    if not given.any():
        raise InputError(mask.file, mask.key, "is empty: no voxel above 0", "Make it again, for example with HD-BET")
    litres, area = given.sum() * mask.voxel_litres, largest_slice(mask, given)[1]
    problem = f"covers {litres:.1f} l, more than a brain (0.8 to 2.1 l)" if litres > MAX_BRAIN_LITRES else ""
    if slices and area > MAX_SLICE_CM2:
        problem = f"covers {area:.0f} cm2 of a slice, more than a brain (up to 230 cm2)"
    if problem:
        raise InputError(mask.file, mask.key, problem, "Make it again, for example with HD-BET or SynthStrip")
    brain = without_outer_zeros(given, image.data)
    outside = share_beyond(given, brain)
    said = (
        f"{100 * outside:.0f} % of the brain mask is 0 in the image and outside the brain, and was left out: {_WHOSE}"
    )
    return brain, [said] if outside else []


def check_cover(mask: np.ndarray, brain: np.ndarray, found: str = "") -> list[str]:
    """Note that a mask leaves out much of a brain, or much of it is outside the brain; ``X Y Z`` bool each.

    Args:
        mask: as it was given.
        brain: what is compared with it.
        found: words that say how the brain was found.
    """
    missed, beyond = share_beyond(brain, mask), share_beyond(mask, brain)
    outside = f"{100 * missed:.0f} % of the brain{found} is outside the brain mask and not looked at: {_WHOSE}"
    wide = f"{100 * beyond:.0f} % of the brain mask is outside the brain{found}: {_WHOSE}"
    return [outside] * bool(missed) + [wide] * bool(beyond)


def check_brain(image: Volume, brain: np.ndarray, slices: bool = False) -> list[str]:
    """Check the amount of brain, in few ``slices`` its area in the largest, and note a small one.

    Raises:
        InputError: too little for a brain.
    """
    notes = []
    if slices and is_short(image):
        area = largest_slice(image, brain)[1]
        if area < MIN_SLICE_CM2:
            problem = f"holds {area:.2g} cm2 of brain in its largest slice, too little for one"
            raise InputError(image.file, image.key, problem, "Pass slices of the cerebrum, or mend its voxel sizes")
    else:
        litres = np.count_nonzero(brain) * image.voxel_litres
        if litres < MIN_BRAIN_LITRES:
            problem = f"holds {1000 * litres:.2g} ml of brain, too little for one"
            raise InputError(image.file, image.key, problem, "Pass the whole brain, or mend its voxel sizes")
        if litres < WHOLE_BRAIN_LITRES:
            notes.append(f"only {litres:.2f} l of brain: a part of one, or an infant's")
    return notes


def check_companion(companion: Volume, image: Volume, brain: np.ndarray) -> list[str]:
    """Check a further sequence of the same brain, on the grid that :class:`~.one_grid.OneGridd` brings it to.

    Args:
        companion: ``X Y Z``.
        image: of the case, ``X Y Z``.
        brain: of the image, ``X Y Z`` bool.

    Returns:
        notes, which start with its key.

    Raises:
        InputError: it shows too little of the brain, its values there cannot be normalised, or see
            :func:`~.grid_checks.check_forms`.
    """
    notes = list(companion.warnings)
    if not are_one_grid(image.grid, companion.grid):
        check_forms(replace(companion, qform=None), image)  # programs that align sequences may move the sform alone
        companion, brain, resampled = _resampled(companion, image, brain)
        notes += resampled
    check_values(companion, brain)
    check_no_labels(companion)
    notes += check_contrast(companion, brain)
    absent = float(np.mean(companion.data[brain] == 0))
    if absent > 0.2:
        notes.append(f"{100 * absent:.0f} % of the brain is 0 in it")
    return [f"{companion.key}: {note}" for note in notes]


def _resampled(companion: Volume, image: Volume, brain: np.ndarray) -> tuple[Volume, np.ndarray, list[str]]:
    """A companion on the grid of the image, the brain that it shows, and notes."""
    shown = shown_of(image.grid, companion.grid)
    share = float(np.mean(shown[brain]))
    if share < MIN_SHOWN:
        problem = f"shows {100 * share:.0f} % of the brain of {image.file}, by their affines"
        remedy = "Pass one of the same session that shows all of it (at least 80 %), or leave it out"
        raise InputError(companion.file, companion.key, problem, remedy)
    old, new = (" x ".join(f"{side:.3g}" for side in volume.spacing) for volume in (companion, image))
    notes = [f"resampled from {old} mm to the grid of {image.key}, {new} mm"]
    if share < 0.995:
        notes.append(f"does not show {100 * (1 - share):.0f} % of the brain, which is left out")
    placed = resample_to(
        image.grid, MetaTensor(torch.tensor(companion.data[None]), affine=torch.tensor(companion.affine))
    )
    return replace(companion, data=placed.numpy()[0], affine=image.affine), brain & shown, notes
