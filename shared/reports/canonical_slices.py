"""A case made ready to be drawn: canonical orientation, cropped to the brain, and the slices that show it best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

X, Y, Z = range(3)
"""Canonical axes: to the patient's right, anterior, superior."""

MARGIN_MM, SLICE_GAP_MM = 5.0, 10.0


@dataclass(frozen=True)
class CanonicalCase:
    """The volumes of a case, `X Y Z` in the closest right-anterior-superior orientation, cropped to the brain.

    `affine` (`4 4`, mm) and `spacing` (mm) belong to the cropped grid; `label` and `head` are None where there is none.
    """

    image: np.ndarray
    pseudo_healthy: np.ndarray
    anomaly_map: np.ndarray
    mask: np.ndarray
    label: np.ndarray | None
    head: np.ndarray | None
    affine: np.ndarray
    spacing: np.ndarray


def canonical_case(volumes: Mapping[str, np.ndarray], affine: np.ndarray) -> CanonicalCase:
    """Turn the volumes of a case to the closest canonical orientation and crop them to the brain, mask and label.

    Args:
        volumes: `X Y Z` each, by the names of `CanonicalCase`; not finite values become 0, and the image is 0 outside
            the brain.
        affine: `4 4`, voxel indices to mm (RAS+).

    Raises:
        ValueError: a volume is not 3D or not of the image's shape.
    """
    shape = np.shape(volumes["image"])
    wrong = {name: np.shape(volume) for name, volume in volumes.items() if np.shape(volume) != shape}
    if len(shape) != 3 or wrong:
        raise ValueError(f"a picture needs 3D volumes on the grid of the image, {shape}; got {wrong or shape}")
    turned = {}
    for name, volume in volumes.items():
        finite = np.nan_to_num(np.asarray(volume, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        turned[name] = nib.as_closest_canonical(nib.spatialimages.SpatialImage(finite, affine))
    affine = turned["image"].affine
    spacing = voxel_sizes(affine)
    arrays = {name: np.asarray(volume.dataobj) for name, volume in turned.items()}
    shown = (arrays["image"] != 0) | (arrays["mask"] > 0) | (arrays.get("label", arrays["mask"]) > 0)
    box = []
    for axis in range(3):
        planes = np.flatnonzero(shown.any(axis=tuple({0, 1, 2} - {axis})))
        first, last = (planes[0], planes[-1]) if planes.size else (0, shown.shape[axis] - 1)
        margin = int(np.ceil(MARGIN_MM / spacing[axis]))
        box.append(slice(max(first - margin, 0), last + margin + 1))
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in box]
    cropped = {name: array[tuple(box)] for name, array in arrays.items()}
    label, head = (cropped.pop(name, None) for name in ("label", "head"))
    return CanonicalCase(**cropped, label=label, head=head, affine=affine @ shift, spacing=spacing)


def main_slice(case: CanonicalCase, axis: int) -> int:
    """The slice with the most mask; without a mask through the map's maximum; without a map with the most brain."""
    others = tuple({0, 1, 2} - {axis})
    mask = case.mask > 0
    if not mask.any() and case.anomaly_map.max() > 0:
        return int(np.unravel_index(np.argmax(case.anomaly_map), case.anomaly_map.shape)[axis])
    return int(np.argmax((mask if mask.any() else case.image != 0).sum(axis=others)))


def axial_slices(case: CanonicalCase) -> list[int]:
    """At most three slices from top to bottom: the main one, then ends of the mask, then quantiles of the brain."""
    wanted = [main_slice(case, Z)]
    for volume, fractions in ((case.mask > 0, (0.9, 0.1)), (case.image != 0, (0.5, 0.75, 0.25, 0.9, 0.1))):
        volume_below = np.cumsum(volume.sum(axis=(X, Y)))
        if volume_below[-1] > 0:
            wanted += [int(np.searchsorted(volume_below, part * volume_below[-1])) for part in fractions]
    chosen: list[int] = []
    for index in wanted:
        if len(chosen) < 3 and all(abs(index - other) * case.spacing[Z] >= SLICE_GAP_MM for other in chosen):
            chosen.append(index)
    return sorted(chosen, reverse=True)


def position_mm(case: CanonicalCase, axis: int, index: int) -> int:
    """World coordinate along `axis` of the centre of a slice, rounded to mm."""
    voxel = (np.array(case.image.shape) - 1) / 2
    voxel[axis] = index
    return round(float(apply_affine(case.affine, voxel)[axis]))
