"""What a run leaves behind: one row and one picture per case, and the report that shows them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch.distributed as dist
from ignite.engine import Engine, Events
from nibabel.affines import voxel_sizes

from ..anomaly.calibration import Calibration
from ..brains.door import Door
from ..runs.case_records import CaseRecords
from ..runs.engine import end_if_interrupted, finished_cases, log_failure
from ..runs.run_information import run_information
from ..runs.weights import sha256
from .case_picture import case_picture
from .page import write_report

logger = logging.getLogger(__name__)


class CaseReports:
    """Handler for an evaluator of batch size 1: collect rows and pictures, write ``report.csv``, ``.html``, ``.json``.

    Each case is recorded as soon as it is finished, so that an interrupted run can go on. Of several processes that
    share the cases of the door the first writes the report, on all of them.

    Args:
        output_dir: where the report goes.
        title: of the report.
        door: of the run; its failures and warnings are reported.
        records: of its cases.
        inferer: its ``history[0]`` joins the row of the case.
        calibration: stored threshold and healthy scores; None where there are none, and score and percentile are NaN.
        threshold: in use.
        weights: file of the weights.
        settings: further facts about the run, by name.
        quality_score: a number in the inferer's history whose percentile among the healthy scans joins the row, as
            ``quality_percentile``: how unlike them the volume is as a whole.

    Reads from each finished case ``image``, ``native_image``, ``native_brain_mask``, ``pred`` (the mask),
    ``anomaly_map``, ``pseudo_healthy`` (of several sequences the picture shows the last, that of ``native_image``),
    ``case_id``, ``warnings`` and, where there is one, ``label``.
    """

    def __init__(
        self,
        output_dir: str,
        title: str,
        door: Door,
        records: CaseRecords,
        inferer: Any,
        calibration: Calibration | None,
        threshold: float,
        weights: str,
        settings: Mapping[str, Any],
        quality_score: str = "",
    ) -> None:
        self.output_dir, self.title, self.door, self.records, self.inferer = output_dir, title, door, records, inferer
        self.quality_score = quality_score
        self.calibration, self.threshold = calibration, threshold
        self.run = {**run_information(), "weights": weights, "weights_sha256": sha256(weights), **settings}
        self.warnings = {case["case_id"]: case["warnings"] for case in door.cases}
        stale = calibration.stale if calibration else ""
        warning = f"the stored threshold belongs to {stale}: run configs/calibrate.json on healthy scans"
        self.general_warnings = [warning] if stale else []
        self.started = self.case_started = time.time()

    def attach(self, engine: Engine) -> None:
        self.records.start()
        if engine.state.epoch_length == 0:  # nothing will run: what is known already is all there is to report
            self.write()
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._start_case)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._finish_case)
        engine.add_event_handler(Events.COMPLETED, self.write)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._rescue)

    def _start(self) -> None:
        self.started = time.time()

    def _start_case(self) -> None:
        self.case_started = time.time()

    def _finish_case(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            case_id, affine = str(case["case_id"]), np.asarray(case["native_image"].affine)
            arrays = {
                name: np.asarray(case[name][-1])
                for name in ("native_image", "native_brain_mask", "pseudo_healthy", "anomaly_map", "pred")
            }
            label = np.asarray(case["label"][0]) > 0 if case.get("label") is not None else None
            mask, brain = arrays["pred"] > 0, arrays["native_brain_mask"] > 0
            calibration = self.calibration
            stored = calibration is not None and self.threshold == calibration.threshold
            source = calibration.rule if calibration and stored else "given by --threshold"
            threshold = float(case["map_threshold"])
            if threshold != self.threshold:  # of this very volume, not the stored or given one
                source = "of this volume" + (f" (stored: {source})" if calibration else "")
            raw = arrays["anomaly_map"][brain] * (threshold if np.isfinite(threshold) else 0)
            score = float((raw > self.threshold).mean()) if calibration else float("nan")
            history = self.inferer.history[0]
            quality = {}
            if self.quality_score:
                value = history[self.quality_score]
                percentile = calibration.quality_percentile(self.quality_score, value) if calibration else float("nan")
                quality["quality_percentile"] = percentile
            row = {
                "case_id": case_id,
                "anomaly_ml": float(mask.sum() * np.prod(voxel_sizes(affine)) / 1000),
                "score": score,
                "score_percentile": calibration.percentile(score) if calibration and stored else float("nan"),
                "threshold": threshold,
                "threshold_source": source,
                **history,
                **quality,
                "seconds": time.time() - self.case_started,
                "warnings": [*self.warnings[case_id], *self.general_warnings],
            }
            picture = case_picture(
                arrays["native_image"], arrays["pseudo_healthy"], arrays["anomaly_map"], mask, affine, label
            )
            self.records.save(row, picture)

    def _rescue(self, engine: Engine, error: BaseException) -> None:
        finished = self._write_report()  # what is finished is not lost
        whole = len(self.records.cases)
        end_if_interrupted(error, f"{finished} of {whole} cases finished; the same with --resume true goes on")
        log_failure(engine, error)
        raise error

    def write(self) -> None:
        """Write the report and log where it is, once all processes are there."""
        if dist.is_initialized():
            dist.barrier()
        self._write_report()

    def _write_report(self) -> int:
        """Let the first process write it; returns the number of finished cases."""
        records = self.records.read()
        if not dist.is_initialized() or dist.get_rank() == 0:
            self.run["seconds"] = time.time() - self.started
            rows, pictures = [row for row, _ in records], {row["case_id"]: picture for row, picture in records}
            page = write_report(self.output_dir, self.title, rows, pictures, self.door.failures, self.run)
            logger.info("report: %s", page)
        return len(records)
