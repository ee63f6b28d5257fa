"""The door of radiographs: every file that a task needs is read and checked once; bad cases are named and left out.

Of other anatomy ``tibia_mask`` is the mask of the organ, and class 1 that which ``class_names`` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..cases.checked_cases import CheckedCases
from ..cases.radiograph_cases import MASKS
from ..runs.errors import DataListError, InputError
from .reading import Radiograph, read_mask, read_radiograph

CLASSES = ("normal", "fracture")  # of class_label 0 and 1, where no other class_names are given


class RadiographDoor(CheckedCases):
    """Check what a task needs of each case; the rest of the case is neither read nor handed on.

    Args:
        cases: as :func:`~..cases.radiograph_cases.gather_radiographs` returns them; ``class_label`` is 0 (normal) or 1
            (fracture).
        needs: beside the image, of ``tibia_mask``, ``lesion_mask`` and ``class_label``. With the class, a case of class
            0 may lack its lesion mask; a lesion mask that contradicts the class is refused.
        both_classes: there must be good cases of both classes, :meth:`require_some` sees to it.
        class_names: of class 0 and 1, for messages.

    Raises:
        ValueError: unknown ``needs``, or ``both_classes`` without ``class_label``.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        needs: Sequence[str] = (),
        both_classes: bool = False,
        class_names: Sequence[str] = CLASSES,
    ) -> None:
        if unknown := set(needs) - {*MASKS, "class_label"}:
            raise ValueError(f"needs may name {', '.join(MASKS)} and class_label, not {', '.join(sorted(unknown))}")
        if both_classes and "class_label" not in needs:
            raise ValueError("both_classes needs the class: add class_label to needs")
        self.both_classes, self.class_names = both_classes, class_names
        super().__init__(cases, lambda case: check_radiograph_case(case, needs, class_names))

    def require_some(self, processes: int = 1) -> None:
        """Stop where nothing is left to do, or not for every one of the processes that share the cases.

        Raises:
            NoUsableCaseError: no case passed.
            DataListError: fewer cases than processes, or all of one class where both are needed.
        """
        super().require_some(processes)
        present = {case["class_label"] for case in self.cases} if self.both_classes else {0, 1}
        if len(present) == 1:
            (only,) = present
            names = self.class_names
            raise DataListError(
                f"all {len(self.cases)} usable cases are of class {only} ({names[only]}); add cases of class_label "
                f"{1 - only} ({names[1 - only]}) to the section, or mend those left out"
            )


def check_radiograph_case(
    case: Mapping[str, Any], needs: Sequence[str], class_names: Sequence[str] = CLASSES
) -> tuple[dict[str, Any], list[str]]:
    """Check one case.

    Args:
        case: as :func:`~..cases.radiograph_cases.gather_radiographs` returns it.
        needs: as for :class:`RadiographDoor`.
        class_names: as for :class:`RadiographDoor`.

    Returns:
        ``case_id``, ``group``, ``image`` and what is needed of the case, and notes on what is unusual. A case of class
        0 without a lesion mask stays without: it is empty.

    Raises:
        InputError: the first problem found.
    """
    good = {key: case[key] for key in ("case_id", "group") if key in case}
    good["image"] = _path(case, "image")
    image = read_radiograph(good["image"], "image")
    notes = image.warnings + _not_square(image)
    if "class_label" in needs:
        good["class_label"] = _class_label(case, class_names)
    masks = {}
    for key in (key for key in MASKS if key in needs):
        if key == "lesion_mask" and good.get("class_label") == 0 and key not in case:
            continue
        good[key] = _path(case, key)
        masks[key] = _mask(good[key], key, image)
        notes += masks[key].warnings
    if "tibia_mask" in masks and not masks["tibia_mask"].data.any():
        raise InputError(good["tibia_mask"], "tibia_mask", "is empty", "Outline what it is to show")
    if "lesion_mask" in masks and "class_label" in good:
        _check_lesion(masks["lesion_mask"], good["class_label"], class_names)
    if len(masks) == len(MASKS):
        notes += _outside(masks["lesion_mask"].data, masks["tibia_mask"].data)
    return good, notes


def _path(case: Mapping[str, Any], key: str) -> str:
    if key not in case:
        remedy = "Add it to the datalist"
        remedy += " (class 0 may go without where class_label is needed too)" if key == "lesion_mask" else ""
        raise InputError(case["case_id"], key, f"has no '{key}'", remedy)
    return case[key]


def _class_label(case: Mapping[str, Any], class_names: Sequence[str]) -> int:
    class_label = case.get("class_label")
    if class_label not in (0, 1):
        problem = "has no class" if class_label is None else f"its class_label is {class_label!r}"
        remedy = f"Say 0 ({class_names[0]}) or 1 ({class_names[1]}) in the datalist"
        raise InputError(case["case_id"], "class_label", problem, remedy)
    return int(class_label)


def _mask(file: str, key: str, image: Radiograph) -> Radiograph:
    mask = read_mask(file, key)
    if mask.data.shape != image.data.shape:
        sizes = [f"{m.data.shape[0]} rows of {m.data.shape[1]} pixels" for m in (mask, image)]
        problem = f"has {sizes[0]}, but the image {image.file} has {sizes[1]}"
        raise InputError(file, key, problem, "Draw it on this image, or resample it by nearest neighbour")
    return mask


def _check_lesion(lesion: Radiograph, class_label: int, class_names: Sequence[str]) -> None:
    if lesion.data.any() and class_label == 0:
        problem = f"shows a lesion of {int(lesion.data.sum())} pixels, but the class_label is 0 ({class_names[0]})"
        raise InputError(lesion.file, lesion.key, problem, "Mend the class_label, or leave the mask out")
    if not lesion.data.any() and class_label == 1:
        problem = f"is empty, but the class_label is 1 ({class_names[1]})"
        remedy = "Outline the lesion, mend the class_label, or take lesion_mask out of needs"
        raise InputError(lesion.file, lesion.key, problem, remedy)


def _not_square(image: Radiograph) -> list[str]:
    down, right = image.spacing or (1.0, 1.0)
    return [f"pixels of {down:g} x {right:g} mm are not square"] if abs(down / right - 1) > 0.01 else []


def _outside(lesion: np.ndarray, tibia: np.ndarray) -> list[str]:
    outside = float(np.mean(tibia[lesion > 0] == 0)) if lesion.any() else 0.0
    return [f"{100 * outside:.0f} % of lesion_mask lies outside tibia_mask"] if outside > 0.5 else []
