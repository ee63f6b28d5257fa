"""A brain of an ellipsoid with a lesion, and the same anatomy stored along other axes."""

from __future__ import annotations

import nibabel as nib
import numpy as np

SHAPE = (40, 48, 36)


AFFINE = np.array([[4.0, 0, 0, -78], [0, 4, 0, -94], [0, 0, 4, -60], [0, 0, 0, 1]])  # RAS, 4 mm


def brain_with_lesion(centre=(30, 26, 24)):
    """An ellipsoid brain with a ball-shaped lesion: image, pseudo-healthy, map and mask in RAS."""
    grid = np.indices(SHAPE)
    middle = (np.array(SHAPE) - 1) / 2
    brain = sum(((grid[a] - middle[a]) / (0.42 * SHAPE[a])) ** 2 for a in range(3)) < 1
    mask = sum((grid[a] - centre[a]) ** 2 for a in range(3)) <= 9
    texture = np.random.default_rng(0).normal(100, 10, SHAPE)
    return np.where(brain, texture, 0), np.where(brain, 100.0, 0), 2.0 * mask, mask.astype(np.uint8)


def stored_as(volumes, codes, affine=AFFINE):
    """The same anatomy stored in another orientation, and its affine."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    turned = [np.ascontiguousarray(nib.apply_orientation(volume, turn)) for volume in volumes]
    return turned, affine @ nib.orientations.inv_ornt_aff(turn, volumes[0].shape)
