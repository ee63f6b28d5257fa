"""Tell a whole head, or a volume without a zero background, from a brain that was extracted."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from .volume import MAX_SLICE_CM2, Volume, border, is_short, largest_slice

WHOLE_HEAD = "whole_head"
"""Of a case, and of the metadata of its image: its brain was extracted here, from a scan as the scanner gave it."""

MAX_BRAIN_LITRES = 2.5  # extracted brains, also in MNI space: 1.0 to 2.1; heads: 3.2 to 6.4
MAX_SKULL_FRACTION = 0.1  # extracted brains: at most 0.03; heads, however cropped or thresholded: at least 0.19 (T1)
MAX_SKULL_FRACTION_OF_SLICE = 0.2  # of extracted brains at most 0.13, of T1 heads above the ears at least 0.2
_RAYS, _REACH_MM, _SMOOTHING_MM = 800, 160, 1.5
_TISSUE, _BONE = 0.6, 0.3  # of the median brain intensity
_SCALP_MM, _BEHIND_MM = range(2, 22), 15  # bone lies 2 to 22 mm below the surface, brain at most 15 mm behind it


def why_not_a_brain(volume: Volume, slices: bool = False) -> str | None:
    """Say why the non-zero voxels of a volume are not one extracted brain; None if they may be one.

    Args:
        volume: ``X Y Z``, finite and not constant; the brain should be what is not 0 (:mod:`.intensity_zero`).
        slices: the volume may be a stack of axial slices; then its largest slice is looked at too.

    Three signs: most of the border of the volume (with ``slices``, of its slices) is not 0; more is non-zero than a
    brain holds; a layer of bone (dark, with tissue outside and inside) lies below the surface.
    """
    if np.mean(border(volume.data, [axis for axis in range(3) if not slices or axis != volume.slice_axis]) != 0) > 0.5:
        return "its background is not one value, as in a whole head"
    litres = np.count_nonzero(volume.data) * volume.voxel_litres
    if litres > MAX_BRAIN_LITRES:
        return f"{litres:.1f} l of it are non-zero, a brain has 0.8 to 2.1 l: a whole head, or noise around the brain"
    if not (slices and is_short(volume)) and skull_fraction(volume) > MAX_SKULL_FRACTION:
        return "it shows skull and scalp: a whole head"
    return _why_not_a_brain_slice(volume) if slices else None


def _why_not_a_brain_slice(volume: Volume) -> str | None:
    largest, area = largest_slice(volume, volume.data != 0)
    if area > MAX_SLICE_CM2:
        return f"{area:.0f} cm2 of a slice are non-zero, of a brain up to 230: a whole head, or noise around the brain"
    if skull_fraction(largest) > MAX_SKULL_FRACTION_OF_SLICE:
        return "its largest slice shows skull and scalp: a whole head"
    return None


def skull_fraction(volume: Volume) -> float:
    """Share, 0 to 1, of the rays from the centre that meet tissue, then bone, then tissue on their way in.

    Intensities are in units of the median along the inner rays, after shifting the lowest percentile to 0 where it is
    negative and smoothing by 1.5 mm (which closes sulci, not bone). In a single axial slice the rays stay within it.
    """
    data, spacing = volume.data, np.asarray(volume.spacing)
    foreground = data != 0
    offset = min(float(np.percentile(data[foreground], 1)), 0.0)
    smooth = gaussian_filter(np.where(foreground, data - offset, 0), _SMOOTHING_MM / spacing)
    along = _steps(volume)[:, None, :] * np.arange(_REACH_MM)[None, :, None]  # rays, steps of 1 mm, voxel axes
    centre = np.array([np.average(np.arange(n), weights=_profile(foreground, a)) for a, n in enumerate(data.shape)])
    points = centre + along
    rays = map_coordinates(smooth, points.reshape(-1, 3).T, order=1, mode="constant").reshape(points.shape[:2])
    brain = float(np.median(rays[:, 10:50]))
    if brain <= 0:
        return 0.0
    return float(np.mean([_meets_bone(ray / brain) for ray in rays]))


def _meets_bone(ray: np.ndarray) -> bool:
    """Whether a ray, given from the centre outwards in steps of 1 mm, has bone below its outermost tissue."""
    tissue = np.flatnonzero(ray > _TISSUE)
    if not tissue.size:
        return False
    inwards = ray[tissue[-1] :: -1]
    bone = np.flatnonzero(inwards[_SCALP_MM.start : _SCALP_MM.stop] < _BONE)
    if not bone.size:
        return False
    first = bone[0] + _SCALP_MM.start
    return bool((inwards[first : first + _BEHIND_MM] > _TISSUE).any())


def _steps(volume: Volume) -> np.ndarray:
    """1 mm along each ray, in voxels, rays x 3."""
    axis = volume.slice_axis
    if volume.data.shape[axis] > 1:
        return _directions() @ np.linalg.inv(volume.affine[:3, :3]).T
    angle = 2 * np.pi * np.arange(_RAYS) / _RAYS
    return np.insert(np.stack([np.cos(angle), np.sin(angle)], axis=1), axis, 0, axis=1) / volume.spacing


def _directions() -> np.ndarray:
    """Unit vectors spread evenly over the sphere (Fibonacci lattice), rays x 3."""
    i = np.arange(_RAYS) + 0.5
    height, angle = 1 - 2 * i / _RAYS, np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def _profile(foreground: np.ndarray, axis: int) -> np.ndarray:
    return foreground.sum(axis=tuple(a for a in range(3) if a != axis))
