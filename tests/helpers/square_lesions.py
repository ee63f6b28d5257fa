"""Lesions that are squares in each slice of a brain that is a box."""

from __future__ import annotations

import numpy as np

SHAPE = (24, 20, 6)
BRAIN = np.zeros(SHAPE)
BRAIN[2:-2, 2:-2] = 1


def square(x: int, y: int, z: slice = slice(1, 5), side: int = 5) -> np.ndarray:
    """A square in each slice, ``X Y Z`` bool, without the corners, which a 3x3 median takes off."""
    volume = np.zeros(SHAPE, dtype=bool)
    volume[x : x + side, y : y + side, z] = True
    for corner_x, corner_y in ((x, y), (x, y + side - 1), (x + side - 1, y), (x + side - 1, y + side - 1)):
        volume[corner_x, corner_y] = False
    return volume


LESION, TISSUE, ELSEWHERE = square(4, 4), square(14, 4), square(4, 12)
