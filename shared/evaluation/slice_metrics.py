"""Metrics of a volume slice by slice, for methods that work on slices: lesion slices, lesion-free slices, heights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .segmentation import surface_distances

TENTHS = 10


def slice_metrics(mask: np.ndarray, label: np.ndarray, brain_mask: np.ndarray, axis: int) -> dict[str, float]:
    """Compare a mask with its label in the slices that hold lesion, and count what it marks in the others.

    Args:
        mask, label, brain_mask: ``X Y Z``, above 0 is predicted anomalous, anomalous, brain.
        axis: the one that the slices are stacked along.

    Returns:
        ``lesion_slices``, how many hold a label; ``dice_lesion_slices``, the mean over them; and
        ``false_positive_rate_free_slices``, the share of the brain voxels of all others that is marked. The last two
        in [0, 1], NaN where there is none.

    Raises:
        ValueError: the volumes are not 3D or not on one grid.
    """
    mask, label, brain = _slices(mask, label, brain_mask, axis)
    in_mask, in_label, in_both = (volume.sum(axis=1) for volume in (mask, label, mask & label))
    lesion = in_label > 0
    dice = 2 * in_both[lesion] / (in_mask + in_label)[lesion]
    marked, counted = int((mask & brain)[~lesion].sum()), int(brain[~lesion].sum())
    return {
        "lesion_slices": int(lesion.sum()),
        "dice_lesion_slices": float(dice.mean()) if dice.size else float("nan"),
        "false_positive_rate_free_slices": marked / counted if counted else float("nan"),
    }


def hd95_in_plane(mask: np.ndarray, label: np.ndarray, spacing: Sequence[float], axis: int) -> float:
    """Mean of the slices' 95 % Hausdorff distance, in mm in plane, for stacks whose slice distance is not known.

    Args:
        mask, label, axis: as in `slice_metrics`.
        spacing: voxel size in mm along X, Y and Z.

    Returns:
        the mean over the slices where both hold something; NaN where there is none. A missed slice does not count.
    """
    in_plane = tuple(float(size) for n, size in enumerate(spacing) if n != axis)
    pairs = zip(*(np.moveaxis(np.asarray(volume) > 0, axis, 0) for volume in (mask, label)))
    distances = [surface_distances(m, x, in_plane)[0] for m, x in pairs if m.any() and x.any()]
    return float(np.mean(distances)) if distances else float("nan")


def free_voxels_by_height(
    mask: np.ndarray, label: np.ndarray, brain_mask: np.ndarray, axis: int, direction: int = 1
) -> np.ndarray:
    """Count the brain voxels of slices without a label, by tenth of the brain's extent along the axis.

    A slice belongs to the tenth that its centre lies in; a brain of fewer than ten slices leaves tenths empty.

    Args:
        mask, label, brain_mask, axis: as in `slice_metrics`.
        direction: 1 where the index grows from inferior to superior, -1 where it falls (`superior_axis`).

    Returns:
        ``2 10`` int: marked and all brain voxels, the lowest tenth first.

    Raises:
        ValueError: as in `slice_metrics`.
    """
    mask, label, brain = (volume[::direction] for volume in _slices(mask, label, brain_mask, axis))
    counts = np.zeros((2, TENTHS), dtype=np.int64)
    slices = np.flatnonzero(brain.any(axis=1))
    if slices.size == 0:
        return counts
    first, extent = slices[0], slices[-1] - slices[0] + 1
    free = slices[~label[slices].any(axis=1)]
    tenths = (2 * (free - first) + 1) * TENTHS // (2 * extent)
    np.add.at(counts[0], tenths, (mask & brain)[free].sum(axis=1))
    np.add.at(counts[1], tenths, brain[free].sum(axis=1))
    return counts


def _slices(mask: np.ndarray, label: np.ndarray, brain_mask: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """The volumes as ``slices voxels`` bool."""
    volumes = [np.asarray(volume) > 0 for volume in (mask, label, brain_mask)]
    shapes = [volume.shape for volume in volumes]
    if len(set(shapes)) > 1 or len(shapes[0]) != 3:
        raise ValueError(f"mask, label and brain_mask must be 3D on one grid, got shapes {shapes}")
    return tuple(np.moveaxis(volume, axis, 0).reshape(volume.shape[axis], -1) for volume in volumes)
