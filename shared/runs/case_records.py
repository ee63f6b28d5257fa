"""Records of finished cases beside their results, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch.distributed as dist
from monai.utils import ensure_tuple

from .command_line import DEBUG, given_options
from .files import check_places
from .tables import write_json
from .weights import sha256

FOLDER = ".finished"
_PARTS = {"files": list, "options": dict, "case": dict, "outputs": dict, "row": dict, "picture": str}  # of a record
_READ = ("config_file", "args_file")  # options whose files count, not their names
_NO_MATTER = {"resume", DEBUG, "bundle_root", "output_dir", "image", "dataset_dir", "datalist", "section", *_READ}

logger = logging.getLogger(__name__)


class CaseRecords:
    """What the report says of each finished case, one file a case, in ``.finished`` of the output folder.

    A case is finished where its files are those that were read (of the same size and time, or of the same sha256), the
    weights and the options that change results are the same, and all its outputs are there as they were written. Else,
    as where its record cannot be read or is of an older version, it is done again, and the log says why.

    Args:
        output_dir: of the results.
        cases: of the run, each with a ``case_id``.
        files: that results depend on, such as weights and calibration; those that are not there do not count.
        resume: finished cases are not done again; else a run forgets what earlier ones have finished.

    Attributes:
        cases: all of them.
        remaining: those that are still to do.

    Raises:
        OutputError: a file lies where the folder of the records is to be.
    """

    def __init__(
        self, output_dir: str, cases: Sequence[Mapping[str, Any]], files: Sequence[str], resume: bool = False
    ) -> None:
        self.folder, self.cases, self.resume = Path(output_dir, FOLDER), cases, resume
        given = given_options()
        self.files = [*files, *(file for key in _READ for file in ensure_tuple(given.get(key) or ()))]
        check_places(Path(output_dir), folders=[FOLDER])
        self.remaining = [case for case in cases if not resume or not self._is_finished(case)]
        if resume:
            logger.info("%d of %d cases are finished already", len(cases) - len(self.remaining), len(cases))

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What the results of this run depend on beside the cases: its options, and the sha256 of its files.

        The sums stand in the order of the files, whose names may be the same; that of a file that is not there is None.
        """
        given = given_options() or {"command": sys.argv[1:]}
        sums = [sha256(file) if Path(file).is_file() else None for file in self.files]
        return {"files": sums, "options": {name: given[name] for name in given.keys() - _NO_MATTER}}

    def start(self) -> None:
        """Forget the cases that are to be done; of several processes the first does so."""
        first = not dist.is_initialized() or dist.get_rank() == 0
        if first and not self.resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        for case in self.remaining if first else ():
            _remove(self._file(case["case_id"]))
        if dist.is_initialized():
            dist.barrier()

    def save(self, row: Mapping[str, Any], picture: bytes = b"", outputs: Iterable[str | Path] = ()) -> None:
        """Record a case whose results are all written.

        Args:
            row: of the report, with ``case_id``.
            picture: a PNG, if any.
            outputs: files that were written for the case.
        """
        (case,) = (case for case in self.cases if case["case_id"] == row["case_id"])
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {
            **self.origin,
            "case": {key: _known(value) for key, value in case.items() if isinstance(value, (str, int, float))},
            "outputs": {os.path.relpath(file, self.folder.parent): _known(str(file)) for file in outputs},
            "row": row,
            "picture": base64.b64encode(picture).decode(),
        }
        write_json(self._file(row["case_id"]), record)

    def read(self) -> list[tuple[dict[str, Any], bytes]]:
        """Row and picture of each finished case of the run, in the order of ``cases``."""
        records = [self._record(case["case_id"]) for case in self.cases]
        return [(record["row"], record["picture"]) for record in records if record]

    def _is_finished(self, case: Mapping[str, Any]) -> bool:
        case_id = case["case_id"]
        if not os.path.lexists(self._file(case_id)):
            return False
        record = self._record(case_id)
        reasons = self._differences(case, record) if record else ["its record cannot be read or is of an older version"]
        if reasons:
            logger.info("case '%s' is done again: %s", case_id, ", ".join(reasons))
        return not reasons

    def _differences(self, case: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
        options = self.origin["options"]
        names = sorted(options.keys() | record["options"].keys())
        others = [f"option {name}" for name in names if options.get(name) != record["options"].get(name)]
        files = zip_longest(self.files, self.origin["files"], record["files"])
        others += [str(file or "a file of the run") for file, now, then in files if now != then]
        others += [key for key, known in record["case"].items() if not _is_same(case.get(key), known)]
        others += [key for key, value in case.items() if isinstance(value, str) and key not in record["case"]]
        outputs = {name: (str(self.folder.parent / name), known) for name, known in record["outputs"].items()}
        gone = [name for name, (file, _) in outputs.items() if not Path(file).is_file()]
        others += [name for name, (file, known) in outputs.items() if name not in gone and not _is_same(file, known)]
        return [*(f"{other} is another one" for other in others), *(f"{name} is gone" for name in gone)]

    def _record(self, case_id: str) -> dict[str, Any] | None:
        """The record of a case with its picture as bytes; None where there is none that this version can read."""
        try:
            record = json.loads(self._file(case_id).read_text(encoding="utf-8"))
            whole = all(isinstance(record[part], kind) for part, kind in _PARTS.items())
            picture = base64.b64decode(record["picture"], validate=True)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return {**record, "picture": picture} if whole and record["row"].get("case_id") == case_id else None

    def _file(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.json"


def _remove(file: Path) -> None:
    """Remove a record, or whatever has its name."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


def _known(value: Any) -> Any:
    """A value of a case as it is recorded: of a file its size, time of change (ns) and sha256."""
    if not isinstance(value, str) or not Path(value).is_file():
        return value
    status = os.stat(value)
    return [status.st_size, status.st_mtime_ns, sha256(value)]


def _is_same(value: Any, known: Any) -> bool:
    """Whether a value of a case is the recorded one; a copy of a file has another time and the same sum."""
    if not isinstance(known, list) or not isinstance(value, str) or not Path(value).is_file():
        return bool(value == known)
    size, time, checksum = known
    status = os.stat(value)
    return bool(status.st_size == size and (status.st_mtime_ns == time or sha256(value) == checksum))
