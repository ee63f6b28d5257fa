"""Metrics of a whole cohort: a row per case, and means with bootstrap intervals per group."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from nibabel.affines import voxel_sizes

from ..data.atomic import replacing
from .detection import detection_intervals
from .segmentation import best_dice, ranking_metrics, segmentation_metrics
from .statistics import bootstrap_interval

logger = logging.getLogger(__name__)

HEALTHY = "healthy"


def case_metrics(
    mask: np.ndarray, anomaly_map: np.ndarray, label: np.ndarray, brain_mask: np.ndarray, affine: np.ndarray
) -> dict[str, float]:
    """All metrics of one case; arrays ``X Y Z`` on one grid.

    ``best_dice`` is the Dice at the threshold that suits this very label: a ceiling for the map, never a result.
    ``score`` is the share of the brain above the threshold.
    """
    metrics = segmentation_metrics(mask, label, voxel_sizes(affine))
    ceiling, threshold = best_dice(anomaly_map, label, brain_mask)
    ranking = ranking_metrics(anomaly_map, label, brain_mask)
    score = float((anomaly_map[brain_mask > 0] > 1).mean())
    return {**metrics, **ranking, "best_dice": ceiling, "best_threshold": threshold, "score": score}


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean, 95 % bootstrap interval and number of cases with a value, per group and metric.

    Where there are healthy cases beside others, each other group is also held against them by ``score``: detection
    AUROC, AUPRC, and the false-positive rate at 80 and 90 % true positives.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    summary = []
    for group in groups:
        members = [row for row in rows if row["group"] == group]
        for metric in (key for key in members[0] if key not in ("case_id", "group")):
            values = np.array([row[metric] for row in members], dtype=float)
            interval = bootstrap_interval(values)
            count = int(np.isfinite(values).sum())
            summary.append({"group": group, "metric": metric, **interval._asdict(), "cases": count})
        healthy = [row["score"] for row in rows if row["group"] == HEALTHY]
        if healthy and group != HEALTHY:
            scores = [*healthy, *(row["score"] for row in members)]
            is_anomalous = [False] * len(healthy) + [True] * len(members)
            for metric, interval in detection_intervals(np.array(scores), np.array(is_anomalous)).items():
                named = {"group": group, "metric": f"detection_{metric}"}
                summary.append({**named, **interval._asdict(), "cases": len(scores)})
    return summary


def write_table(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV, atomically."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class CohortMetrics:
    """Handler for an evaluator: write ``metrics.csv`` (per case) and ``metrics_summary.csv`` (per group).

    Cases without a label are skipped, except those of the group "healthy", whose label is empty.

    Args:
        output_dir: where the tables go.
    """

    def __init__(self, output_dir: str) -> None:
        self.output_dir = output_dir
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output):
            case = {**batch, **output}
            group = str(case.get("group", "all"))
            mask, anomaly_map, brain = (
                np.asarray(case[key][0]) for key in ("pred", "anomaly_map", "native_brain_mask")
            )
            if case.get("label") is None and group != HEALTHY:
                logger.warning("case '%s' has no label and is not evaluated", case["case_id"])
                continue
            label = np.asarray(case["label"][0]) if case.get("label") is not None else np.zeros_like(mask)
            metrics = case_metrics(mask, anomaly_map, label, brain, np.asarray(case["native_image"].affine))
            self.rows.append({"case_id": str(case["case_id"]), "group": group, **metrics})

    def _write(self) -> None:
        if not self.rows:
            logger.error("no case has a label: nothing to evaluate")
            return
        summary = summarise(self.rows)
        write_table(os.path.join(self.output_dir, "metrics.csv"), self.rows)
        write_table(os.path.join(self.output_dir, "metrics_summary.csv"), summary)
        for row in summary:
            if row["metric"] in ("dice", "auprc", "false_positive_ml", "detection_auroc"):
                logger.info("%(group)s: %(metric)s %(estimate).3f (%(low).3f to %(high).3f, %(cases)d cases)", row)
