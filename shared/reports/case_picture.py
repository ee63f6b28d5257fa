"""The picture of one case: input, pseudo-healthy brain, anomaly map and mask, in five slices of the brain."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import binary_fill_holes

from .canonical_slices import CanonicalCase, X, Y, Z, axial_slices, canonical_case, main_slice, position_mm

MAP_LIMIT = 3.0
"""Upper end of the colour bar of the map, in units of the threshold; the same for all cases, so that they compare."""

MASK_COLOUR, LABEL_COLOUR, BRAIN_COLOUR = "#ff5a36", "#4fe3ff", "#ffd84f"
MAP_COLOURS = LinearSegmentedColormap.from_list(  # cold below the threshold, hot above it
    "threshold",
    [
        (0, "#000000"),
        (1 / MAP_LIMIT, "#4a6fa5"),
        (1 / MAP_LIMIT, "#b3261e"),
        (2 / MAP_LIMIT, "#ff9d2e"),
        (1, "#fff7c2"),
    ],
)
_BACKGROUND, _TEXT, _QUIET_TEXT = "#000000", "#e6e6e6", "#a0a0a0"
_PANEL, _GAP, _LEFT, _TOP, _BOTTOM, _RIGHT = 236, 4, 26, 26, 24, 68  # pixels
_DPI = 100
_GREYS, _GREY_TOLERANCE = 96, 12  # of the PNG's 256 colours; spread of a pixel's three channels (0 to 255)
_IMSHOW: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "bilinear"}
_TITLES = ("Input", "Pseudo-healthy", "Anomaly map", "Anomaly mask")
_PLANES = {Z: ("axial  z", "RLAP"), Y: ("coronal  y", "RLSI"), X: ("sagittal  x", "APSI")}  # left, right, top, bottom


def case_picture(
    image: np.ndarray,
    pseudo_healthy: np.ndarray,
    anomaly_map: np.ndarray,
    mask: np.ndarray,
    affine: np.ndarray,
    label: np.ndarray | None = None,
    head: np.ndarray | None = None,
) -> bytes:
    """Draw a case: columns input, pseudo-healthy, map, input with mask; rows three axial, a coronal, a sagittal slice.

    A volume of a single axial slice has that row only.
    The slices go through the largest area of the mask (the map's maximum when the mask is empty); the other two axial
    ones are spread over the mask, then over the brain. Radiological convention: the patient's right is on the left.
    All panels have one scale in mm; input and pseudo-healthy have one grey window, the percentiles 0.5 to 99.8 of
    the input's brain (`image != 0`).

    Args:
        image: `X Y Z`, the input in its own units and orientation, 0 outside the brain.
        pseudo_healthy: `X Y Z`, in the units of the image.
        anomaly_map: `X Y Z`, in units of the threshold: 1 is the threshold.
        mask: `X Y Z`, above 0 is anomalous.
        affine: `4 4`, voxel indices to mm (RAS+), of all volumes.
        label: `X Y Z`, above 0 is truly anomalous; drawn as a contour.
        head: `X Y Z`, the whole head that the brain was extracted from, in the units of the image; it takes the place
            of the input, with the outline of the brain, what is not 0 in the image.

    Returns:
        A PNG file, at most 1100 pixels wide.

    Raises:
        ValueError: a volume is not 3D or not of the image's shape.
    """
    volumes = {"image": image, "pseudo_healthy": pseudo_healthy, "anomaly_map": anomaly_map, "mask": mask}
    volumes |= {} if label is None else {"label": label}
    volumes |= {} if head is None else {"head": head}
    case = canonical_case(volumes, np.asarray(affine, dtype=float))
    grey = Normalize(*_grey_window(case.image))
    extent = np.array(case.image.shape) * case.spacing  # mm
    pixels_per_mm = _PANEL / extent.max()
    slices = [(Z, index) for index in axial_slices(case)]
    slices += [(axis, main_slice(case, axis)) for axis in (Y, X) if case.image.shape[Z] > 1]
    heights = [extent[Y if axis == Z else Z] * pixels_per_mm for axis, _ in slices]

    width = _LEFT + len(_TITLES) * (_PANEL + _GAP) + _RIGHT
    height = _TOP + sum(heights) + _GAP * len(slices) + _BOTTOM
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    top = _TOP
    for (axis, index), row_height in zip(slices, heights, strict=True):
        panel_width = extent[Y if axis == X else X] * pixels_per_mm
        for column in range(len(_TITLES)):
            left = _LEFT + column * (_PANEL + _GAP) + (_PANEL - panel_width) / 2
            box = (left / width, 1 - (top + row_height) / height, panel_width / width, row_height / height)
            _draw_panel(figure.add_axes(box), case, axis, index, column, grey)
        at = (0.5 * _LEFT / width, 1 - (top + row_height / 2) / height)
        row_title = f"{_PLANES[axis][0]} = {position_mm(case, axis, index)} mm"
        figure.text(*at, row_title, rotation=90, **_text_style(8))
        top += row_height + _GAP
    _draw_titles(figure, width, height, label is not None)
    _draw_colour_bar(figure, width)
    return _png(canvas)


def _grey_window(image: np.ndarray) -> tuple[float, float]:
    brain = image[image != 0]
    if brain.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(brain, (0.5, 99.8)))
    return low, high if high > low else low + 1.0


def _draw_panel(axes: Axes, case: CanonicalCase, axis: int, index: int, column: int, grey: Normalize) -> None:
    def plane(volume: np.ndarray) -> np.ndarray:
        cut = np.take(volume, index, axis=axis).T  # rows: Z or Y; columns: X or Y
        return cut[:, ::-1]  # radiological: right on the left; sagittal: anterior on the left

    axes.set_axis_off()
    if column == 2:
        axes.imshow(plane(case.anomaly_map), cmap=MAP_COLOURS, norm=Normalize(0, MAP_LIMIT), **_IMSHOW)
    else:  # the background is black, also where the brain's intensities reach below 0
        whole = case.image if case.head is None else case.head
        image = plane({0: whole, 1: case.pseudo_healthy, 3: case.image}[column])
        axes.imshow(np.where(image == 0, grey.vmin or 0.0, image), cmap="gray", norm=grey, **_IMSHOW)
    if column == 3:
        mask = plane(case.mask > 0).astype(float)
        if mask.any():
            axes.contourf(mask, levels=(0.5, 1.5), colors=MASK_COLOUR, alpha=0.35)
            axes.contour(mask, levels=(0.5,), colors=MASK_COLOUR, linewidths=0.9)
        if case.label is not None and (true := plane(case.label > 0)).any():
            axes.contour(true.astype(float), levels=(0.5,), colors=LABEL_COLOUR, linewidths=0.9)
    if column == 0 and case.head is not None:
        brain = binary_fill_holes(plane(case.image != 0)).astype(float)
        axes.contour(brain, levels=(0.5,), colors=BRAIN_COLOUR, linewidths=0.7)
    if column == 0:
        places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.97), (0.5, 0.03))
        for letter, place in zip(_PLANES[axis][1], places, strict=True):
            axes.text(*place, letter, transform=axes.transAxes, **_text_style(8))


def _text_style(size: float, colour: str = _TEXT, align: str = "center") -> dict[str, Any]:
    return {"color": colour, "fontsize": size, "ha": align, "va": "center"}


def _draw_titles(figure: Figure, width: float, height: float, has_label: bool) -> None:
    """Titles of the columns (the last one is the legend too) and the note on the convention."""
    y = 1 - 0.5 * _TOP / height
    centres = [(_LEFT + column * (_PANEL + _GAP) + _PANEL / 2) / width for column in range(len(_TITLES))]
    for x, title in zip(centres[:-1], _TITLES, strict=False):
        figure.text(x, y, title, **_text_style(10))
    figure.text(centres[-1], y, f"{_TITLES[-1]}  ", **_text_style(10, MASK_COLOUR, "right" if has_label else "center"))
    if has_label:
        figure.text(centres[-1], y, "  True label", **_text_style(10, LABEL_COLOUR, "left"))
    note = "Radiological convention: the patient's right (R) is on the left. Sagittal: anterior (A) on the left."
    figure.text(_LEFT / width, 0.5 * _BOTTOM / height, note, **_text_style(8, _QUIET_TEXT, "left"))


def _draw_colour_bar(figure: Figure, width: float) -> None:
    left = (_LEFT + len(_TITLES) * (_PANEL + _GAP) + 6) / width
    axes = figure.add_axes((left, 0.3, 10 / width, 0.4))
    scale = np.linspace(0, MAP_LIMIT, 256)[:, None]
    axes.imshow(scale, aspect="auto", origin="lower", cmap=MAP_COLOURS, extent=(0, 1, 0, MAP_LIMIT))
    axes.axhline(1.0, color=_TEXT, linewidth=1.5)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.tick_params(colors=_TEXT, labelsize=8, pad=2)
    axes.set_yticks((0, 1, 2, 3), labels=("0", "1", "2", "≥ 3"))
    axes.set_ylabel("anomaly map (1 = threshold)", color=_TEXT, fontsize=8, labelpad=2)
    axes.yaxis.set_label_position("right")


def _png(canvas: FigureCanvasAgg) -> bytes:
    """The figure as a PNG of 256 colours, half the size: pure greys, and the commonest of its other colours."""
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    coloured = pixels[np.ptp(pixels, axis=-1) > _GREY_TOLERANCE]  # never empty: the colour bar
    colours = Image.fromarray(coloured[None]).quantize(256 - _GREYS, method=Image.Quantize.MEDIANCUT).getpalette()
    greys = np.linspace(0, 255, _GREYS).round().astype(int).repeat(3)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*greys.tolist(), *(colours or [])[: 3 * (256 - _GREYS)]])
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()
