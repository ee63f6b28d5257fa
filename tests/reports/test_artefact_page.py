"""The parts of the page on detected artefacts: what the tables and the curves say of a summary."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from shared.evaluation.artefact_summary import SCORES, summarise_artefacts
from shared.reports.artefact_page import detection_tables, severity_curves


@pytest.fixture(scope="module")
def summary() -> list[dict[str, Any]]:
    """Of two subjects, clean and with spikes of two severities: the mean error tells them apart, the score is low."""
    rows = []
    for subject, offset in (("a", 0.0), ("b", 1.0)):
        for artefact, severity, error in (("clean", 0, offset), ("spike", 1, 5.0), ("spike", 5, 5.0)):
            row = {"healthy_id": subject, "artefact": artefact, "severity": severity, "score": offset - error}
            rows.append({**row, "hidden_share": offset, "mean_error": error, "histogram_distance": offset + severity})
    return summarise_artefacts(rows, resamples=50)


def test_tables_hold_a_line_for_each_artefact_and_severity(summary):
    auroc, auprc = detection_tables(summary, SCORES)
    for page, name in ((auroc, "AUROC"), (auprc, "AUPRC")):
        assert f"<h2>{name}</h2>" in page and page.count("<tr>") == 1 + 3
    line = auroc.split("<tr>")[2]
    assert line.count("<td>") == 2 + len(SCORES) and "1.000 (1.000 to 1.000)" in line


def test_curves_are_a_picture(summary):
    picture = severity_curves(summary, SCORES)
    assert len(picture) < 150_000
    shown = imread(io.BytesIO(picture))
    assert shown.shape[1] == 1100 and np.unique(shown[..., :3].reshape(-1, 3), axis=0).shape[0] > 10
