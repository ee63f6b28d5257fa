"""Scores of healthy scans and of the same scans with artefacts, what they detect, and the report on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from ..anomaly.baselines import IntensityHistogram
from ..evaluation.artefact_summary import BASELINE, SCORES, summarise_artefacts
from ..runs.case_evaluator import leaving_out
from ..runs.case_records import CaseRecords
from ..runs.engine import end_if_interrupted, finished_cases, log_failure
from ..runs.facts import facts_of
from ..runs.files import check_places, replacing
from ..runs.run_information import run_information
from ..runs.tables import write_csv, write_json
from ..runs.weights import sha256
from .artefact_page import detection_tables, severity_curves
from .page import FILES, Html, figure, write_page

ORIGIN = ("case_id", "healthy_id", "artefact", "severity", "artefact_parameters", "image")

logger = logging.getLogger(__name__)


class ArtefactDetection:
    """Handler for an evaluator over corrupted and clean volumes: their scores, and what they detect.

    Args:
        output_dir: of ``report.csv``, a line per volume, ``detection.csv`` (see
            :func:`~..evaluation.artefact_summary.summarise_artefacts`), ``severity_curves.png``, ``report.json`` and
            ``report.html``, all written at the end.
        title: of the page.
        records: of the volumes, as :func:`~..simulation.artefacts.corrupted_cases` lists them.
        reference: healthy scans, preprocessed as the cases are, for the intensity histogram.
        threshold: on the map; the share of the brain above it is the ``score`` of an inference.
        weights: file of the weights.
        settings: what else the scores depend on, by name, for the page.
    """

    def __init__(
        self,
        output_dir: str,
        title: str,
        records: CaseRecords,
        reference: Sequence[Mapping[str, Any]],
        threshold: float,
        weights: str,
        settings: Mapping[str, Any],
    ) -> None:
        self.folder, self.title, self.records = Path(output_dir), title, records
        self.reference, self.threshold = reference, threshold
        self.facts = {"weights_sha256": sha256(weights), "threshold": threshold, **settings}
        self.listed = {case["case_id"]: case for case in records.cases}

    def attach(self, engine: Engine) -> None:
        check_places(self.folder, [*FILES, "detection.csv", "severity_curves.png"])
        self.records.start()
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._stop)

    def _stop(self, engine: Engine, error: BaseException) -> None:
        finished, whole = len(self.records.read()), len(self.records.cases)
        end_if_interrupted(error, f"{finished} of {whole} volumes finished; the same with --resume true goes on")
        log_failure(engine, error)
        raise error

    @cached_property
    def histogram(self) -> IntensityHistogram:
        """Of the reference scans."""
        volumes = (np.asarray(case["image"]) for case in self.reference)  # image and brain mask
        return IntensityHistogram([image[brain > 0] for image, brain in volumes])

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            with leaving_out(engine, case):
                image, brain = (np.asarray(channel) for channel in case["image"])
                anomaly_map = np.asarray(case["pred"][0])[brain > 0]
                row = {key: value for key, value in facts_of(case["pred"]).items() if key in SCORES}
                row["score"] = float((anomaly_map > self.threshold).mean())
                row[BASELINE] = self.histogram.distance(image[brain > 0])
                self.records.save(row | {key: self.listed[str(case["case_id"])][key] for key in ORIGIN})

    def write(self) -> None:
        """Write tables, curves and page from the scores, and log where they are."""
        rows = [row for row, _ in self.records.read()]
        summary = summarise_artefacts(rows)
        scores = {row["score"]: SCORES[row["score"]] for row in summary}
        curves = severity_curves(summary, scores)
        run = {**run_information(), **self.facts, "reference scans": len(self.reference)}
        write_csv(self.folder / "report.csv", rows)
        write_csv(self.folder / "detection.csv", summary)
        with replacing(self.folder / "severity_curves.png") as temporary:
            temporary.write_bytes(curves)
        write_json(self.folder / "report.json", {"run": run, "detection": summary, "volumes": rows})
        caption = "AUROC by severity, with 95 % bootstrap intervals over subjects; 0.5 is chance."
        parts = [*detection_tables(summary, scores), figure(curves, "AUROC by severity", caption, "curves")]
        note = f"{len({row['healthy_id'] for row in rows})} subjects, each against itself with an artefact."
        page = self.folder / "report.html"
        write_page(page, self.title, [Html(f"<p><b>{note}</b></p>"), *parts], run)
        logger.info("report: %s", page)
