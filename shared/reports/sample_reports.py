"""What a sampling run leaves behind: a dataset of the accepted samples, the rejected ones, and a report on both."""

from __future__ import annotations

import io
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from ..cases.file_names import SAMPLE_FOLDERS, SAMPLES_TABLE
from ..cases.radiograph_cases import MASKS
from ..evaluation.nearest_neighbours import blurred_pixels, nearest_neighbours
from ..runs.case_evaluator import leaving_out
from ..runs.case_records import CaseRecords
from ..runs.engine import end_if_interrupted, finished_cases, log_failure
from ..runs.files import check_places, removing_after_error
from ..runs.remaining_cases import RemainingCases
from ..runs.run_information import run_information
from ..runs.tables import write_csv, write_json
from ..runs.weights import sha256
from .earlier_results import SET_ASIDE, set_aside
from .page import FILES, Html, failed_cases, figure, table, write_page
from .radiograph_grid import outlined, picture_grid, png
from .sample_files import listed_sample, samples_of, samples_of_others, write_sample

COLUMNS = tuple(
    "case_id class_label class seed w1 w2 w3 guidance level steps sampler source_id class_probability accepted reason "
    "nearest_case nearest_distance".split()
)
SHOWN = 16  # samples of each class, and rejected ones, that the page shows

logger = logging.getLogger(__name__)


