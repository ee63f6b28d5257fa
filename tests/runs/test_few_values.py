"""Masks and label maps are told from scans by their values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from shared.runs.few_values import why_labels

INDEX = np.indices((40, 40, 40))
BALL = (((INDEX - 20) ** 2).sum(0) < 225).astype(np.float32)
SCAN = BALL * (100 + np.random.default_rng(0).normal(0, 20, BALL.shape)).astype(np.float32)
REGIONS = BALL * (1 + INDEX[0] // 8 + 5 * (INDEX[1] // 8))


def levels(image: np.ndarray, count: int) -> np.ndarray:
    return np.round(image / image.max() * count)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (BALL, "it holds 2 different values, all of them integers"),
        (-3 * BALL, "it holds 2 different values, all of them integers"),
        (np.digitize(SCAN, [60, 90, 110]), "it holds 4 different values, all of them integers"),
        (REGIONS, "it holds 22 different values, all of them integers"),
        (REGIONS[..., 20:21], None),
        (ndimage.uniform_filter(255 * np.pad(np.ones((90, 90)), 20), 3), "of it but the background have one value"),
    ],
)
def test_a_mask_is_told_and_why(image, why):
    found = why_labels(image)
    assert found and (why is None or why in found)


@pytest.mark.parametrize(
    "image", [SCAN, SCAN[..., 20], np.round(SCAN), levels(SCAN, 16), levels(SCAN, 9), BALL * 0 + 7, SCAN / 1e30]
)
def test_a_scan_and_a_constant_are_no_label_maps(image):
    assert not why_labels(image)


def test_white_parts_of_a_radiograph_are_no_regions():
    picture = np.add.outer(np.arange(64), np.arange(64)) // 4
    flat = np.kron(picture, np.ones((6, 6)))
    assert why_labels(flat) and not why_labels(flat, regions=False)
    assert why_labels(flat > 9, regions=False)
