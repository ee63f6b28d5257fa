"""Each tiny training run once from start to end, whichever tests and processes of pytest ask for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.helpers.tiny_trainings import TRAININGS, Training


@dataclass(frozen=True)
class Whole:
    """A training that has never been stopped, with bad cases in its lists where it has a check at the door.

    Args:
        name: in ``TRAININGS``.
        folder: of ``data`` and ``out``, which is left as it is.
        given: the options of a training on the data without bad cases.
        log: what it printed.
    """

    name: str
    folder: Path
    given: dict[str, Any]
    log: str

    @property
    def training(self) -> Training:
        return TRAININGS[self.name]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def out(self) -> Path:
        """Folder of weights, checkpoint and curves."""
        return self.folder / "out"

    def options(self, out: Path, **more: Any) -> dict[str, Any]:
        """Options of a training on the same data, without bad cases, that writes to ``out``."""
        return {**self.given, "ckpt_dir": out, "output_dir": out, **more}


class WholeTrainings:
    """The whole trainings by name; one that is not there yet is run, while other processes that want it wait.

    Args:
        folder: that all processes of one run of pytest share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Whole:
        folder = self.folder / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / "record.json"
        with FileLock(folder / "lock"):
            if not record.is_file():
                record.write_text(json.dumps(_run(TRAININGS[name], folder)))
        found = json.loads(record.read_text())
        assert found["code"] == (2 if TRAININGS[name].faulty else 0), found["errors"]
        return Whole(name, folder, found["given"], found["log"])


def _run(training: Training, folder: Path) -> dict[str, Any]:
    given, out = training.prepare(folder / "data"), str(folder / "out")
    bad = {option: str(folder / "data" / file) for option, file in training.faulty.items()}
    done = training.run({**given, **bad, "ckpt_dir": out, "output_dir": out})
    return {"given": given, "code": done.returncode, "log": done.stdout, "errors": done.stderr}
