"""The structural hint of IterMask3D: the image without its low spatial frequencies."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from torch.nn import functional


def high_pass(
    image: torch.Tensor,
    spacing: Sequence[float],
    cutoff: float = 15 / 192,
    field_of_view: Sequence[float] = (192.0, 224.0, 192.0),
) -> torch.Tensor:
    """Remove the spatial frequencies below a cutoff; phase and all higher frequencies stay (IterMask3D, x_f).

    The paper drops the indices below 15 of a 192 mm field; here the cutoff is in cycles per mm, so that the result is
    the same for every grid. The image is first centred in a fixed field filled with its own background, so that
    it does not depend on how tightly it was cropped either.

    Args:
        image: ``B C *S``; the first voxel holds the background value.
        spacing: of the spatial axes, in mm.
        cutoff: in cycles per mm; a wavelength of 12.8 mm by default.
        field_of_view: least extent of the transformed field, in mm per axis.

    Returns:
        ``B C *S``, float32, mean 0 over the field.
    """
    sizes = image.shape[2:]
    field = [max(size, round(mm / step)) for size, mm, step in zip(sizes, field_of_view, spacing)]
    before = [(full - size) // 2 for full, size in zip(field, sizes)]
    padding = [p for full, size, b in zip(field, sizes, before) for p in (full - size - b, b)][::-1]
    background = image[(slice(None), slice(None)) + (0,) * len(sizes)].float()
    centred = image.float() - background.reshape(*background.shape, *(1,) * len(sizes))
    spectrum = torch.fft.rfftn(functional.pad(centred, padding), dim=list(range(2, image.dim())))
    squared = torch.zeros((), device=image.device)
    for axis, (size, step) in enumerate(zip(field, spacing)):
        frequency = (torch.fft.rfftfreq if axis == len(field) - 1 else torch.fft.fftfreq)(size, d=step)
        shape = [1] * len(field)
        shape[axis] = -1
        squared = squared + frequency.to(image.device).square().reshape(shape)
    spectrum = spectrum * (squared >= cutoff**2)
    filtered = torch.fft.irfftn(spectrum, s=field, dim=list(range(2, image.dim())))
    return filtered[(...,) + tuple(slice(b, b + size) for b, size in zip(before, sizes))]


class HighPassd(MapTransform):
    """Add the high-pass of each image, ``1 X Y Z``.

    Args:
        keys: images, ``1 X Y Z``.
        spacing: of the network's grid in mm. Not read from the image, whose affine follows random zooms.
        output_key: where the high-pass goes.
        cutoff: in cycles per mm.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing: Sequence[float],
        output_key: str = "high_pass",
        cutoff: float = 15 / 192,
    ) -> None:
        super().__init__(keys)
        self.spacing, self.output_key, self.cutoff = spacing, output_key, cutoff

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = convert_to_tensor(d[key], track_meta=False)[None]
            d[self.output_key] = high_pass(image, self.spacing, self.cutoff)[0]
        return d
