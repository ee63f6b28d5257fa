"""Radiographs laid out in a grid, each beside itself with the outlines of its masks."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor
from skimage.segmentation import find_boundaries
from skimage.util import montage

TIBIA_COLOUR, LESION_COLOUR = "#4fe3ff", "#ff5a36"
_SIDE = 192  # pixels: smaller images are enlarged by a whole factor to about this, so that outlines stay thin
_ACROSS = 1160  # pixels


def outlined(radiograph: np.ndarray, tibia: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Draw a radiograph, and to its right the same with the outlines of tibia (or another organ) and lesion.

    Args:
        radiograph: ``X Y`` in [-1, 1], X down the rows.
        tibia: ``X Y``, above 0 inside.
        lesion: ``X Y``, above 0 inside; its outline lies around it, as it may be thin.

    Returns:
        ``fX 2fY 3`` uint8, f the whole factor by which small images are enlarged.
    """
    factor = max(1, round(_SIDE / len(radiograph)))
    enlarged = [np.kron(image, np.ones((factor, factor))) for image in (radiograph, tibia > 0, lesion > 0)]
    plain = np.repeat((255 * (enlarged[0].clip(-1, 1) + 1) / 2).round().astype(np.uint8)[..., None], 3, axis=-1)
    drawn = plain.copy()
    drawn[find_boundaries(enlarged[1] > 0, mode="inner")] = ImageColor.getrgb(TIBIA_COLOUR)
    drawn[find_boundaries(enlarged[2] > 0, mode="outer")] = ImageColor.getrgb(LESION_COLOUR)
    return np.hstack([plain, drawn])


def picture_grid(tiles: Sequence[np.ndarray]) -> bytes:
    """Lay out tiles row by row.

    Args:
        tiles: at least one, ``X Y 3`` uint8, all of one size.

    Returns:
        A PNG file, about 1160 pixels wide where the tiles are narrower than that.
    """
    columns = min(len(tiles), max(1, _ACROSS // tiles[0].shape[1]))
    rows = -(-len(tiles) // columns)
    grid = montage(np.stack(tiles), fill=(255, 255, 255), grid_shape=(rows, columns), padding_width=4, channel_axis=-1)
    return png(grid)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of a picture ``X Y 3`` uint8, X down the rows."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
