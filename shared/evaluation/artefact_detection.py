"""Scores of healthy scans and of the same scans with artefacts, what they detect, and the report on it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch.utils.data import Dataset

from ..anomaly.baselines import IntensityHistogram
from ..data.atomic import replacing
from ..data.finished_cases import finished_cases
from ..data.weights import sha256
from .artefact_page import detection_tables, severity_curves
from .artefact_summary import BASELINE, SCORES, summarise_artefacts
from .cohort import write_table
from .report import Html, figure, run_information, write_csv, write_json, write_page

logger = logging.getLogger(__name__)


class ArtefactDetection:
    """Handler for an evaluator of batch size 1 over corrupted and clean volumes: their scores, and what they detect.

    Args:
        output_dir: of ``scores.jsonl``, a line per finished volume; at the end of ``report.csv`` (the same as a table),
            ``detection.csv`` (see :func:`~.artefact_summary.summarise_artefacts`), ``severity_curves.png``,
            ``report.json`` and ``report.html``.
        title: of the page.
        cases: as :func:`~..data.artefacts.corrupted_cases` lists them.
        inferer: ``history[0]`` holds ``hidden_share`` and ``mean_error``.
        reference: healthy scans, preprocessed as the cases are, for the intensity histogram.
        threshold: on the map; the share of the brain above it is the ``score`` of an inference.
        weights: file of the weights.
        settings: what else the scores depend on, by name.
        resume: volumes in ``scores.jsonl`` that come from the same file, parameters, weights and settings are done.

    Attributes:
        remaining: cases that are still to do.
    """

    def __init__(
        self,
        output_dir: str,
        title: str,
        cases: Sequence[Mapping[str, Any]],
        inferer: Any,
        reference: Dataset,
        threshold: float,
        weights: str,
        settings: Mapping[str, Any],
        resume: bool = False,
    ) -> None:
        self.folder, self.title, self.inferer, self.reference = Path(output_dir), title, inferer, reference
        self.threshold, self.resume = threshold, resume
        self.facts = {"weights_sha256": sha256(weights), "threshold": threshold, **settings}
        self.origins = {case["case_id"]: self._origin(case) for case in cases}
        self.rows = {row["case_id"]: row for row in self._finished()} if resume else {}
        self.remaining = [case for case in cases if case["case_id"] not in self.rows]
        if resume:
            logger.info("%d of %d volumes are finished already", len(self.rows), len(cases))

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _origin(self, case: Mapping[str, Any]) -> dict[str, Any]:
        kept = ("case_id", "healthy_id", "artefact", "severity", "artefact_parameters", "image")
        # as it is read from a file
        return json.loads(json.dumps({**{key: case[key] for key in kept}, "facts": self.facts}))

    @property
    def _scores_file(self) -> Path:
        return self.folder / "scores.jsonl"

    def _finished(self) -> list[dict[str, Any]]:
        lines = self._scores_file.read_text(encoding="utf-8").splitlines() if self._scores_file.is_file() else []
        rows = [json.loads(line) for line in lines if line.endswith("}}")]  # the last may be cut off
        known = [row for row in rows if row["case_id"] in self.origins]
        return [row for row in known if self.origins[row["case_id"]].items() <= row.items()]

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.resume:
            self._scores_file.unlink(missing_ok=True)

    @cached_property
    def histogram(self) -> IntensityHistogram:
        """Of the reference scans."""
        volumes = (np.asarray(case["image"]) for case in self.reference)  # image and brain mask
        return IntensityHistogram([image[brain > 0] for image, brain in volumes])

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            image, brain = (np.asarray(channel) for channel in case["image"])
            anomaly_map = np.asarray(case["pred"][0])[brain > 0]
            found = {key: self.inferer.history[0][key] for key in ("hidden_share", "mean_error")}
            found["score"] = float((anomaly_map > self.threshold).mean())
            found[BASELINE] = self.histogram.distance(image[brain > 0])
            origin = self.origins[str(case["case_id"])]
            self.rows[case["case_id"]] = {**found, **origin}
            with self._scores_file.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(self.rows[case["case_id"]]))  # a line that was cut off stays alone

    def write(self) -> None:
        """Write tables, curves and page from the scores, and log where they are."""
        rows = [self.rows[case_id] for case_id in self.origins]
        shown = [{key: value for key, value in row.items() if key != "facts"} for row in rows]
        summary = summarise_artefacts(rows)
        scores = {row["score"]: SCORES[row["score"]] for row in summary}
        curves = severity_curves(summary, scores)
        run = {**run_information(), **self.facts, "reference scans": len(self.reference)}
        write_csv(self.folder / "report.csv", shown)
        write_table(self.folder / "detection.csv", summary)
        with replacing(self.folder / "severity_curves.png") as temporary:
            temporary.write_bytes(curves)
        write_json(self.folder / "report.json", {"run": run, "detection": summary, "volumes": shown})
        caption = "AUROC by severity, with 95 % bootstrap intervals over subjects; 0.5 is chance."
        parts = [*detection_tables(summary, scores), figure(curves, "AUROC by severity", caption, "curves")]
        note = f"{len({row['healthy_id'] for row in rows})} subjects, each against itself with an artefact."
        page = self.folder / "report.html"
        write_page(page, self.title, [Html(f"<p><b>{note}</b></p>"), *parts], run)
        logger.info("report: %s", page)
