"""The brain of a whole head, extracted as a transform: for what has no door."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from .checks import check_extracted, check_no_labels
from .extraction import brain_of_head, how_to_extract, is_head
from .volume import Volume
from .whole_head import WHOLE_HEAD, why_not_a_brain


def whole_heads(batch: torch.Tensor) -> list[bool]:
    """Which images of a batch ``B C *S`` were whole heads whose brains were extracted here, as its metadata say."""
    marks = getattr(batch, "meta", {}).get(WHOLE_HEAD, False)
    return np.broadcast_to(np.asarray(marks, dtype=bool).ravel(), len(batch)).tolist()


class ExtractBraind(MapTransform):
    """Give a whole head the mask of its brain, where no door has: in MONAI Label.

    The metadata of the image say whether it is one (:func:`whole_heads`), also where the door extracted its brain.
    Nothing else is done where there is a mask, where the image is an extracted brain, and to a case of the door, which
    it has named (``case_id``) and checked.

    Args:
        keys: images as read, ``1 X Y Z``; the brain is that of the first, and the others are marked alike.
        mask_key: brain mask, ``1 X Y Z`` float 0/1.
        mode: "auto", or "never": a whole head is refused.
        slices: few slices, from which no brain can be extracted, are welcome.
        device: where the networks of the extraction run.

    Raises:
        InputError: a label map, or a whole head that is refused or whose brain is not found.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str = "brain_mask",
        mode: str = "auto",
        slices: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(keys)
        self.mask_key, self.offer, self.slices, self.device = mask_key, how_to_extract(mode), slices, device

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key].meta[WHOLE_HEAD] = d.get(WHOLE_HEAD, False)
            if key != self.keys[0] or self.mask_key in d or "case_id" in d:
                continue
            file = str(d[key].meta.get("filename_or_obj", key))
            image = Volume(file, str(key), np.asarray(d[key][0]), np.asarray(d[key].affine))
            check_no_labels(image)
            why = why_not_a_brain(image, self.slices)
            if is_head(image, why, self.slices) and not self.offer:
                brain = torch.from_numpy(brain_of_head(image, self.device)[None])
                d[self.mask_key] = MetaTensor(brain.float(), meta=d[key].meta)
                d[key].meta[WHOLE_HEAD] = d[WHOLE_HEAD] = True
            else:
                check_extracted(image, why, self.slices, self.offer)
        return d
