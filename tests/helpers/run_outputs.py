"""What runs leave behind, read again: volumes, tables, weights, training states and curves."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shared.anomaly.components import fill_holes_in_plane, large_components
from shared.brains.volume import superior_axis

OUTPUTS = ("anomaly_map", "anomaly_mask", "pseudo_healthy")
REPORTS = ("report.csv", "report.html", "report.json")


def read(folder: Path, case_id: str) -> SimpleNamespace:
    """The three volumes of a case, as nibabel images."""
    return SimpleNamespace(**{name: nib.load(folder / f"{case_id}_{name}.nii.gz") for name in OUTPUTS})


def assert_mask_is_that_of_the_map(folder: Path, case_id: str, min_share: float) -> None:
    """What is above 1, without the components below a share of the largest one, with the holes in plane filled."""
    out = read(folder, case_id)
    above = np.atleast_3d(out.anomaly_map.get_fdata()) > 1
    expected = fill_holes_in_plane(large_components(above, min_share), superior_axis(out.anomaly_map.affine)[0])
    assert np.array_equal(np.atleast_3d(np.asarray(out.anomaly_mask.dataobj)), expected)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def number(cell: str) -> float:
    """A cell of a table; an empty one is undefined."""
    return float(cell or "nan")


def report_rows(folder: Path) -> dict[str, dict[str, str]]:
    return {row["case_id"]: row for row in table(folder / "report.csv")}


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in half precision."""
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two nested states of tensors and plain values are not equal bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return [d for key in a for d in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [d for n, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f"{where}/{n}")]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [where]
    return [] if type(a) is type(b) and a == b else [where]


def assert_same_end(one: Path, other: Path) -> None:
    """Two trainings ended with the same weights and the same state."""
    for name in ("model.pt", "checkpoint.pt"):
        assert not differences(load(one / name), load(other / name)), name


def scalars(folder: Path, tag: str) -> list[float]:
    """All values of a tag in the TensorBoard files of a folder, in order."""
    events = EventAccumulator(str(folder)).Reload()
    return [event.value for event in events.Scalars(tag)]