class SampleReports:
    """Handler for an evaluator: write each sample as PNG files, and the tables, datalist and page of the run.

    ``samples/`` holds the accepted samples and ``rejected/`` the others, ``<case_id>_image.png`` (16 bits, 0 for -1 and
    65535 for 1) and ``<case_id>_{tibia_mask,lesion_mask}.png`` (8 bits, 255 inside), X down the rows. ``samples.csv``
    has a row for each (:data:`COLUMNS`, then what else is known), ``datalist.json`` the accepted ones in its section
    ``training``, a sample that began at a source with ``patient_id`` the source, so that it cannot stand in another
    section. These are renewed after each batch, and its samples are recorded, so that an interrupted run can go on;
    ``report.json`` and ``report.html`` come last, also after an error. What an earlier run has left of a sample or
    source that is left out now is moved, and its other samples are named.

    Args:
        output_dir: where all this goes.
        title: of the page.
        records: of the requests.
        weights: files of the networks, by name; empty where there is none.
        settings: facts of all samples, by name, such as seed, w1, w2, w3, steps and sampler; they join each row.
        cases: of the run: the requests, or the door of their sources; what was left out is reported.
        training: ``case_id`` and ``radiograph``, ``1 X Y`` as the samples, of the images that the network was trained
            on: the nearest is named, with its distance by :mod:`~..evaluation.nearest_neighbours`.
        mask_names: of tibia and lesion, for the captions.

    Reads of each finished case ``pred``, ``facts`` (they join its row), ``accepted`` and ``reason`` as
    :class:`~..radiographs.generated_masks.GeneratedMasksd` leaves them, ``class_label``, ``class_name``, ``case_id``
    and, where they are, ``source_id``, ``source_class``, ``seed``, and ``radiograph``, ``tibia_mask`` and
    ``lesion_mask`` of the source.
    """

    def __init__(
        self,
        output_dir: str,
        title: str,
        records: CaseRecords,
        weights: Mapping[str, str],
        settings: Mapping[str, Any],
        cases: RemainingCases,
        training: Sequence[Mapping[str, Any]] = (),
        mask_names: Sequence[str] = ("tibia", "lesion"),
    ) -> None:
        self.folder, self.title, self.records = Path(output_dir), title, records
        self.settings = dict(settings)
        self.cases, self.training, self.mask_names = cases, training, mask_names
        files = {name: {"file": file, "sha256": sha256(file)} for name, file in weights.items() if file}
        self.run = {**run_information(), **files, **settings}
        self.rows: list[dict[str, Any]] = []
        self.shown: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
        self.moved: list[str] = []
        self.started = time.time()

    def attach(self, engine: Engine) -> None:
        check_places(self.folder, [*FILES, SAMPLES_TABLE, "datalist.json"], [*SAMPLE_FOLDERS, SET_ASIDE])
        self.records.start()
        for row, tile in self.records.read():
            self._add(row, np.asarray(Image.open(io.BytesIO(tile))))
        if engine.state.epoch_length == 0:  # nothing will run: what is known already is all there is to report
            self.write()
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._finish_batch)
        engine.add_event_handler(Events.COMPLETED, self.write)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._rescue)

    def _start(self) -> None:
        self.started = time.time()
        self.known = [str(case["case_id"]) for case in self.training]
        if self.known:
            self.vectors = _vectors([case["radiograph"] for case in self.training])

    def _finish_batch(self, engine: Engine) -> None:
        cases = finished_cases(engine)
        nearest = self._nearest([case["pred"][:1] for case in cases])
        for case, near in zip(cases, nearest, strict=True):
            with leaving_out(engine, case):
                self._finish_sample(case, near)
        self._write_tables()

    def _finish_sample(self, case: Mapping[str, Any], near: Mapping[str, Any]) -> None:
        case_id, label, accepted = str(case["case_id"]), int(case["class_label"]), bool(case["accepted"])
        class_name = str(case["class_name"])
        sample = np.asarray(case["pred"], dtype=np.float32)
        keys = ("seed", "source_id", "source_class", "reason")
        known: dict[str, Any] = {key: case[key] for key in keys if key in case}
        known |= {"case_id": case_id, "class_label": label, "class": class_name, "accepted": accepted}
        row = {**known, **self.settings, **case["facts"], **near}
        row, tile = {column: row.get(column) for column in COLUMNS} | row, _tile(case, sample)
        files = write_sample(self.folder, sample, case_id, accepted)
        with removing_after_error(files):
            self.records.save(row, png(tile), files)
        self._add(row, tile)

    def _add(self, row: dict[str, Any], tile: np.ndarray) -> None:
        self.rows.append(row)
        shown = self.shown[row["class"] if row["accepted"] else "rejected"]
        if len(shown) < SHOWN:
            shown.append((row["case_id"], tile))

    def _nearest(self, samples: Sequence[torch.Tensor]) -> list[dict[str, Any]]:
        if not self.known or not samples:
            return [{} for _ in samples]
        found = nearest_neighbours(_vectors(samples), self.vectors)
        return [{"nearest_case": self.known[i], "nearest_distance": float(d)} for d, i in zip(*found, strict=True)]

    def _rescue(self, engine: Engine, error: BaseException) -> None:
        self.write()  # what is finished is not lost
        whole = len(self.records.cases)
        end_if_interrupted(error, f"{len(self.rows)} of {whole} samples finished; the same with --resume true goes on")
        log_failure(engine, error)
        raise error

    def _write_tables(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_csv(self.folder / SAMPLES_TABLE, self.rows)
        listed = [listed_sample(row) for row in self.rows if row["accepted"]]
        write_json(self.folder / "datalist.json", {"training": listed})

    def write(self) -> None:
        """Write tables and page and log where the page is."""
        self.run["seconds"] = time.time() - self.started
        self._write_tables()
        failures = self.cases.failures
        for source in (failure["case_id"] for failure in failures):
            self.moved += set_aside(self.folder, source, samples_of(self.folder, source))
        earlier = [*self.moved, *samples_of_others(self.folder, {row["case_id"] for row in self.rows})]
        self.run |= {"earlier_results": earlier} if earlier else {}
        write_json(self.folder / "report.json", {"run": self.run, "cases": self.rows, "failures": failures})
        accepted = [row["class"] for row in self.rows if row["accepted"]]
        classes = [name for _, name in sorted({(row["class_label"], row["class"]) for row in self.rows})]
        counts = ", ".join(f"{accepted.count(name)} {name}" for name in classes) or "none"
        parts = [
            Html(
                f"<p><b>{len(self.rows)} samples: {len(accepted)} accepted ({counts}), "
                f"{len(self.rows) - len(accepted)} rejected.</b></p>"
                '<p class="note">Generated images, of no patient. Research use only; not a medical device.</p>'
            ),
            failed_cases(failures),
            *(_grid(name, self.shown[name], self.mask_names) for name in (*classes, "rejected") if self.shown[name]),
        ]
        if self.rows:
            columns = dict.fromkeys(column for row in self.rows for column in row if row[column] is not None)
            cells = [[row.get(column) for column in columns] for row in self.rows]
            parts.append(Html(f"<h2>Samples</h2>{table([column.replace('_', ' ') for column in columns], cells)}"))
        write_page(self.folder / "report.html", self.title, parts, self.run)
        logger.info("report: %s", self.folder / "report.html")


def _vectors(radiographs: Sequence[torch.Tensor]) -> np.ndarray:
    return blurred_pixels(np.stack([np.asarray(radiograph, dtype=np.float32) for radiograph in radiographs]))


def _tile(case: Mapping[str, Any], sample: np.ndarray) -> np.ndarray:
    tile = outlined(*sample)
    if "source_id" in case:
        source = (np.asarray(case[key][0], dtype=np.float32) for key in ("radiograph", *MASKS))
        tile = np.hstack([outlined(*source), tile])
    return tile


def _grid(name: str, shown: Sequence[tuple[str, np.ndarray]], mask_names: Sequence[str]) -> Html:
    ids = ", ".join(case_id for case_id, _ in shown)
    caption = (
        f"Row by row: {escape(ids)}. Each as it is, then with the outlines of {escape(mask_names[0])} (blue) and "
        f"{escape(mask_names[1])} (red); before it in the same way its source, where it has one."
    )
    picture = figure(picture_grid([tile for _, tile in shown]), f"{name} samples", caption, name)
    return Html(f"<h2>{name.capitalize()}</h2>{picture}")
