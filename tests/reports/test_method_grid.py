"""The grid of slices by method."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from shared.reports.method_grid import method_grid


def coloured(picture: bytes) -> np.ndarray:
    """Number of coloured pixels in each third of the width."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    return np.array([(np.ptp(part, axis=-1) > 60).sum() for part in np.array_split(pixels, 3, axis=1)])


def test_every_panel_outlines_the_label_and_a_mask_only_its_own():
    image = np.ones((20, 20, 5)) * np.arange(20)[:, None, None]
    label, mask = np.zeros((2, 20, 20, 5))
    label[4:9, 4:9, 3], mask[10:18, 10:18, 3] = 1, 1
    none, both = (
        method_grid([{"image": image, "label": label, "a": m, "b": mask}], "ab", "AB") for m in (0 * mask, mask)
    )
    first, a, b = coloured(none)
    assert first > 0 and abs(a - first) <= 2 and b > 1.5 * first, "the label alone, the label alone, label and mask"
    assert coloured(both)[1] > 1.5 * first


def test_a_method_without_a_result_leaves_its_panel_empty():
    volume = np.zeros((20, 20, 5))
    volume[4:9, 4:9, 3] = 1
    first, a, b = coloured(method_grid([{"image": volume, "label": volume, "a": volume}], "ab", "AB"))
    assert first > 0 and a > 0 and b == 0
