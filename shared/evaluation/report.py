"""The report of a run: a table for programs (CSV, JSON) and one self-contained page for people (HTML)."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1160px; margin: 2em auto; padding: 0 1em; color: #1c1c1c; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; }
th, td { border: 1px solid #d5d5d5; padding: .3em .6em; text-align: left; vertical-align: top; }
th { background: #f3f3f3; } img { max-width: 100%; } figure { margin: 1.5em 0; }
.wide { overflow-x: auto; } .failed { border-left: 5px solid #b3261e; padding-left: 1em; } .note { color: #555; }
"""


def run_information() -> dict[str, str]:
    """Versions, machine type and command line of this process."""
    return {
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _plain(value: Any) -> Any:
    """A value as JSON takes it: no NaN, no infinity, no numpy types."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _text(value: Any, digits: int | None = None) -> str:
    """A value as a table cell: lists joined by semicolons, NaN and None empty, floats rounded where digits are given."""
    value = _plain(value)
    if isinstance(value, list):
        return "; ".join(_text(v, digits) for v in value)
    if isinstance(value, float) and digits:
        return f"{value:.{digits}g}"
    return "" if value is None else str(value)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h.replace('_', ' '))}</th>" for h in headers)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8", newline="")
    os.replace(temporary, path)


def write_report(
    output_dir: str | Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    failures: Sequence[Mapping[str, str]],
    run: Mapping[str, Any],
) -> Path:
    """Write ``report.csv``, ``report.json`` and ``report.html``, each atomically.

    Args:
        output_dir: made where it does not exist.
        title: of the page.
        rows: one per finished case, with ``case_id``, ``anomaly_ml`` and whatever else there is to say about it.
        pictures: PNG files by case id, as :func:`~.case_picture.case_picture` draws them.
        failures: ``case_id``, ``file``, ``key``, ``error`` and ``remedy`` of each case that was left out.
        run: facts about the run.

    Returns:
        the path of the HTML page.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    table = [{"status": "done", **row} for row in rows] + [{"status": "failed", **failure} for failure in failures]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["case_id", *(c for c in _columns(table) if c != "case_id")], restval="")
    writer.writeheader()
    writer.writerows({key: _text(value) for key, value in row.items()} for row in table)
    _write(folder / "report.csv", text.getvalue())
    content = {"run": run, "cases": list(rows), "failures": list(failures)}
    _write(folder / "report.json", json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False))
    _write(folder / "report.html", _page(title, rows, pictures, failures, run))
    return folder / "report.html"


def _page(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    failures: Sequence[Mapping[str, str]],
    run: Mapping[str, Any],
) -> str:
    found = sum(row["anomaly_ml"] > 0 for row in rows)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p><b>{len(rows) + len(failures)} cases: {len(rows)} done, {found} of them with voxels above the threshold; "
        f"{len(failures)} left out.</b></p>",
        '<p class="note">Research use only; not a medical device. A voxel above the threshold is unusual to the model, '
        "which also happens at brain borders, in artefacts and in scans unlike those it was trained on.</p>",
    ]
    if failures:
        cells = [[escape(_text(f.get(k))) for k in ("case_id", "error", "remedy", "key", "file")] for f in failures]
        parts += ['<div class="failed"><h2>Left out</h2>', _html_table(["case", "problem", "remedy", "key", "file"], cells), "</div>"]
    if rows:
        columns = _columns(rows)
        cells = [[escape(_text(row.get(column), 4)) for column in columns] for row in rows]
        for number, row_cells in enumerate(cells):
            row_cells[columns.index("case_id")] = f'<a href="#case{number}">{row_cells[columns.index("case_id")]}</a>'
        parts += ["<h2>Cases</h2>", _html_table(columns, cells)]
        parts.append(
            "<h2>Pictures</h2><p>From left to right: the input; the pseudo-healthy brain the model draws instead; the anomaly "
            "map, in units of the threshold (1 is the threshold); the input with the mask, and the true label where there "
            "is one.</p>"
        )
    for number, row in enumerate(rows):
        picture = base64.b64encode(pictures[row["case_id"]]).decode()
        caption = f"<b>{escape(str(row['case_id']))}</b>: {_text(float(row['anomaly_ml']), 4)} ml above the threshold"
        if row.get("warnings"):
            caption += f"; {escape(_text(row['warnings']))}"
        parts.append(
            f'<figure id="case{number}"><figcaption>{caption}</figcaption>'
            f'<img alt="slices of {escape(str(row["case_id"]))}" src="data:image/png;base64,{picture}"></figure>'
        )
    facts = [[escape(key), escape(_text(value))] for key, value in run.items()]
    parts += ["<h2>This run</h2>", _html_table(["fact", "value"], facts)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
