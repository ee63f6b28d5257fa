"""Records of finished cases beside their results, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch.distributed as dist

from .errors import OutputError
from .tables import write_json
from .weights import sha256

FOLDER = ".finished"

logger = logging.getLogger(__name__)


class CaseRecords:
    """What the report says of each finished case, one file a case, in ``.finished`` of the output folder.

    Args:
        output_dir: of the results.
        cases: of the run, each with a ``case_id``.
        files: that results depend on, such as weights and calibration; those that are not there do not count.
        resume: finished cases are not done again; else a run forgets what earlier ones have finished.

    Attributes:
        cases: all of them.
        remaining: those that are still to do.

    Raises:
        OutputError: with ``resume``, the finished cases come from another command or from other files.
    """

    def __init__(
        self, output_dir: str, cases: Sequence[Mapping[str, Any]], files: Sequence[str], resume: bool = False
    ) -> None:
        self.folder, self.cases, self.files, self.resume = Path(output_dir, FOLDER), cases, files, resume
        done = {row["case_id"] for row, _ in self.read()} if resume else set()
        self.remaining = [case for case in cases if case["case_id"] not in done]
        if resume:
            logger.info("%d of %d cases are finished already", len(cases) - len(self.remaining), len(cases))

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What the results of this run depend on: its command, all but ``--resume``, and the sha256 of its files."""
        words = [word for word in sys.argv[1:] if not word.startswith("--resume=")]
        if "--resume" in words:
            option = words.index("--resume")
            del words[option : option + 2]
        return {"command": words, "files": [sha256(file) for file in self.files if Path(file).is_file()]}

    def start(self) -> None:
        """Forget the cases of earlier runs, unless this one resumes; of several processes the first does so."""
        first = not dist.is_initialized() or dist.get_rank() == 0
        if first and not self.resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        if dist.is_initialized():
            dist.barrier()

    def save(self, row: Mapping[str, Any], picture: bytes = b"") -> None:
        """Record a case whose results are all written: its row, with ``case_id``, and its picture, a PNG, if any."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"origin": self.origin, "row": row, "picture": base64.b64encode(picture).decode()}
        write_json(self._file(row["case_id"]), record)

    def read(self) -> list[tuple[dict[str, Any], bytes]]:
        """Row and picture of each finished case of the run, in the order of ``cases``."""
        files = [self._file(case["case_id"]) for case in self.cases]
        found = []
        for record in (json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()):
            if record["origin"] != self.origin:
                case_id = record["row"]["case_id"]
                raise OutputError(
                    f"{self.folder.parent}: '{case_id}' is from another command, or weights or calibration have "
                    "changed. Resume with the command that was interrupted, or choose another --output_dir"
                )
            found.append((record["row"], base64.b64decode(record["picture"])))
        return found

    def _file(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.json"
