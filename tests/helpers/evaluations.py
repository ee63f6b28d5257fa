"""An evaluation with made-up networks, end to end, and what it leaves behind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Transform

from shared.reports.network_report import NetworkReport

FAILURE = {"case_id": "bad", "file": "bad.png", "key": "image", "error": "is <empty>", "remedy": "Mend it"}


def evaluate(
    report: type[NetworkReport],
    folder: Path,
    cases: Sequence[dict[str, Any]],
    network: Callable[[torch.Tensor], torch.Tensor],
    postprocessing: Transform,
    failures: Sequence[dict[str, str]] = (),
) -> SimpleNamespace:
    """Run a network over cases in batches of three; ``weights``, ``csv``, ``json`` and ``html`` of the report."""
    weights = folder / "model.pt"
    weights.write_bytes(b"weights")
    door = SimpleNamespace(cases=list(cases), failures=list(failures))
    module = torch.nn.Module()
    module.forward = network
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(cases), batch_size=3),
        network=module,
        postprocessing=postprocessing,
        val_handlers=[report(str(folder / "out"), "A <title>", door, str(weights), {"arm": "reference"})],
    )
    if cases:
        evaluator.run()
    return read(folder)


def read(folder: Path) -> SimpleNamespace:
    out = folder / "out"
    with (out / "report.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["case_id"]: row for row in csv.DictReader(stream)}
    facts = json.loads((out / "report.json").read_text(encoding="utf-8"))
    page = (out / "report.html").read_text(encoding="utf-8")
    return SimpleNamespace(csv=rows, json=facts, html=page, weights=folder / "model.pt")
