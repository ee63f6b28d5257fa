"""Metrics of a whole cohort: a row per case, and means with their intervals per group."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from nibabel.affines import voxel_sizes

from ..brains.volume import superior_axis
from ..runs.case_evaluator import leaving_out
from ..runs.engine import finished_cases
from ..runs.tables import write_csv
from .detection import detection_intervals
from .error_ranking import error_metrics
from .segmentation import best_dice, ranking_metrics, segmentation_metrics
from .slice_metrics import TENTHS, free_voxels_by_height, hd95_in_plane, slice_metrics
from .statistics import Interval, mean_interval

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
    """Mean, 95 % interval and number of cases with a value, per group and metric; ``interval`` names its kind.

    Means have that of Student's t. Where there are healthy cases beside others, each other group is also held against
    them by ``score``: detection AUROC, AUPRC, and the false-positive rate at 80 and 90 % true positives, with the
    percentiles of a bootstrap.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    summary = []
    for group in groups:
        members = [row for row in rows if row["group"] == group]
        for metric in (key for key in members[0] if key not in ("case_id", "group")):
            values = np.array([row[metric] for row in members], dtype=float)
            # The Dice of lesion slices is the mean over all slices, not over cases.
            slices = np.array([row["lesion_slices"] for row in members]) if metric == "dice_lesion_slices" else None
            named = {"group": group, "metric": metric, **mean_interval(values, weights=slices)._asdict()}
            summary.append({**named, "cases": int(np.isfinite(values).sum()), "interval": "Student's t"})
        healthy = [row["score"] for row in rows if row["group"] == HEALTHY]
        if healthy and group != HEALTHY:
            scores = [*healthy, *(row["score"] for row in members)]
            is_anomalous = [False] * len(healthy) + [True] * len(members)
            for metric, interval in detection_intervals(np.array(scores), np.array(is_anomalous)).items():
                named = {"group": group, "metric": f"detection_{metric}", **interval._asdict()}
                summary.append({**named, "cases": len(scores), "interval": "bootstrap"})
    return summary


def summarise_heights(counts: np.ndarray) -> list[dict[str, Any]]:
    """False-positive rate by height, pooled over cases, with the 95 % interval of Student's t over cases.

    Args:
        counts: ``N 2 10``, one per case, as in `free_voxels_by_height`.

    Returns:
        A row per tenth of the brain, 1 the lowest: ``tenth``, ``estimate``, ``low``, ``high`` (shares of the brain
        voxels, NaN as in `mean_interval`), ``cases`` (those with a lesion-free slice there).
    """
    rows = []
    for tenth in range(TENTHS):
        marked, counted = counts[counts[:, 1, tenth] > 0, :, tenth].T
        interval = mean_interval(marked / counted, weights=counted)
        rows.append({"tenth": tenth + 1, **interval._asdict(), "cases": counted.size})
    return rows


class CohortMetrics:
    """Write ``metrics.csv`` (per case) and ``metrics_summary.csv`` (per group); a handler for an evaluator, or by hand.

    Cases without a label are skipped, except those of the group "healthy", whose label is empty. Cases with an
    ``uncertainty`` also have the `error_metrics`.

    Args:
        output_dir: where the tables go.
        by_slice: add the metrics of `slice_metrics` across the superior axis, and write
            ``false_positives_by_height.csv`` over the evaluated cases of all groups (`summarise_heights`).
    """

    def __init__(self, output_dir: str, by_slice: bool = False) -> None:
        self.output_dir, self.by_slice = output_dir, by_slice
        self.rows: list[dict[str, Any]] = []
        self.heights: list[np.ndarray] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            with leaving_out(engine, case):
                self.add(case)

    def add(self, case: Mapping[Any, Any]) -> None:
        """Measure a finished case: ``pred``, ``anomaly_map``, ``native_brain_mask``, ``native_image`` and ``label``."""
        group = str(case.get("group", "all"))
        mask, anomaly_map, brain = (np.asarray(case[key][0]) for key in ("pred", "anomaly_map", "native_brain_mask"))
        if case.get("label") is None and group != HEALTHY:
            logger.warning("case '%s' has no label and is not evaluated", case["case_id"])
            return
        label = np.asarray(case["label"][0]) if case.get("label") is not None else np.zeros_like(mask)
        affine = np.asarray(case["native_image"].affine)
        metrics = case_metrics(mask, anomaly_map, label, brain, affine)
        if "uncertainty" in case:
            doubt = np.asarray(case["uncertainty"][0])
            metrics |= error_metrics(doubt, anomaly_map, mask, label, brain, voxel_sizes(affine))
        if self.by_slice:
            axis, direction = superior_axis(affine)
            metrics |= slice_metrics(mask, label, brain, axis)
            metrics["hd95_in_plane_mm"] = hd95_in_plane(mask, label, voxel_sizes(affine), axis)
            self.heights.append(free_voxels_by_height(mask, label, brain, axis, direction))
        self.rows.append({"case_id": str(case["case_id"]), "group": group, **metrics})

    def write(self) -> None:
        """Write the tables of the cases that were measured."""
        if not self.rows:
            logger.error("no case has a label: nothing to evaluate")
            return
        summary = summarise(self.rows)
        write_csv(os.path.join(self.output_dir, "metrics.csv"), self.rows)
        write_csv(os.path.join(self.output_dir, "metrics_summary.csv"), summary)
        if self.by_slice:
            heights = summarise_heights(np.stack(self.heights))
            write_csv(os.path.join(self.output_dir, "false_positives_by_height.csv"), heights)
        for row in summary:
            if row["metric"] in ("dice", "dice_lesion_slices", "auprc", "false_positive_ml", "detection_auroc"):
                interval = Interval(row["estimate"], row["low"], row["high"])
                logger.info("%s: %s %s, of %d cases", row["group"], row["metric"], interval.text(), row["cases"])
