"""What a run leaves behind: one row and one picture per case, and the report that shows them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from ignite.engine import Engine, Events
from nibabel.affines import voxel_sizes

from ..brains.door import Door
from ..brains.extraction import extractor
from ..runs.case_evaluator import leaving_out
from ..runs.case_records import CaseRecords
from ..runs.engine import end_if_interrupted, finished_cases, log_failure
from ..runs.files import check_places, removing_after_error
from ..runs.run_information import run_information
from ..runs.weights import sha256
from .case_picture import case_picture
from .earlier_results import SET_ASIDE, maps_of, maps_of_others, set_aside
from .page import FILES, write_report
from .saved_maps import map_files

logger = logging.getLogger(__name__)


class CaseReports:
    """Handler for an evaluator of batch size 1: collect rows and pictures, write ``report.csv``, ``.html``, ``.json``.

    Each case is recorded as soon as it is finished, so that an interrupted run can go on; where that fails, its maps
    are removed. Maps that an earlier run has left of a case that is left out, or for which this run writes fewer, are
    moved, and all others are named as such. Of several processes that share the cases of the door the first writes the
    report, on all of them.

    Args:
        output_dir: where the report goes.
        title: of the report.
        door: of the run; its failures and warnings are reported.
        records: of its cases.
        weights: file of the weights.
        settings: further facts about the run, by name.

    Reads from each finished case ``native_image``, ``pred`` (the mask), ``anomaly_map``, ``pseudo_healthy`` (of several
    sequences the picture shows the last, that of ``native_image``), ``case_id``, ``facts``, which join its row, and,
    where there are some, ``notes``, which are logged as the door's warnings are, and ``label``.
    """

    def __init__(
        self,
        output_dir: str,
        title: str,
        door: Door,
        records: CaseRecords,
        weights: str,
        settings: Mapping[str, Any],
    ) -> None:
        self.folder, self.title, self.door, self.records = Path(output_dir), title, door, records
        self.run = {**run_information(), "weights": weights, "weights_sha256": sha256(weights), **settings}
        self.run |= {"passed_over": door.passed_over} if door.passed_over else {}
        self.warnings = {case["case_id"]: case["warnings"] for case in door.cases}
        self.moved: list[str] = []
        self.started = self.case_started = time.time()

    def attach(self, engine: Engine) -> None:
        check_places(self.folder, FILES, [SET_ASIDE])
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
            with leaving_out(engine, case):
                maps = map_files(self.folder, case).values()
                with removing_after_error(maps):
                    self._record(case, maps)

    def _record(self, case: Mapping[str, Any], maps: Collection[Path]) -> None:
        case_id, affine = str(case["case_id"]), np.asarray(case["native_image"].affine)
        names = ("native_image", "pseudo_healthy", "anomaly_map", "pred")
        image, pseudo_healthy, anomaly_map, mask = (np.asarray(case[name][-1]) for name in names)
        label = np.asarray(case["label"][0]) > 0 if case.get("label") is not None else None
        mask = mask > 0
        notes = case.get("notes", [])
        for note in notes:
            logger.warning("case '%s': %s", case_id, note)
        row = {
            "case_id": case_id,
            "anomaly_ml": float(mask.sum() * np.prod(voxel_sizes(affine)) / 1000),
            **case["facts"],
            **self.door.brains[case_id],
            "seconds": time.time() - self.case_started,
            "warnings": [*self.warnings[case_id], *notes],
        }
        extracted = self.door.brains[case_id]["brain_from"] == extractor()
        head = np.asarray(case["whole_image"][-1]) if extracted else None
        picture = case_picture(image, pseudo_healthy, anomaly_map, mask, affine, label, head)
        there = maps_of(self.folder, case_id)
        self.moved += set_aside(self.folder, case_id, [file for file in there if file not in maps])
        self.records.save(row, picture, [file for file in there if file in maps])

    def _rescue(self, engine: Engine, error: BaseException) -> None:
        finished = self._write_report()  # what is finished is not lost
        whole = len(self.records.cases)
        end_if_interrupted(error, f"{finished} of {whole} cases finished; the same with --resume true goes on")
        log_failure(engine, error)
        raise error

    def write(self) -> None:
        """Write the report and log where it is, once all processes are there."""
        self.door.share()
        self._write_report()

    def _write_report(self) -> int:
        """Let the first process write it; returns the number of finished cases."""
        records = self.records.read()
        if not dist.is_initialized() or dist.get_rank() == 0:
            self.run["seconds"] = time.time() - self.started
            rows, pictures = [row for row, _ in records], {row["case_id"]: picture for row, picture in records}
            sections = self._earlier_results([row["case_id"] for row in rows])
            page = write_report(self.folder, self.title, rows, pictures, self.door.failures, self.run, sections)
            logger.info("report: %s", page)
        return len(records)

    def _earlier_results(self, finished: list[str]) -> list[tuple[str, str]]:
        """Move what earlier runs have left of cases without a result; a section of the report on this, if any."""
        for case_id in (failure["case_id"] for failure in self.door.failures):
            self.moved += set_aside(self.folder, case_id, maps_of(self.folder, case_id))
        others = maps_of_others(self.folder, finished)
        says = [f"moved, as this run has not written them: {', '.join(self.moved)}"] if self.moved else []
        says += [f"in this folder, of cases that this run has not finished: {', '.join(others)}"] if others else []
        self.run |= {"earlier_results": [*self.moved, *others]} if says else {}
        return [("Files of earlier runs", "; ".join(says))] if says else []
