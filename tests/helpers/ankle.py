"""A simulated radiograph of an ankle with a fracture, and whether a label map outlines it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from shared.simulation.phantom_tibia import make_radiograph


def ankle() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A radiograph with a fracture, its bone and its lesion, 256 rows of 150 pixels."""
    made = make_radiograph(70001, "corner")
    image, tibia, lesion = (a.T[:, 60:210] for a in (made.image, made.tibia_mask > 0, made.lesion_mask > 0))
    return image, tibia | lesion, lesion


def make_png(path: Path) -> None:
    Image.fromarray(np.round(65535 * ankle()[0]).astype(np.uint16)).save(path)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def assert_right(label: np.ndarray) -> None:
    """A label map in rows and columns outlines bone and lesion of :func:`ankle` where they are."""
    _, bone, lesion = ankle()
    assert label.shape == bone.shape and set(np.unique(label)) == {0, 1, 2}
    assert dice(label > 0, bone) > 0.95 and dice(label == 2, lesion) > 0.6
    assert max(dice(wrong > 0, bone) for wrong in (label[::-1], label[:, ::-1], label[::-1, ::-1])) < 0.9
