"""The report of a run: a table for programs (CSV, JSON) and one self-contained page for people (HTML)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..runs.tables import as_text, columns, write_csv, write_json, write_text

FILES = ("report.csv", "report.json", "report.html")
"""What :func:`write_report` writes."""
_STYLE = """
* { print-color-adjust: exact; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1160px; margin: 2em auto; padding: 0 1em; color: #1c1c1c; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; }
th, td { border: 1px solid #d5d5d5; padding: .3em .6em; text-align: left; vertical-align: top; }
th { background: #f3f3f3; } img { max-width: 100%; } figure { margin: 1.5em 0; }
figcaption { margin-bottom: .4em; } figure { break-inside: avoid; } a { color: #0b57d0; }
.wide { overflow-x: auto; } .failed { border-left: 5px solid #b3261e; padding-left: 1em; } .note { color: #555; }
"""


class Html(str):
    """Text that is HTML already; every other text is escaped where it enters the page."""


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
    """An HTML table; cells are escaped unless they are `Html`, floats are rounded to four digits, NaN is empty."""
    head = "".join(f"<th>{_html(header)}</th>" for header in headers)
    body = "".join("<tr>" + "".join(f"<td>{_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return Html(f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>')


def _html(value: Any) -> Html:
    return value if isinstance(value, Html) else Html(escape(as_text(value, 4)))


def write_page(path: str | Path, title: str, parts: Sequence[Html], run: Mapping[str, Any]) -> None:
    """Write a self-contained HTML page, atomically: the title, the parts, and the facts about the run."""
    body = [f"<h1>{escape(title)}</h1>", *parts, f"<h2>This run</h2>{table(['fact', 'value'], list(run.items()))}"]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    page = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
    write_text(path, page)


def failed_cases(failures: Sequence[Mapping[str, str]]) -> Html:
    """The part of a page on cases without a result, of the ``failures`` of :func:`write_report`; empty if none."""
    cells = [[failure.get(key) for key in ("case_id", "error", "remedy", "key", "file")] for failure in failures]
    failed = table(["case", "problem", "remedy", "key", "file"], cells)
    return Html(f'<div class="failed"><h2>Failed: these cases have no result</h2>{failed}</div>' if failures else "")


def figure(picture: bytes, alt: str, caption: str, anchor: str) -> Html:
    """A PNG file as a figure within the page; the caption is HTML, ``alt`` and ``anchor`` (its id) are plain text."""
    return Html(
        f'<figure id="{escape(anchor)}"><figcaption>{caption}</figcaption>'
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(picture).decode()}"></figure>'
    )


def write_report(
    output_dir: str | Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    failures: Sequence[Mapping[str, str]],
    run: Mapping[str, Any],
    sections: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write ``report.csv``, ``report.json`` and ``report.html``, each atomically.

    Args:
        output_dir: made where it does not exist.
        title: of the page.
        rows: one per finished case, with ``case_id``, ``anomaly_ml`` and whatever else there is to say about it.
        pictures: PNG files by case id, as :func:`~.case_picture.case_picture` draws them.
        failures: ``case_id``, ``file``, ``key``, ``error`` and ``remedy`` of each case that was left out.
        run: facts about the run.
        sections: heading and text (or `Html`, as :func:`table` makes it) of what else the page shows after the cases.

    Returns:
        the path of the HTML page.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    records = [{"status": "done", **row} for row in rows] + [{"status": "failed", **failure} for failure in failures]
    write_csv(folder / "report.csv", records)
    write_json(folder / "report.json", {"run": run, "cases": list(rows), "failures": list(failures)})
    write_page(folder / "report.html", title, _parts(rows, pictures, failures, sections), run)
    return folder / "report.html"


def _parts(
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    failures: Sequence[Mapping[str, str]],
    sections: Sequence[tuple[str, str]],
) -> list[Html]:
    found = sum(row.get("anomaly_ml", 0) > 0 for row in rows)
    warned = sum(bool(row.get("warnings")) for row in rows)
    cases = len(rows) + len(failures)
    parts = [
        f"<p><b>{cases} case{'' if cases == 1 else 's'}: {found} with an anomaly above the threshold, "
        f"{len(rows) - found} without, {warned} with warnings, {len(failures)} failed.</b></p>",
        '<p class="note">Research use only; not a medical device. A voxel above the threshold is unusual to the model, '
        "which also happens at brain borders, in artefacts and in scans unlike those it was trained on.</p>",
        failed_cases(failures),
    ]
    if rows:
        names = columns(rows)
        cells = [[row.get(name) for name in names] for row in rows]
        for number, (row, row_cells) in enumerate(zip(rows, cells)):
            if row["case_id"] in pictures:
                row_cells[0] = Html(f'<a href="#case{number}">{_html(row["case_id"])}</a>')
        parts.append(f"<h2>Cases</h2>{table([name.replace('_', ' ') for name in names], cells)}")
    parts += [f"<h2>{escape(heading)}</h2>{_html(body)}" for heading, body in sections]
    if pictures:
        parts.append(
            "<h2>Pictures</h2><p>From left to right: the input, of a whole head with the outline of the brain that was "
            "extracted; the pseudo-healthy brain that the model draws in its place; the anomaly map, in units of the "
            "threshold (blue below 1, red to yellow above); the input with the mask of what is above the threshold, "
            "and the contour of the true label where there is one.</p>"
        )
    for number, row in enumerate(rows):
        if row["case_id"] in pictures:
            parts.append(_figure(number, row, pictures[row["case_id"]]))
    return [Html(part) for part in parts]


def _figure(number: int, row: Mapping[str, Any], picture: bytes) -> Html:
    name = _html(row["case_id"])
    facts = [("{} ml above the threshold", "anomaly_ml"), ("score {}", "score"), ("percentile {}", "score_percentile")]
    facts.append(("quality percentile {}", "quality_percentile"))
    caption = [text.format(as_text(row[key], 4)) for text, key in facts if as_text(row.get(key))]
    caption += [f"warning: {_html(warning)}" for warning in row.get("warnings") or ()]
    return figure(picture, f"slices of {row['case_id']}", f"<b>{name}</b>: {'; '.join(caption)}", f"case{number}")
