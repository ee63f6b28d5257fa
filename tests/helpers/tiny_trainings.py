"""The trainings of all bundles on simulated data, so small that each takes seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import pytest
from monai.bundle import ConfigParser

from tests.helpers.bundle import Bundle
from tests.helpers.tiny_data import BUNDLES, UNET, within

EPOCHS = 6  # of a whole training
VAL_INTERVAL = 2  # epochs; the last one is validated
TSGM = "brain_mri_anomaly_tsgm"
MACDM = "tibia_radiograph_synthesis_macdm"


@dataclass(frozen=True)
class Training:
    """A training of a bundle: its configs, and options beside those that the bundle's data come with.

    Args:
        bundle: name.
        configs: overlays last.
        options: beside those of the data.
        steps: of an epoch.
        faulty: options whose value is a list with bad cases, names of files; the data's own value is without them.
        metric: by which the best weights are chosen; empty: the last ones are kept.
        averaged: the averaged weights are kept.
        together: config of several processes, where there is one.
    """

    bundle: str
    configs: str
    options: dict[str, Any]
    steps: int
    faulty: dict[str, str] = field(default_factory=dict)
    metric: str = "val_loss"
    averaged: bool = True
    together: str = "multi_gpu_train.json"

    @property
    def checkout(self) -> Bundle:
        return Bundle(Path("bundles") / self.bundle)

    @property
    def parsed(self) -> ConfigParser:
        """The configs, in this process."""
        return self.checkout.parsed(*self.configs.replace(".json", "").split())

    def prepare(self, folder: Path) -> dict[str, Any]:
        """Write the data into a folder; returns the options of a training on them."""
        folder.mkdir(parents=True)
        given = {**BUNDLES[self.bundle](folder), "num_workers": 0, "val_interval": VAL_INTERVAL, **self.options}
        given |= {"generated": str(folder / given["generated"])} if "generated" in given else {}
        given["max_epochs"] = EPOCHS
        keys = self.parsed.get()
        return {key: value for key, value in given.items() if key.split("#")[0] in keys}

    def run(self, options: dict[str, Any]) -> CompletedProcess[str]:
        """Run to the end."""
        return self.checkout.run(self.configs, options)

    def start(self, options: dict[str, Any], log: Path) -> Popen[bytes]:
        """Start in a process group of its own."""
        return self.checkout.start(self.configs, options, log)


LEARNING = {"learning_rate": 0.01, "ema_momentum": 0.2}
CLASSIFIER = {**LEARNING, **within("classifier_net", {"width": 16, **UNET})}
FEW = {"datalist": "faulty.json"}
SEGMENTER = {"network_def#channels": [4, 4, 8, 8, 8], "generated": "generated.json"}
ARMS = "reference_plus_generated.json reference_augmented.json"
RESNET = {"samples_per_epoch": 12}  # not the number of cases
PLAIN: dict[str, Any] = {"averaged": False, "together": ""}
TRAININGS = {
    "itermask3d": Training("brain_mri_anomaly_itermask3d", "train.json", {}, steps=2, faulty=FEW, metric="val_mse"),
    "mmccd": Training("brain_mri_anomaly_mmccd", "train.json", LEARNING, steps=2, faulty=FEW),
    "tsgm cyclegan": Training(
        TSGM,
        "train_cyclegan.json",
        {},
        steps=3,
        faulty=FEW,
        metric="",
        averaged=False,
        together="multi_gpu_train_cyclegan.json",
    ),
    "tsgm": Training(TSGM, "train.json", LEARNING, steps=3, faulty=FEW),
    "macdm denoiser": Training(MACDM, "train.json", LEARNING, steps=2, faulty=FEW),
    "macdm metaphysis": Training(MACDM, "train.json metaphysis.json", {**LEARNING, "size": 24}, steps=2, faulty=FEW),
    "macdm classifier": Training(MACDM, "train.json train_classifier.json", CLASSIFIER, steps=2, faulty=FEW),
    "macdm resnet18": Training(MACDM, "train_resnet34.json resnet18.json reference.json", RESNET, steps=3, **PLAIN),
    "macdm resnet34": Training(MACDM, "train_resnet34.json", RESNET, steps=3, **PLAIN),
    "macdm unet": Training(
        MACDM,
        f"train_resnet34.json train_unet.json {ARMS}",
        SEGMENTER,
        steps=2,
        faulty={"generated": "faulty_generated.json"},
        **PLAIN,
    ),
}
SLOW = {"macdm resnet34", "macdm metaphysis"}  # their configs are nearly those of ResNet-18 and of the denoiser
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in TRAININGS]
QUICK = "itermask3d"
FIRST = [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TRAININGS]
