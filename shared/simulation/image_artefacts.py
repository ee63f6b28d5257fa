"""Artefacts of MRI that are lines or gaps in the image; the bias field is :class:`monai.transforms.RandBiasField`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Transform
from monai.utils import convert_to_dst_type, convert_to_tensor


class Zipper(Transform):
    """Stripes of noise across every axial slice, of its own range of intensities (released code of IterMask3D).

    Args:
        positions: where the stripes start along Y, as shares of the axis.
        width: of a stripe, as a share of the axis; at least one voxel.
        seed: of the noise; stripes at a place have the same noise whatever their number.
    """

    def __init__(self, positions: Sequence[float], width: float, seed: int) -> None:
        self.positions, self.width, self.seed = positions, width, seed

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z`` to ``1 X Y Z``, float32."""
        values = convert_to_tensor(img, dtype=torch.float32, track_meta=False).clone()
        noise = torch.from_numpy(np.random.default_rng(self.seed).random(values.shape, dtype=np.float32))
        low, high = values.amin(dim=(1, 2), keepdim=True), values.amax(dim=(1, 2), keepdim=True)
        noise = low + noise * (high - low)
        size = values.shape[2]
        for position in self.positions:
            start = round(position * size)
            stripe = slice(start, start + max(1, round(self.width * size)))
            values[:, :, stripe] = noise[:, :, stripe]
        return convert_to_dst_type(values, img, dtype=torch.float32)[0]


class MissingChunk(Transform):
    """Axial slices without signal, at the top of the brain or in the middle of the volume.

    The released code of IterMask3D empties slices across the second axis of its arrays, whose orientation it does not
    say; here top is superior.

    Args:
        thickness: of the gap, as a share of the last axis.
        top: from the highest slice with brain downwards; else centred at ``MIDDLE`` of the axis.
    """

    MIDDLE = 95 / 192

    def __init__(self, thickness: float, top: bool) -> None:
        self.thickness, self.top = thickness, top

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z``, Z upwards, 0 outside the brain, to ``1 X Y Z``, float32."""
        values = convert_to_tensor(img, dtype=torch.float32, track_meta=False).clone()
        size = values.shape[3]
        slices = max(1, round(self.thickness * size))
        start = round(self.MIDDLE * size - slices / 2)
        if self.top:
            start = max(0, int(values.ne(0).any(dim=2).any(dim=1)[0].nonzero().max()) + 1 - slices)
        values[..., start : start + slices] = 0
        return convert_to_dst_type(values, img, dtype=torch.float32)[0]
