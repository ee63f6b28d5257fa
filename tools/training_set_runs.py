"""Trainings of ResNet-34 and U-Net on one training set each, and their evaluations, through the bundle's command."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

BUNDLE = ROOT / "bundles" / "tibia_radiograph_synthesis_macdm"
TRAINING = {"resnet34": ["train_resnet34"], "unet": ["train_resnet34", "train_unet"]}
EVALUATION = {"resnet34": ["evaluate_resnet34"], "unet": ["evaluate_resnet34", "evaluate_unet"]}
ARMS = {
    "reference": ["reference"],
    "reference_augmented": ["reference_augmented"],
    "reference_plus_generated": ["reference_plus_generated"],
    "augmented_plus_generated": ["reference_augmented", "reference_plus_generated"],
}
_SOME_LEFT_OUT = 2  # exit code of a run that left bad cases out and named them


class RunFailure(RuntimeError):
    """A training or an evaluation failed; the message holds its command and where its log is."""


@dataclass(frozen=True)
class Run:
    """A network to train on one training set from one seed, and to evaluate."""

    task: str
    arm: str
    seed: int
    output_dir: Path

    @property
    def folder(self) -> Path:
        return self.output_dir / self.task / self.arm / f"seed{self.seed}"

    @property
    def report(self) -> dict[str, Any]:
        """What ``report.json`` of the evaluation holds, empty lists where there is none."""
        file = self.folder / "test" / "report.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"cases": [], "failures": []}

    def is_finished(self, cases: int) -> bool:
        """Whether the report is on all held-out cases; an evaluation that broke off leaves one on some."""
        return bool(self.report["cases"]) and len(self.report["cases"]) + len(self.report["failures"]) == cases

    def command(self, stage: str, given: argparse.Namespace) -> list[str]:
        """The command that does ``train`` or ``evaluate``."""
        names = TRAINING[self.task] + ARMS[self.arm] + (EVALUATION[self.task] if stage == "evaluate" else [])
        options = {
            "config_file": [str(BUNDLE / "configs" / f"{name}.json") for name in names],
            "bundle_root": BUNDLE,
            "datalist": given.reference if stage == "train" else given.held_out,
            "ckpt_dir": self.folder,
            "output_dir": self.folder if stage == "train" else self.folder / "test",
            "seed": self.seed,
        }
        if "reference_plus_generated" in names:
            options["generated"] = given.generated
        if stage == "train" and (self.folder / "checkpoint.pt").is_file():
            options["resume"] = True
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        return [sys.executable, "-m", "monai.bundle", "run", *words, *given.options]

    def carry_out(self, given: argparse.Namespace, cases: int) -> str:
        """Train and evaluate; return what there is to say of it.

        Raises:
            RunFailure: an exit code that is no success, or a report that is not on all held-out cases.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        done = []
        for stage in ("train", "evaluate"):
            command, log, started = self.command(stage, given), self.folder / f"{stage}.log", time.monotonic()
            with log.open("wb") as stream:
                code = subprocess.run(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT).returncode
            left = self.folder / "model.pt" if stage == "train" else self.folder / "test" / "report.json"
            complete = left.is_file() and (stage == "train" or self.is_finished(cases))
            if code not in (0, _SOME_LEFT_OUT) or not complete:
                text = subprocess.list2cmdline(command)
                raise RunFailure(
                    f"{stage} failed with exit code {code}. Its log: {log}\nThe command, in {ROOT}:\n{text}"
                )
            note = f" (bad cases left out, see {log})" if code == _SOME_LEFT_OUT else ""
            done.append(f"{stage} {time.monotonic() - started:.0f} s{note}")
        return ", ".join(done)


def carry_out(runs: Sequence[Run], given: argparse.Namespace, cases: int) -> None:
    """Do what is not finished, a line for each run."""
    for number, run in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {run.task}, {run.arm}, seed {run.seed}: ", end="", flush=True)
        print("finished before" if run.is_finished(cases) else run.carry_out(given, cases), flush=True)
