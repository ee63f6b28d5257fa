"""The picture of one case: input, pseudo-healthy brain, anomaly map and mask, in five slices of the brain."""

from __future__ import annotations

import io
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from nibabel.affines import apply_affine, voxel_sizes
from PIL import Image

MAP_LIMIT = 3.0
"""Upper end of the colour bar of the map, in units of the threshold; the same for all cases, so that they compare."""

MASK_COLOUR, LABEL_COLOUR = "#ff5a36", "#4fe3ff"
MAP_COLOURS = LinearSegmentedColormap.from_list(  # cold below the threshold, hot above: the step is what the mask keeps
    "threshold",
    [(0.0, "#000000"), (1 / MAP_LIMIT, "#4a6fa5"), (1 / MAP_LIMIT, "#b3261e"), (2 / MAP_LIMIT, "#ff9d2e"), (1, "#fff7c2")],
)
_BACKGROUND, _TEXT = "#0c0d10", "#e6e6e6"
_PANEL, _GAP, _LEFT, _TOP, _BOTTOM, _RIGHT = 236, 4, 26, 26, 24, 68  # pixels
_MARGIN_MM, _SLICE_GAP_MM = 5.0, 10.0
_DPI = 100
_IMSHOW = {"origin": "lower", "aspect": "auto", "interpolation": "bilinear"}
_X, _Y, _Z = range(3)  # canonical axes: to the patient's right, anterior, superior
_PLANES = {_Z: ("axial", "z", "RLAP"), _Y: ("coronal", "y", "RLSI"), _X: ("sagittal", "x", "APSI")}


@dataclass(frozen=True)
class _Canonical:
    """The volumes of a case, `X Y Z` in the closest right-anterior-superior orientation, cropped to the brain."""

    image: np.ndarray
    pseudo_healthy: np.ndarray
    anomaly_map: np.ndarray
    mask: np.ndarray
    label: np.ndarray | None
    affine: np.ndarray
    spacing: np.ndarray  # mm


def case_picture(
    image: np.ndarray,
    pseudo_healthy: np.ndarray,
    anomaly_map: np.ndarray,
    mask: np.ndarray,
    affine: np.ndarray,
    label: np.ndarray | None = None,
) -> bytes:
    """Draw a case: columns input, pseudo-healthy, anomaly map, input with mask; rows three axial, a coronal, a sagittal.

    The slices go through the largest area of the mask (of the map's maximum when the mask is empty); the other two axial
    ones are spread over the mask, then over the brain. Radiological convention: the patient's right is on the left. All
    panels have one scale in mm; input and pseudo-healthy have one grey window, the percentiles 0.5 to 99.8 of the
    input's brain (`image != 0`).

    Args:
        image: `X Y Z`, the input in its own units and orientation, 0 outside the brain.
        pseudo_healthy: `X Y Z`, in the units of the image.
        anomaly_map: `X Y Z`, in units of the threshold: 1 is the threshold.
        mask: `X Y Z`, above 0 is anomalous.
        affine: `4 4`, voxel indices to mm (RAS+), of all volumes.
        label: `X Y Z`, above 0 is truly anomalous; drawn as a contour.

    Returns:
        A PNG file, at most 1100 pixels wide.

    Raises:
        ValueError: a volume is not 3D or not of the image's shape.
    """
    volumes = {"image": image, "pseudo_healthy": pseudo_healthy, "anomaly_map": anomaly_map, "mask": mask}
    volumes |= {} if label is None else {"label": label}
    case = _canonical(volumes, np.asarray(affine, dtype=float))
    grey = Normalize(*_grey_window(case.image))
    extent = np.array(case.image.shape) * case.spacing  # mm
    pixels_per_mm = _PANEL / max(extent[_X], extent[_Y])
    slices = [(_Z, index) for index in _axial_slices(case)] + [(axis, _main_slice(case, axis)) for axis in (_Y, _X)]
    heights = [extent[_Y if axis == _Z else _Z] * pixels_per_mm for axis, _ in slices]

    width = _LEFT + 4 * (_PANEL + _GAP) + _RIGHT
    height = _TOP + sum(heights) + _GAP * len(slices) + _BOTTOM
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_BACKGROUND)
    FigureCanvasAgg(figure)
    top = _TOP
    for (axis, index), row_height in zip(slices, heights, strict=True):
        panel_width = extent[_Y if axis == _X else _X] * pixels_per_mm
        for column in range(4):
            left = _LEFT + column * (_PANEL + _GAP) + (_PANEL - panel_width) / 2
            box = (left / width, 1 - (top + row_height) / height, panel_width / width, row_height / height)
            _draw_panel(figure.add_axes(box), case, axis, index, column, grey)
        name, letter, _ = _PLANES[axis]
        label_at = (0.5 * _LEFT / width, 1 - (top + row_height / 2) / height)
        figure.text(*label_at, f"{name}  {letter} = {_position_mm(case, axis, index)} mm", rotation=90, **_text_style(8))
        top += row_height + _GAP
    _draw_titles(figure, width, height, label is not None)
    _draw_colour_bar(figure, width, height)
    return _png(figure)


