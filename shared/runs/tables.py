"""Tables and records as files, CSV and JSON, written atomically, with one text for each kind of value."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .files import replacing


def _plain(value: Any) -> Any:
    """A value as JSON takes it: NaN is null, infinity a string, numpy types are Python's."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def as_text(value: Any, digits: int | None = None) -> str:
    """A value as a cell: lists joined by semicolons, NaN and None empty, floats rounded where digits are given."""
    value = _plain(value)
    if isinstance(value, dict):
        return "; ".join(f"{key}: {as_text(part, digits)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(as_text(part, digits) for part in value)
    if isinstance(value, float) and digits:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return "" if value is None else str(value)


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All keys of the rows in the order of their first appearance, ``case_id`` before the others."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return sorted(keys, key=lambda key: key != "case_id")


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically; a file name within it that is not valid Unicode does not cost the file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, atomically, ``case_id`` first where there is one; NaN and what a row lacks are empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns(rows), restval="")
    writer.writeheader()
    writer.writerows({key: as_text(value) for key, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write JSON, atomically: NaN as null, infinity as a string, numpy types as Python's, others as their text."""
    write_text(path, json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False))
