"""The brain of a case: in a mask that is given, in what is not 0, or in a whole head, from which it is extracted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runs.errors import InputError
from .checks import check_cover, check_extracted, check_mask
from .extraction import PREFERRED_SEQUENCES, brain_of_head, extractor, is_head
from .head_masks import HeadMasks
from .nifti import read_volume
from .one_grid import are_one_grid
from .volume import Volume, is_short
from .whole_head import WHOLE_HEAD, why_not_a_brain


@dataclass(frozen=True)
class FoundBrain:
    """The case as it goes on, its brain (``X Y Z`` bool), what found that, and notes."""

    case: Mapping[str, Any]
    voxels: np.ndarray
    source: str
    notes: list[str]


def find_brain(
    case: Mapping[str, Any],
    image: Volume,
    volumes: Sequence[Volume],
    slices: bool = False,
    head_masks: HeadMasks | None = None,
) -> FoundBrain:
    """Find the brain of a case; that of a whole head is extracted where that can be done.

    Args:
        case: with its files; a ``brain_mask`` that :class:`HeadMasks` wrote is made anew unless it is of this head.
        image: of the case.
        volumes: all that its ``image`` file holds.
        slices: the method takes few slices too; a whole head cannot be extracted from them.
        head_masks: where the brains of whole heads are extracted; None: whole heads are refused.

    Raises:
        InputError: a mask that cannot be used, a whole head without one that is refused, or whose brain is not found.
    """
    why = why_not_a_brain(image, slices)
    head = is_head(image, why, slices)
    if head_masks.is_given(case) if head_masks else case.get("brain_mask"):
        brain, notes = check_mask(read_volume(case["brain_mask"], "brain_mask", slices), image, slices)
        notes += _cover_of_head(brain, image, head_masks) if head else _cover(brain, image, slices)
        return FoundBrain(case, brain, "mask given", notes)
    if head and head_masks and not head_masks.offer:
        best = _preferred(case, image, volumes, slices)
        mask = head_masks.extract(case, best)
        brain, notes = check_mask(mask, image, slices)
        litres = np.count_nonzero(brain) * image.voxel_litres
        said = f"a whole head: its brain, {litres:.2f} l, was extracted by {extractor()} from its {best.key}"
        return FoundBrain({**case, "brain_mask": mask.file, WHOLE_HEAD: True}, brain, extractor(), [said, *notes])
    notes = check_extracted(image, why, slices, head_masks.offer if head and head_masks else "")
    return FoundBrain({k: v for k, v in case.items() if k != "brain_mask"}, image.data != 0, "non-zero voxels", notes)


def _preferred(case: Mapping[str, Any], image: Volume, volumes: Sequence[Volume], slices: bool) -> Volume:
    """The sequence from which the brain is extracted: the best of those that lie on the grid of the image.

    On a grid of its own a sequence was measured at another time, between which the head may have moved.
    """
    named = {volume.key: volume for volume in volumes}
    for name in PREFERRED_SEQUENCES:
        if name in named:
            return named[name]
        if name in case and are_one_grid(image.grid, (other := read_volume(case[name], name, slices)).grid):
            return other
    return image


def _cover(mask: np.ndarray, image: Volume, slices: bool) -> list[str]:
    if slices and is_short(image):  # perhaps of a head
        return []
    return check_cover(mask, image.data != 0)


def _cover_of_head(mask: np.ndarray, head: Volume, head_masks: HeadMasks | None) -> list[str]:
    """Compare a mask that came with a whole head with what would be extracted."""
    if head_masks is None:
        return []
    if head_masks.offer:
        return [f"whether the brain mask fits this whole head was not checked (to have it checked: {head_masks.offer})"]
    try:
        brain = brain_of_head(head, head_masks.device)
    except InputError as error:
        return [f"whether the brain mask fits this whole head is not known: {error.problem}"]
    return check_cover(mask, brain, f" that {extractor()} finds")
