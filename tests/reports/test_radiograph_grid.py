"""The grid shows radiographs upright, outlines where the masks end, and every tile."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from shared.reports.radiograph_grid import LESION_COLOUR, TIBIA_COLOUR, outlined, picture_grid

SIZE = 192
RAMP = np.add.outer(np.linspace(-1, 0.5, SIZE), np.linspace(0, 0.5, SIZE))
TIBIA, LESION = (np.zeros((SIZE, SIZE)) for _ in range(2))
TIBIA[10:100, 20:90] = 1
LESION[80:83, 30:60] = 1


def coloured(tile: np.ndarray, colour: str) -> np.ndarray:
    return (tile == ImageColor.getrgb(colour)).all(-1)


def test_plain_and_outlined():
    tile = outlined(RAMP, TIBIA, LESION)
    assert tile.shape == (SIZE, 2 * SIZE, 3) and tile.dtype == np.uint8
    plain, drawn = tile[:, :SIZE], tile[:, SIZE:]
    grey = np.round(255 * (RAMP + 1) / 2)
    assert np.array_equal(plain, np.stack([grey] * 3, -1)) and plain[-1, -1, 0] == 255 and plain[0, 0, 0] == 0
    tibia, lesion = coloured(drawn, TIBIA_COLOUR), coloured(drawn, LESION_COLOUR)
    inner = np.zeros_like(tibia)
    inner[10:100, 20:90] = True
    inner[11:99, 21:89] = False
    assert np.array_equal(tibia, inner)
    around = np.zeros_like(lesion)
    around[79:84, 29:61] = True
    around[80:83, 30:60] = False
    assert np.array_equal(lesion[79:84, 30:60], around[79:84, 30:60]) and not (lesion & ~around).any()
    rest = ~(tibia | lesion)
    assert np.array_equal(drawn[rest], plain[rest])


def test_small_images_are_enlarged_by_a_whole_factor():
    small = np.linspace(-1, 1, 64 * 64).reshape(64, 64)
    empty = np.zeros((64, 64))
    tile = outlined(small, empty, empty)
    assert tile.shape == (192, 384, 3)
    assert np.array_equal(
        tile[1:192:3, 1:192:3], outlined(np.kron(small, np.ones((3, 3))), *[np.zeros((192,) * 2)] * 2)[1:192:3, 1:192:3]
    )
    assert np.array_equal(tile[:, :192], tile[:, 192:])


@pytest.mark.parametrize(("tiles", "width", "grid"), [(5, 500, (3, 2)), (1, 500, (1, 1)), (2, 2000, (2, 1))])
def test_tiles_row_by_row(tiles, width, grid):
    levels = np.arange(tiles) * 20 + 10
    drawn = [np.full((30, width, 3), level, np.uint8) for level in levels]
    picture = np.asarray(Image.open(io.BytesIO(picture_grid(drawn))))
    assert picture.shape == (grid[0] * 34 + 4, grid[1] * (width + 4) + 4, 3)
    centres = picture[19::34, 4 + width // 2 :: width + 4, 0].ravel()
    assert np.array_equal(centres[:tiles], levels) and (centres[tiles:] == 255).all()
