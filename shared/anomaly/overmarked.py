"""The refusal of a case most of whose brain would be marked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..runs.errors import InputError

_REMEDY = (
    "Look at the scan: is it of the named sequence, its brain extracted well, without strong shading, and are its "
)
_REMEDY += "values those of the scanner? Else choose a higher --threshold"


class RefuseOvermarkedd(MapTransform):
    """Refuse a case most of whose brain is marked: no lesion is as large, but any scan unlike those of the training is.

    Args:
        keys: masks, ``1 X Y Z``, 0 and 1.
        max_share: of the brain, 0 to 1.

    Reads ``native_brain_mask``, and of ``native_image`` the name of its file.

    Raises:
        InputError: more is marked.
    """

    def __init__(self, keys: KeysCollection, max_share: float) -> None:
        super().__init__(keys)
        self.max_share = max_share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        brain = np.asarray(data["native_brain_mask"]) > 0
        for key in self.key_iterator(dict(data)):
            share = float(np.mean(np.asarray(data[key])[brain] > 0))
            if share > self.max_share:
                file = str(data["native_image"].meta.get("filename_or_obj", ""))
                raise InputError(
                    file, "image", f"{100 * share:.0f} % of its brain would be marked, which is no result", _REMEDY
                )
        return dict(data)
