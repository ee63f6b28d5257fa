"""The same slice of each case by several methods: a row a case, a column a method."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .case_picture import LABEL_COLOUR, MASK_COLOUR

_PANEL_INCHES = 1.6


def method_grid(rows: Sequence[Mapping[str, np.ndarray]], names: Sequence[str], titles: Sequence[str]) -> bytes:
    """Draw the axial slice with the largest label of each case, with the masks of all methods.

    The patient's right is on the left. The label is outlined in all columns, the first of which has no mask.

    Args:
        rows: a case each: ``image``, ``label`` and a mask under each of `names`, ``X Y Z`` right-anterior-superior on
            one grid; a method without a result of the case is absent, and its panel stays empty.
        names: keys of the masks.
        titles: of the columns of the methods.

    Returns:
        A PNG file.
    """
    size = ((len(names) + 1) * _PANEL_INCHES, len(rows) * _PANEL_INCHES + 0.3)
    figure = Figure(figsize=size, dpi=110, facecolor="black", layout="constrained")
    panels = figure.subplots(len(rows), len(names) + 1, squeeze=False)
    for column, title in enumerate(("label", *titles)):
        panels[0, column].set_title(title, color="white", fontsize=7)
    for row, line in zip(rows, panels, strict=True):
        index = int(np.argmax((row["label"] > 0).sum(axis=(0, 1))))
        for name, axes in zip((None, *names), line, strict=True):
            axes.set_axis_off()
            if name is None or name in row:
                _draw(axes, row, index, name)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw(axes: Axes, row: Mapping[str, np.ndarray], index: int, name: str | None) -> None:
    def plane(key: str) -> np.ndarray:
        return np.asarray(row[key][..., index]).T[:, ::-1]

    axes.imshow(plane("image"), cmap="gray", origin="lower")
    for key, colour in ((name, MASK_COLOUR), ("label", LABEL_COLOUR)):
        if key is not None and (marked := plane(key) > 0).any():
            axes.contour(marked.astype(float), levels=(0.5,), colors=colour, linewidths=0.8)
