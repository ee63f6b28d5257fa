"""What an evaluation of a network with known answers leaves behind: a row per case, metrics with intervals, a page."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from ..cases.checked_cases import CheckedCases
from ..evaluation.statistics import Interval
from ..runs.case_evaluator import leaving_out
from ..runs.engine import finished_cases
from ..runs.files import check_places
from ..runs.run_information import run_information
from ..runs.tables import write_csv, write_json
from ..runs.weights import sha256
from .page import FILES, Html, failed_cases, table, write_page

logger = logging.getLogger(__name__)

_INTERVALS = "Student's t of means over cases, Wilson's of shares of cases, percentiles of a bootstrap of the AUC"


class NetworkReport(ABC):
    """Handler for an evaluator: write ``report.csv`` (a row per case), ``report.json`` and ``report.html``.

    ``report.json`` holds ``run`` (facts, with the sha256 of the weights), ``metrics`` (name to estimate and the ends of
    the 95 % interval over cases, null where undefined), ``intervals`` (of which kind they are), ``counts`` (name to the
    number of cases that the metric is over), ``cases`` (the rows) and ``failures``. They are written at the end, also
    after an error.

    Args:
        output_dir: where they go.
        title: of the page.
        door: of the run; its failures are reported.
        weights: file of the network's weights.
        settings: further facts about the run, by name.
    """

    def __init__(
        self, output_dir: str, title: str, door: CheckedCases, weights: str, settings: Mapping[str, Any]
    ) -> None:
        self.folder, self.title, self.door = Path(output_dir), title, door
        self.run = {**run_information(), "weights": weights, "weights_sha256": sha256(weights), **settings}
        self.rows: list[dict[str, Any]] = []
        self.started = time.time()

    def attach(self, engine: Engine) -> None:
        check_places(self.folder, FILES)
        if not self.door.cases:  # nothing will run: the failures are all there is to report
            self.write()
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self.write)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._rescue)

    @abstractmethod
    def row(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """What there is to say of one finished case, beginning with its ``case_id``."""

    @abstractmethod
    def metrics(self) -> dict[str, tuple[Interval, int]]:
        """Each metric of all rows and the number of cases that it is over."""

    @abstractmethod
    def parts(self) -> Sequence[Html]:
        """What the page shows between metrics and cases; there is at least one row."""

    def _start(self) -> None:
        self.started = time.time()

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            with leaving_out(engine, case):
                self.rows.append(self.row(case))

    def _rescue(self, engine: Engine, error: BaseException) -> None:
        self.write()  # what is finished is not lost
        raise error

    def write(self) -> None:
        """Write the three files and log the metrics and where the page is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run["seconds"] = time.time() - self.started
        metrics, failures = self.metrics() if self.rows else {}, self.door.failures
        failed = [{"status": "failed", **failure} for failure in failures]
        write_csv(self.folder / "report.csv", [*({"status": "done", **row} for row in self.rows), *failed])
        content = {"run": self.run, "intervals": _INTERVALS}
        content |= {"metrics": {name: interval for name, (interval, _) in metrics.items()}}
        content |= {"counts": {name: count for name, (_, count) in metrics.items()}}
        write_json(self.folder / "report.json", {**content, "cases": self.rows, "failures": failures})
        note = f"<p><b>{len(self.rows)} cases evaluated, {len(failures)} failed.</b></p>"
        note += '<p class="note">Research use only; not a medical device.</p>'
        parts = [Html(note), failed_cases(failures)]
        if self.rows:
            parts += [_metric_table(metrics), *self.parts(), _case_table(self.rows)]
        write_page(self.folder / "report.html", self.title, parts, self.run)
        for name, (interval, count) in metrics.items():
            logger.info("%s %s, of %d cases", name, interval.text(), count)
        logger.info("report: %s", self.folder / "report.html")


def _metric_table(metrics: Mapping[str, tuple[Interval, int]]) -> Html:
    cells = [[name.replace("_", " "), *interval, count] for name, (interval, count) in metrics.items()]
    undefined = any(np.isnan(interval.estimate) for interval, _ in metrics.values())
    why = "<p>An empty value is undefined: no case here has what it is about.</p>" if undefined else ""
    shown = table(["metric", "estimate", "95 % interval from", "to", "cases"], cells)
    return Html(f"<h2>Metrics</h2><p>Intervals: {_INTERVALS}.</p>{shown}{why}")


def _case_table(rows: Sequence[Mapping[str, Any]]) -> Html:
    return Html(f"<h2>Cases</h2>{table([c.replace('_', ' ') for c in rows[0]], [list(r.values()) for r in rows])}")
