"""Does a score tell a volume with an artefact? Healthy scans against themselves with each artefact and severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..simulation.artefacts import CLEAN
from .detection import paired_replicates
from .statistics import percentile_interval

BASELINE = "histogram_distance"
SCORES = {
    "hidden_share": "final mask",
    "mean_error": "mean error",
    "score": "above the threshold",
    BASELINE: "intensity histogram",
}
ALL = "all"


def summarise_artefacts(
    rows: Sequence[Mapping[str, Any]], resamples: int = 2000, seed: int = 0
) -> list[dict[str, Any]]:
    """AUROC and AUPRC of each score, artefact and severity, with 95 % bootstrap intervals over subjects.

    Args:
        rows: of volumes, with ``healthy_id``, ``artefact`` ("clean" for the healthy ones), ``severity`` and
            the `SCORES` there are; every subject with every artefact and severity.
        resamples, seed: as in `statistics.bootstrap_interval`.

    Returns:
        A row per artefact, severity and score: ``auroc`` and ``auprc`` with ``_low`` and ``_high``, ``gain``, the AUROC
        less that of the intensity histogram, and ``raised``, the share of subjects that score higher than without the
        artefact. Then the means over all of them, of artefact and severity "all". A score that no volume has, or
        that is the same in all, such as the final mask of a single pass, is left out.
    """
    scores = [score for score in SCORES if score == BASELINE or len({row.get(score) for row in rows}) > 1]
    values = {(row["artefact"], row["severity"], row["healthy_id"]): row for row in rows}
    subjects = list(dict.fromkeys(row["healthy_id"] for row in rows))
    found: dict[tuple[Any, Any], dict[str, dict[str, Any]]] = {}
    for artefact, severity in dict.fromkeys((r["artefact"], r["severity"]) for r in rows if r["artefact"] != CLEAN):
        found[artefact, severity] = {}
        for score in scores:
            healthy = np.array([values[CLEAN, 0, subject][score] for subject in subjects])
            corrupted = np.array([values[artefact, severity, subject][score] for subject in subjects])
            raised = np.mean(corrupted > healthy)
            replicates = paired_replicates(healthy, corrupted, resamples, seed)
            found[artefact, severity][score] = {**replicates, "raised": raised}
    found[ALL, ALL] = {
        score: {key: np.mean([of[score][key] for of in found.values()], axis=0) for key in ("auroc", "auprc", "raised")}
        for score in scores
    }
    summary = []
    for (artefact, severity), of_scores in found.items():
        for score, of in of_scores.items():
            row: dict[str, Any] = {"artefact": artefact, "severity": severity, "score": score}
            gain = of["auroc"] - of_scores[BASELINE]["auroc"]
            for key, drawn in (("auroc", of["auroc"]), ("auprc", of["auprc"]), ("gain", gain)):
                row[key], row[f"{key}_low"], row[f"{key}_high"] = percentile_interval(drawn[0], drawn[1:], 0.95)
            summary.append({**row, "raised": float(of["raised"]), "subjects": len(subjects)})
    return summary