def _canonical(volumes: dict[str, np.ndarray], affine: np.ndarray) -> _Canonical:
    shape = np.shape(volumes["image"])
    wrong = {name: np.shape(volume) for name, volume in volumes.items() if np.shape(volume) != shape}
    if len(shape) != 3 or wrong:
        raise ValueError(f"a picture needs 3D volumes on the grid of the image, {shape}; got {wrong or shape}")
    turned = {}
    for name, volume in volumes.items():
        finite = np.nan_to_num(np.asarray(volume, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        turned[name] = nib.as_closest_canonical(nib.spatialimages.SpatialImage(finite, affine))
    affine = turned["image"].affine
    spacing = voxel_sizes(affine)
    arrays = {name: np.asarray(volume.dataobj) for name, volume in turned.items()}
    shown = (arrays["image"] != 0) | (arrays["mask"] > 0) | (arrays.get("label", arrays["mask"]) > 0)
    box = []
    for axis in range(3):
        planes = np.flatnonzero(shown.any(axis=tuple({0, 1, 2} - {axis})))
        first, last = (planes[0], planes[-1]) if planes.size else (0, shown.shape[axis] - 1)
        margin = int(np.ceil(_MARGIN_MM / spacing[axis]))
        box.append(slice(max(first - margin, 0), last + margin + 1))
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in box]
    cropped = {name: array[tuple(box)] for name, array in arrays.items()}
    return _Canonical(**({"label": None} | cropped), affine=affine @ shift, spacing=spacing)


def _grey_window(image: np.ndarray) -> tuple[float, float]:
    brain = image[image != 0]
    if brain.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(brain, (0.5, 99.8)))
    return low, high if high > low else low + 1.0


def _main_slice(case: _Canonical, axis: int) -> int:
    """The slice with the most mask; without a mask through the map's maximum; without a map with the most brain."""
    others = tuple({0, 1, 2} - {axis})
    mask = case.mask > 0
    if not mask.any() and case.anomaly_map.max() > 0:
        return int(np.unravel_index(np.argmax(case.anomaly_map), case.anomaly_map.shape)[axis])
    return int(np.argmax((mask if mask.any() else case.image != 0).sum(axis=others)))


def _axial_slices(case: _Canonical) -> list[int]:
    """At most three slices, from top to bottom: the main one, then the ends of the mask, then the middle of the brain."""
    wanted = [_main_slice(case, _Z)]
    for volume, fractions in ((case.mask > 0, (0.9, 0.1)), (case.image != 0, (0.5, 0.75, 0.25, 0.9, 0.1))):
        below = np.cumsum(volume.sum(axis=(_X, _Y)))
        wanted += [int(np.searchsorted(below, part * below[-1])) for part in fractions if below[-1] > 0]
    chosen: list[int] = []
    for index in wanted:
        if len(chosen) < 3 and all(abs(index - other) * case.spacing[_Z] >= _SLICE_GAP_MM for other in chosen):
            chosen.append(index)
    return sorted(chosen, reverse=True)


