"""Whether an image is a mask or a label map rather than a scan, as its values tell."""

from __future__ import annotations

import numpy as np

MAX_VALUES = 8  # a scan of 8 levels has 9 with its background; the poorest in our data has 100
MAX_LABELS = 256
MIN_EQUAL = 0.8  # of neighbours: .87 and more in label maps of 50 regions, up to .7 in scans of 8 levels
MIN_ONE_VALUE = 0.8  # of what is not background: .9 and more in masks with grey edges, up to .2 in radiographs
_SAMPLE = 200_000  # values
_STEP = 8  # planes


def why_labels(image: np.ndarray, regions: bool = True) -> str:
    """Say why an image is a label map: of few different integers, of integers in regions, or of two levels.

    Args:
        image: ``*S``, finite.
        regions: more than eight integers, up to 256, are labels too where most neighbours are equal; not for
            radiographs, of which large parts may be white.

    Returns:
        the reason; empty for a scan, and for an image of one value.
    """
    values, counts = np.unique(image.ravel()[:: max(1, image.size // _SAMPLE)], return_counts=True)
    if len(values) <= MAX_VALUES:
        values, counts = np.unique(image, return_counts=True)  # rare ones too
    if len(values) < 2:
        return ""
    many = MAX_VALUES < len(values) <= MAX_LABELS and regions
    if (values == np.round(values)).all() and (len(values) <= MAX_VALUES or many and _equal_neighbours(image)):
        return f"it holds {len(values)} different values, all of them integers"
    second, first = np.sort(counts)[-2:]
    share = second / (counts.sum() - first)
    return f"{100 * share:.0f} % of it but the background have one value" if share >= MIN_ONE_VALUE else ""


def _equal_neighbours(image: np.ndarray) -> bool:
    """Whether most neighbours that are not 0 are equal, along all axes but the first, in some planes."""
    planes = image[::_STEP]
    pairs = [(planes[:, 1:], planes[:, :-1])] + [(planes[..., 1:], planes[..., :-1])] * (planes.ndim > 2)
    within = [(one != 0) & (other != 0) for one, other in pairs]
    equal = sum(np.count_nonzero((one == other) & both) for (one, other), both in zip(pairs, within))
    return bool(equal >= MIN_EQUAL * max(sum(map(np.count_nonzero, within)), 1))
