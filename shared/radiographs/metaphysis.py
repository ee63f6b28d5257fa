"""The distal metaphysis of the tibia, where classic metaphyseal lesions lie, cut out of a radiograph by its mask."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_tensor, ensure_tuple
from torch.nn import functional

from .generated_masks import whole_tibia
from .random_affines import RandomAffines

SIDE = 1.4  # of the square, over the width of the metaphysis: room for the fibula's edge, and for lesions that heal
ABOVE = 1.0  # of it above the distal end, over the same width; the rest shows the growth plate


def metaphysis_square(tibia: torch.Tensor) -> tuple[float, float, float]:
    """The square around the distal end of a tibia that is shown with the foot down.

    Args:
        tibia: mask ``X Y``, bool, X down; its largest component counts.

    Returns:
        row and column of the centre, and side, in pixels from the corner of the image; the side is in proportion to the
        width of the metaphysis, the broadest row of the mask, so that no pixel size need be known.

    Raises:
        ValueError: the mask is empty (the door refuses such radiographs).
    """
    rows = [np.flatnonzero(row) for row in whole_tibia(tibia).numpy()]
    broad = [row[-1] + 1 - row[0] if len(row) else 0 for row in rows]
    width, end = max(broad), len(broad) - next((n for n, wide in enumerate(reversed(broad)) if wide), len(broad))
    if not width:
        raise ValueError("the mask of the tibia is empty")
    near = np.concatenate(rows[max(0, end - round(width / 2)) : end])
    return float(end + (SIDE / 2 - ABOVE) * width), float(near.min() + near.max() + 1) / 2, float(SIDE * width)


class MetaphysisCropd(Randomizable, MapTransform):
    """Cut out the distal metaphysis as a square of ``size`` pixels; what is that size already is a crop and stays so.

    Grey values are mapped to [-1, 1] after it: by the crop alone, so that crops and samples are read alike.

    Pixels are means over their area of the linearly interpolated radiograph. It is interpolated once, random changes
    included, so that crops are equally sharp with and without them; beyond the edges it is mirrored.

    Args:
        keys: radiographs ``1 X Y``, with the foot down; become ``1 size size``, without a place in the file's grid.
        size: pixels a side.
        mask_keys: masks ``1 X Y`` of 0 and 1, the tibia first; so they stay.
        augment: random changes of the square, from the state of this transform; None: none.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        mask_keys: KeysCollection = ("tibia_mask", "lesion_mask"),
        augment: RandomAffines | None = None,
    ) -> None:
        super().__init__(keys)
        self.size, self.mask_keys, self.augment = size, ensure_tuple(mask_keys), augment

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        maps = [convert_to_tensor(d[key], track_meta=False).float() for key in (*self.keys, *self.mask_keys)]
        cut = MetaTensor(self._sampled(torch.cat(maps), self._square(d)))
        for n, key in enumerate(self.keys):
            d[key] = cut[n : n + 1]
        for n, key in enumerate(self.mask_keys, len(self.keys)):
            d[key] = (cut[n : n + 1] > 0.5).float()
        return d

    def _square(self, d: Mapping[Hashable, Any]) -> tuple[float, float, float]:
        tibia = d[self.mask_keys[0]]
        if tuple(tibia.shape[1:]) == (self.size, self.size):
            return self.size / 2, self.size / 2, self.size
        return metaphysis_square(convert_to_tensor(tibia, track_meta=False)[0] > 0)

    def _sampled(self, maps: torch.Tensor, square: tuple[float, float, float]) -> torch.Tensor:
        (row, column, side), (height, width) = square, maps.shape[1:]
        place = torch.tensor([[side / width, 0, 2 * column / width - 1], [0, side / height, 2 * row / height - 1]])
        if self.augment is not None:
            generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
            change = self.augment.draw(1, generator)[0]
            place = place @ torch.cat([change, torch.tensor([[0.0, 0.0, 1.0]])])
        fine = math.ceil(side / self.size)  # points per pixel along an axis: no pixel of the radiograph is passed over
        grid = functional.affine_grid(place[None], [1, 1, fine * self.size, fine * self.size], align_corners=False)
        found = functional.grid_sample(maps[None], grid, padding_mode="reflection", align_corners=False)
        return functional.avg_pool2d(found, fine)[0]