def _position_mm(case: _Canonical, axis: int, index: int) -> int:
    voxel = (np.array(case.image.shape) - 1) / 2
    voxel[axis] = index
    return round(float(apply_affine(case.affine, voxel)[axis]))


def _draw_panel(axes: Axes, case: _Canonical, axis: int, index: int, column: int, grey: Normalize) -> None:
    def plane(volume: np.ndarray) -> np.ndarray:
        cut = np.take(volume, index, axis=axis).T  # rows: Z or Y; columns: X or Y
        return cut[:, ::-1]  # radiological: right on the left; sagittal: anterior on the left

    axes.set_axis_off()
    image = case.pseudo_healthy if column == 1 else case.image
    if column == 2:
        axes.imshow(plane(case.anomaly_map), cmap=MAP_COLOURS, norm=Normalize(0, MAP_LIMIT), **_IMSHOW)
    else:  # the background is black, also where the brain's intensities reach below 0
        axes.imshow(plane(np.where(image == 0, grey.vmin, image)), cmap="gray", norm=grey, **_IMSHOW)
    if column == 3:
        mask = plane(case.mask > 0).astype(float)
        if mask.any():
            axes.contourf(mask, levels=(0.5, 1.5), colors=MASK_COLOUR, alpha=0.35)
            axes.contour(mask, levels=(0.5,), colors=MASK_COLOUR, linewidths=0.9)
        if case.label is not None and (true := plane(case.label > 0)).any():
            axes.contour(true.astype(float), levels=(0.5,), colors=LABEL_COLOUR, linewidths=0.9)
    if column == 0:
        places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.97), (0.5, 0.03))
        for letter, place in zip(_PLANES[axis][2], places, strict=True):
            axes.text(*place, letter, transform=axes.transAxes, **_text_style(8))


def _text_style(size: float) -> dict[str, object]:
    return {"color": _TEXT, "fontsize": size, "ha": "center", "va": "center"}


def _draw_titles(figure: Figure, width: float, height: float, has_label: bool) -> None:
    titles = ("Input", "Pseudo-healthy", "Anomaly map", "Anomaly mask")
    for column, title in enumerate(titles):
        at = (_LEFT + column * (_PANEL + _GAP) + _PANEL / 2) / width
        if column == 3 and has_label:
            shift = 52 / width
            figure.text(at + shift, 1 - 0.5 * _TOP / height, "true label", **(_text_style(10) | {"color": LABEL_COLOUR}))
            at -= shift * 0.7
        colour = MASK_COLOUR if column == 3 else _TEXT
        figure.text(at, 1 - 0.5 * _TOP / height, title, **(_text_style(10) | {"color": colour}))
    note = "Radiological convention: the patient's right (R) is on the left of the picture. Sagittal: anterior (A) on the left."
    figure.text(_LEFT / width, 0.5 * _BOTTOM / height, note, **(_text_style(8) | {"ha": "left", "color": "#a0a0a0"}))


def _draw_colour_bar(figure: Figure, width: float, height: float) -> None:
    left = (_LEFT + 4 * (_PANEL + _GAP) + 6) / width
    axes = figure.add_axes((left, 0.3, 10 / width, 0.4))
    axes.imshow(np.linspace(0, MAP_LIMIT, 256)[:, None], aspect="auto", origin="lower", cmap=MAP_COLOURS,
                extent=(0, 1, 0, MAP_LIMIT))
    axes.axhline(1.0, color=_TEXT, linewidth=1.5)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks(range(int(MAP_LIMIT) + 1), labels=["0", "1", "2", "≥ 3"], color=_TEXT, fontsize=8)
    axes.set_ylabel("map (1 = threshold)", color=_TEXT, fontsize=8)
    axes.yaxis.set_label_position("right")


def _png(figure: Figure) -> bytes:
    figure.canvas.draw()
    pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()
    pixels.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
