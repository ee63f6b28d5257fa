"""Datalists of simulated cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_datalist(folder: Path, cases: Sequence[dict[str, Any]], section: str | None = None) -> Path:
    """Write ``datalist.json`` of the cases into their folder and return its path.

    Args:
        folder: where the cases' files lie, to which their paths are relative.
        cases: as a datalist holds them.
        section: of all of them; None: the last eighth is ``validation`` (from eight cases on), the rest ``training``.
    """
    datalist: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    if section is not None:
        datalist[section] = list(cases)
    else:
        first_validation = len(cases) - len(cases) // 8
        datalist["training"], datalist["validation"] = list(cases[:first_validation]), list(cases[first_validation:])
    path = folder / "datalist.json"
    path.write_text(json.dumps(datalist, indent=1) + "\n", encoding="utf-8")
    return path
