"""The parts of the page on detected artefacts: a table of areas under the curve, and curves over severity."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .page import Html, table

_COLUMNS = 5


def detection_tables(summary: Sequence[Mapping[str, Any]], scores: Mapping[str, str]) -> list[Html]:
    """AUROC and AUPRC with their intervals, a line for each artefact and severity, columns for the scores.

    Args:
        summary: as :func:`~..evaluation.artefact_summary.summarise_artefacts` returns it.
        scores: their names in words.
    """
    tables = []
    for key in ("auroc", "auprc"):
        lines: dict[tuple[Any, Any], list[Any]] = {}
        for row in summary:
            line = lines.setdefault((row["artefact"], row["severity"]), [row["artefact"], row["severity"]])
            line.append(f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})")
        headers = ["artefact", "severity", *scores.values()]
        tables.append(Html(f"<h2>{key.upper()}</h2>{table(headers, list(lines.values()))}"))
    return tables


def severity_curves(summary: Sequence[Mapping[str, Any]], scores: Mapping[str, str]) -> bytes:
    """A panel per artefact with the AUROC of each score over the severity; a PNG file."""
    artefacts = list(dict.fromkeys(row["artefact"] for row in summary if isinstance(row["severity"], int)))
    lines = math.ceil(len(artefacts) / _COLUMNS)
    figure = Figure(figsize=(11, 0.4 + 2.1 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[len(artefacts) :]:
        axes.set_visible(False)
    for axes, artefact in zip(panels, artefacts):
        for score, name in scores.items():
            rows = [row for row in summary if row["artefact"] == artefact and row["score"] == score]
            severities = [row["severity"] for row in rows]
            (line,) = axes.plot(severities, [row["auroc"] for row in rows], "o-", markersize=3, label=name)
            ends = [[row[key] for row in rows] for key in ("auroc_low", "auroc_high")]
            axes.fill_between(severities, *ends, alpha=0.12, color=line.get_color(), linewidth=0)
        axes.axhline(0.5, color="0.6", linewidth=0.6)
        axes.set(ylim=(0, 1.03), xticks=severities)
        axes.set_title(artefact.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
    panels[0].legend(fontsize=7, loc="lower right")
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("AUROC", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
