"""What is hidden while IterMask3D learns: the whole brain, blocks, scattered voxels, or ellipsoids.

The paper trains on single ellipsoids (a median of 7 % of the brain) but starts inference with the whole brain hidden
and goes on with scattered high-error voxels; blocks hidden in turn show the network what surrounds them. The mix here
contains all four: training sees what inference shows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from scipy.ndimage import gaussian_filter, zoom


def ellipsoid_mask(brain: np.ndarray, scale: int, random: np.random.RandomState, points: int = 100_000) -> np.ndarray:
    """Draw the ragged ellipsoid of IterMask3D: the cells hit by normal points around a random brain voxel.

    Args:
        brain: ``X Y Z`` bool, not empty.
        scale: cells are ``scale`` voxels wide (2, 4 or 8 in the paper).
        random: source of all randomness.
        points: number of points; those outside the volume are dropped, not wrapped around.

    Returns:
        ``X Y Z`` bool, inside the brain.
    """
    centre = np.argwhere(brain)[random.randint(int(brain.sum()))] / scale
    rotation, _ = np.linalg.qr(random.randn(3, 3))
    spread = rotation * np.sqrt(random.uniform(0.3, 10.0, 3))
    cells = np.floor(centre + random.randn(points, 3) @ spread.T).astype(int)
    shape = -(-np.array(brain.shape) // scale)
    cells = cells[np.all((cells >= 0) & (cells < shape), axis=1)]
    coarse = np.zeros(shape, dtype=bool)
    coarse[tuple(cells.T)] = True
    fine = coarse.repeat(scale, 0).repeat(scale, 1).repeat(scale, 2)
    return fine[tuple(slice(size) for size in brain.shape)] & brain


def block_mask(brain: np.ndarray, size: int, random: np.random.RandomState) -> np.ndarray:
    """Hide each cube of a grid with a random origin with probability one half.

    Args:
        brain: ``X Y Z`` bool.
        size: of the cubes, in voxels.
        random: source of all randomness.

    Returns:
        ``X Y Z`` bool, inside the brain.
    """
    origin = random.randint(size, size=3)
    coarse = random.uniform(size=[-(-(full + start) // size) for full, start in zip(brain.shape, origin)]) < 0.5
    fine = coarse.repeat(size, 0).repeat(size, 1).repeat(size, 2)
    return fine[tuple(slice(start, start + full) for start, full in zip(origin, brain.shape))] & brain


def scattered_mask(brain: np.ndarray, detail: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Keep a random share of the brain, chosen by a random field: what a thresholded error map looks like.

    Errors gather at edges, so the field is noise of random smoothness times a random power of the local detail.

    Args:
        brain: ``X Y Z`` bool, not empty.
        detail: ``X Y Z``, the high-pass of the image.
        random: source of all randomness.

    Returns:
        ``X Y Z`` bool, inside the brain; its share of the brain is uniform on (0, 1).
    """
    smoothness = random.choice([0.0, 0.7, 1.5, 3.0])
    # smooth noise from a coarse grid: the same statistics for a fraction of the work
    coarseness = 2 if smoothness >= 1.5 else 1
    noise = random.standard_normal([-(-size // coarseness) for size in brain.shape]).astype(np.float32)
    if smoothness:
        noise = gaussian_filter(noise, smoothness / coarseness, mode="wrap")
    if coarseness > 1:
        noise = zoom(noise, coarseness, order=1)[tuple(slice(size) for size in brain.shape)]
    field = noise**2 * (np.abs(detail) + 1e-3) ** random.uniform(0.0, 2.0)
    return brain & (field > np.quantile(field[brain], random.uniform()))


class RandTrainingMaskd(MapTransform, Randomizable):
    """Add ``mask``, what to hide, and ``noise``, what to put in its place.

    Both are ``1 X Y Z``, float: the mask 0/1, where 1 means hidden, and the noise standard normal.

    Args:
        keys: the brain masks, ``1 X Y Z``.
        detail_key: the high-pass image.
        whole_brain: probability of hiding the whole brain.
        scattered: probability of hiding scattered voxels.
        blocks: probability of hiding half of all blocks; otherwise one ellipsoid.
        block_size: in voxels.
        cell_sizes: of the ellipsoids, in voxels, equally likely; (2, 4, 4, 8) in the paper, at 1 mm.
    """

    def __init__(
        self,
        keys: KeysCollection = "brain_mask",
        detail_key: str = "high_pass",
        whole_brain: float = 0.3,
        scattered: float = 0.4,
        blocks: float = 0.0,
        block_size: int = 16,
        cell_sizes: Sequence[int] = (2, 4, 4, 8),
    ) -> None:
        super().__init__(keys)
        self.detail_key = detail_key
        self.kinds = np.cumsum([whole_brain, scattered, blocks])
        self.block_size, self.cell_sizes = block_size, tuple(cell_sizes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            brain = np.asarray(d[key][0]) > 0
            kind = int(np.searchsorted(self.kinds, self.R.uniform(), side="right"))
            if kind == 0:
                mask = brain
            elif kind == 1:
                mask = scattered_mask(brain, np.asarray(d[self.detail_key][0]), self.R)
            elif kind == 2:
                mask = block_mask(brain, self.block_size, self.R)
            else:
                mask = ellipsoid_mask(brain, int(self.R.choice(self.cell_sizes)), self.R)
            d["mask"] = torch.from_numpy(mask[None].astype(np.float32))
            noise = torch.Generator().manual_seed(int(self.R.randint(2**31)))
            d["noise"] = torch.randn(d["mask"].shape, generator=noise)
        return d
