"""The handler that fits a stored threshold to lesion-free tissue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from ..runs.case_evaluator import leaving_out
from ..runs.engine import finished_cases
from .calibration import calibrate
from .lesion_free import lesion_free_values

logger = logging.getLogger(__name__)


class CalibrationFit:
    """Handler for an evaluator over lesion-free tissue: fit the stored threshold to its raw maps and write it.

    Args:
        path: of the calibration file.
        false_positive_rate: share of healthy or lesion-free brain voxels left above the threshold.
        weights: file of the weights in use.
        label_margin_mm: voxels this near to a label are not counted (`lesion_free`).
        settings: of the method that shape the map; stored, so that a run with others is told.
        quality_score: a fact of the Inferer, of which the healthy scans' values are stored.

    Reads ``anomaly_map``, ``native_brain_mask``, ``case_id``, ``facts`` and, where there is one, ``label`` of each
    case, on one grid; the map must not be thresholded yet.

    Raises:
        ValueError: ``label_margin_mm`` is below 0, or the rate is outside (0, 1).
    """

    def __init__(
        self,
        path: str,
        false_positive_rate: float,
        weights: str,
        label_margin_mm: float = 5.0,
        settings: Mapping[str, Any] | None = None,
        quality_score: str = "",
    ) -> None:
        if not label_margin_mm >= 0:
            raise ValueError(f"label_margin_mm is a distance, at least 0, got {label_margin_mm}")
        if not 0 < false_positive_rate < 1:
            raise ValueError(
                f"false_positive_rate is a share between 0 and 1 (0.01 for 1 %), got {false_positive_rate}"
            )
        self.path, self.false_positive_rate, self.weights, self.settings = path, false_positive_rate, weights, settings
        self.label_margin_mm, self.labelled_left_out = label_margin_mm, False
        self.quality_score = quality_score
        self.values: list[np.ndarray] = []
        self.quality: list[float] = []
        self.cases: list[str] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            with leaving_out(engine, case):
                self.values.append(lesion_free_values(case, self.label_margin_mm))
                self.labelled_left_out |= case.get("label") is not None and bool((np.asarray(case["label"]) > 0).any())
                self.cases.append(str(case["case_id"]))
                if self.quality_score:
                    self.quality.append(case["facts"][self.quality_score])

    def _write(self) -> None:
        if not self.cases:
            logger.error("no scan is left: no threshold is written")
            return
        quality = {self.quality_score: self.quality} if self.quality_score else {}
        about = (self.false_positive_rate, self.weights, self.labelled_left_out, self.settings, quality)
        fitted = calibrate(self.values, self.cases, *about)
        fitted.save(self.path)
        logger.info("%s: threshold %.5g; %s", self.path, fitted.threshold, fitted.rule)
