"""Transforms of the methods that work on axial slices of a volume."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from torch.nn import functional

from .transforms import Spacingd
from .units import to_median_units


def slices_of(volume: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Slices ``N 1 X Y`` with these numbers of a volume ``1 X Y Z``."""
    return volume[..., numbers].permute(3, 0, 1, 2)


def volume_of(slices: torch.Tensor, numbers: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """The way back from :func:`slices_of`: ``1 X Y Z``; all other slices are those of ``background``."""
    return background.index_copy(-1, numbers, slices.permute(1, 2, 3, 0))


class SliceSpacingd(MapTransform):
    """Resample to square pixels and a slice step of at least so many mm; thicker slices stay where they are.

    Args:
        keys: volumes ``1 X Y Z`` in RAS orientation, Z is the slice axis; those a case does not have are passed over.
        pixel_mm: size of a pixel.
        min_step_mm: smallest distance of slices.
        mode: "bilinear" for images, "nearest" for masks, one per key.

    Raises:
        ValueError: no pixel size above 0, or a distance below 0.
    """

    def __init__(self, keys: KeysCollection, pixel_mm: float, min_step_mm: float, mode: Sequence[str] | str) -> None:
        super().__init__(keys, allow_missing_keys=True)
        if not (pixel_mm > 0 and min_step_mm >= 0):
            raise ValueError(f"pixel_mm must be above 0 and min_step_mm at least 0, got {pixel_mm} and {min_step_mm}")
        self.pixel_mm, self.min_step_mm = pixel_mm, min_step_mm
        self.mode = [mode] * len(self.keys) if isinstance(mode, str) else list(mode)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key, mode in self.key_iterator(d, self.mode):
            step = max(self.min_step_mm, float(d[key].pixdim[2])) if d[key].shape[-1] > 1 else float(d[key].pixdim[2])
            d = Spacingd(key, pixdim=(self.pixel_mm, self.pixel_mm, step), mode=mode)(d)
        return d


class LesionFreeMaskd(MapTransform):
    """Make the mask of lesion-free tissue: the brain without the label and a margin around it, in plane.

    Args:
        keys: labels, ``1 X Y Z``, above 0 is lesion; a case without one has no lesion.
        margin: in pixels.
        mask_key: brain mask ``1 X Y Z``.
        name: of the result, ``1 X Y Z`` float 0/1.
    """

    def __init__(
        self, keys: KeysCollection, margin: int, mask_key: str = "brain_mask", name: str = "lesion_free"
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.margin, self.mask_key, self.name = margin, mask_key, name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        d[self.name] = d[self.mask_key].clone()
        width = 2 * self.margin + 1
        for key in self.key_iterator(d):
            grown = functional.max_pool3d((d[key][None] > 0).float(), (width, width, 1), 1, (self.margin,) * 2 + (0,))
            d[self.name] = d[self.name] * (1 - grown[0])
        return d


class SlicesAsChannelsd(MapTransform):
    """``1 X Y Z`` to a plain tensor ``Z X Y``, so that two-dimensional transforms treat all slices of a case alike."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = torch.as_tensor(np.asarray(d[key][0])).float().permute(2, 0, 1).contiguous()
        return d


class MedianUnitsd(MapTransform):
    """Rescale images ``Z X Y`` by the median of their brain.

    Args:
        keys: of the images.
        mask_key: of their brain mask.
        units: :func:`~.units.to_median_units` or :func:`~.units.to_half_median_units`.
    """

    def __init__(
        self, keys: KeysCollection, mask_key: str = "brain_mask", units: Callable[..., Any] = to_median_units
    ) -> None:
        super().__init__(keys)
        self.mask_key, self.units = mask_key, units

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.units(d[key], d[self.mask_key])[0]
        return d


class EnsureLabeld(MapTransform):
    """Give a case without a label an empty one, ``1 X Y Z``, on the grid of its brain mask."""

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            d.setdefault(key, torch.zeros_like(d[self.mask_key]))
        return d


class RandSlicesd(Randomizable, MapTransform):
    """Draw slices of a case, all with enough brain alike: a list of ``{"image", "brain_mask", "lesion_free"}``.

    Each keeps the ``case_id`` where there is one.

    Args:
        keys: sequences ``Z X Y``, stacked to ``image`` ``S X Y`` in this order; masks become ``1 X Y``.
        count: of slices; drawn without replacement while they last.
        min_share: of the largest slice's brain that a slice must hold.
    """

    def __init__(self, keys: KeysCollection, count: int, min_share: float = 0.1) -> None:
        MapTransform.__init__(self, keys)
        self.count, self.min_share = count, min_share

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[str, Any]]:
        d = dict(data)
        named: dict[str, Any] = {str(key): d[key] for key in d.keys() & {"case_id"}}
        area = d["brain_mask"].sum(dim=(1, 2))
        usable = (area >= max(float(self.min_share * area.max()), 1)).nonzero()[:, 0].tolist()
        chosen: list[int] = []
        while len(chosen) < self.count:
            chosen += self.R.permutation(usable).tolist()
        stacked = torch.stack([d[key] for key in self.keys], dim=1)  # Z S X Y
        masks = {key: d[key][:, None] for key in ("brain_mask", "lesion_free")}
        return [{**named, "image": stacked[z], **{k: v[z] for k, v in masks.items()}} for z in chosen[: self.count]]
