"""The zero of a scan's intensities, which is its background, and what stands for it where that was moved."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from .volume import Volume, border, superior_axis

_SAME = 1e-6  # of the 99th percentile, as far as rounding moves a constant
MAX_BELOW_ZERO = 0.2
"""Share of the tissue that is below the background in scans whose zero is not lost; in real brains at most .005."""
_INVERTED = 0.9  # share of it from which the scan is rather a negative
_FEW_BELOW = 0.005  # the most in real brains; interpolation by splines makes more, none of them far below
_DARKEST = 0.1  # percentile of the tissue, in brains .00 to .21 of the 90th (217 volumes of IXI and TCGA-LGG)
_FAR = 0.6  # of the 90th percentile; volumes, simulated T2 with its bright fluid too, have their darkest below
_EVEN = 0.005  # of the 90th percentile: a darkest voxel as close to the median is that of a drawing of one grey
_DEEP = 0.25  # of the way from the darkest to the 90th percentile; overshoots of an interpolation reach a tenth
_STANDARD = 0.05  # mean of the tissue, and its standard deviation less 1, are as near to 0 by accident hardly ever


_FRAME = "; planes of one value at its border are no tissue: set to 0"


class IntensityZero(NamedTuple):
    """The values of a file that become 0: that of the background, and the level from which tissue is measured."""

    background: float = 0.0
    tissue: float = 0.0


class FoundZero(NamedTuple):
    """The zero of an image, where it has tissue (``X Y Z`` bool), and what is to be said, if there is anything."""

    zero: IntensityZero
    tissue: np.ndarray
    note: str


def find_zero(image: np.ndarray, slice_axis: int) -> FoundZero | None:
    """Find the zero of an image ``X Y Z``; None where the border of its slices is not, for the most part, one value.

    Scans that were scaled to [-1, 1] or standardised over the whole field have their true zero in the background. A
    negative value around a scan without negative ones is padding. A scan that was standardised, scaled or shifted
    within the brain, what is outside being set to another value, has lost its zero: the darkest of the tissue stands
    for it, which in brains as scanners give them is next to 0.
    """
    edge = border(image, [axis for axis in range(3) if axis != slice_axis])
    background = float(np.median(edge))
    same = _SAME * float(np.percentile(np.abs(image - background), 99))
    if np.mean(np.abs(edge - background) <= same) <= 0.5:
        return None
    frame = _constant_planes(image)
    tissue = (np.abs(image - background) > same) & ~frame
    values = image[tissue]
    if not values.size or values.min() == values.max():
        return None  # no scan
    darkest, middle, bright = (float(level) for level in np.percentile(values, [_DARKEST, 50, 90]))
    below = float(np.mean(values < background))
    framed = _FRAME if np.any(np.abs(image[frame] - background) > same) else ""
    if background < 0 <= darkest:
        note = f"its background is {background:g}, a padding value: set to 0"
        return FoundZero(IntensityZero(background, 0.0), tissue, note + framed)
    standard = background != 0 and max(abs(values.mean()), abs(values.std() - 1)) < _STANDARD
    above = darkest - background > _FAR * (bright - background) and middle - darkest > _EVEN * (bright - background)
    inside = below > _FEW_BELOW and background - darkest > _DEEP * (bright - darkest)
    if standard or above or (inside and below <= _INVERTED) or MAX_BELOW_ZERO < below <= _INVERTED:
        note = f"its background is {background:g}, and its tissue reaches from {darkest:.3g}: changed in the brain "
        note += "alone. The darkest was taken for the lost zero, which makes the map right to a few percent: better "
        return FoundZero(IntensityZero(background, darkest), tissue, f"{note}pass the scan as it was before{framed}")
    note = f"its background is {background:g}, not 0: subtracted" if background else ""
    return FoundZero(IntensityZero(background, background), tissue, (note + framed).removeprefix("; "))


def _constant_planes(image: np.ndarray) -> np.ndarray:
    """Where the outermost planes of a volume ``X Y Z`` hold one value each, inwards from every side: no tissue does."""
    constant = np.zeros(image.shape, dtype=bool)
    for axis in (0, 1, 2) * 2:  # again, as planes of different values cross
        planes, marks = np.moveaxis(image, axis, 0), np.moveaxis(constant, axis, 0)
        for order in (range(len(planes)), range(len(planes) - 1, -1, -1)):
            for n in order:
                rest = planes[n][~marks[n]]
                if rest.size and rest.min() != rest.max():
                    break
                marks[n] = True
    return constant


def set_zero(image: np.ndarray, slice_axis: int) -> tuple[np.ndarray, IntensityZero, str]:
    """The image ``X Y Z`` less its zero, 0 in the background; that zero; and what is to be said of it.

    An image whose background is 0, or not one value, is returned as it is.
    """
    found = find_zero(image, slice_axis)
    if found is None:
        return image, IntensityZero(), ""
    zero, tissue, note = found
    if zero == (0, 0) and not image[~tissue].any():
        return image, zero, note
    return np.where(tissue, image - np.float32(zero.tissue), np.float32(0)), zero, note


def with_zero(volume: Volume) -> Volume:
    """A volume whose background is 0, if it was one value, and a note on that."""
    data, _, note = set_zero(volume.data, volume.slice_axis)
    return replace(volume, data=data, warnings=volume.warnings + [note] * bool(note))


class IntensityZerod(MapTransform):
    """Set the background of images to 0, where it is another value, and the zero of what was standardised.

    Args:
        keys: images as read, ``C X Y Z``, each channel by itself; those a case does not have are passed over.

    Adds ``intensity_zero``, by key an array ``C 2`` of :class:`IntensityZero`: the way back to the units of the file.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        zeros = {}
        for key in self.key_iterator(d):
            channels, axis = list(np.asarray(d[key])), superior_axis(np.asarray(d[key].affine))[0]
            done = [set_zero(channel, axis) for channel in channels]
            if any(after is not before for (after, _, _), before in zip(done, channels)):
                d[key] = MetaTensor(torch.from_numpy(np.stack([after for after, _, _ in done])), meta=d[key].meta)
            zeros[str(key)] = np.array([zero for _, zero, _ in done], np.float32)
        return {**d, "intensity_zero": zeros}


def in_units_of_file(image: np.ndarray, brain: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """The way back: images ``C X Y Z``, 0 outside the brain ``X Y Z``, with their zeros, ``C 2``, put back."""
    background, tissue = zeros.T[:, :, None, None, None]
    return np.where(brain > 0, image + tissue, background)
