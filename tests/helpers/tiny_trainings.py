"""The trainings of all bundles on simulated data, so small that each takes seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any, NamedTuple

import torch
from monai.bundle import ConfigParser

from shared.methods.tsgm.cyclegan import CycleGAN
from shared.runs.weights import save_half
from shared.simulation import phantom_brain, phantom_tibia
from tests.helpers.bundle import Bundle, tumours_and_healthy

UNET = {"unet#multipliers": [1, 2], "unet#attention_levels": [1]}


def itermask3d(folder: Path) -> dict[str, Any]:
    phantom_brain.write_dataset(folder, 8, [None], ["t1"], 4.0, seed=0)
    return {"dataset_dir": str(folder), "spacing": [4, 4, 4], "box": [48, 48, 48], "network_def#width": 2}


def mmccd(folder: Path) -> dict[str, Any]:
    phantom_brain.write_dataset(folder, 8, [None], ["flair", "t1"], 4.0, seed=0)
    few = {"slices_per_case": 2, "cases_per_batch": 2}
    return {"datalist": str(folder / "datalist.json"), "pixel_mm": 8, "unet#width": 4, **UNET, **few}


def tsgm(folder: Path) -> dict[str, Any]:
    (folder / "list.json").write_text(json.dumps(tumours_and_healthy(folder, ("t1", "t1ce", "flair"), spacing=5.0)))
    torch.manual_seed(0)
    save_half(CycleGAN(3, residual=True, width=4, blocks=1).generators, folder / "cyclegan.pt")
    files = {"datalist": str(folder / "list.json"), "cyclegan_weights": str(folder / "cyclegan.pt")}
    small = {"pixel_mm": 4, "unet#width": 8, **UNET, "generator#width": 4, "generator#blocks": 1}
    return {**files, **small, "pairs_per_epoch": 4, "batch_size": 2, "val_pairs": 2, "pool_size": 3}


def macdm(folder: Path) -> dict[str, Any]:
    phantom_tibia.write_dataset(folder, 8, [None, "corner"], 48, seed=0)
    few = {"samples_per_epoch": 4, "batch_size": 2, "val_noises": 1}
    return {"dataset_dir": str(folder), "size": 32, "unet#width": 16, **UNET, **few}


BUNDLES = {
    "brain_mri_anomaly_itermask3d": itermask3d,
    "brain_mri_anomaly_mmccd": mmccd,
    "brain_mri_anomaly_tsgm": tsgm,
    "tibia_radiograph_synthesis_macdm": macdm,
}


class Training(NamedTuple):
    """A training of a bundle: its configs, and options beside those that the bundle's data come with."""

    bundle: str
    configs: str
    options: dict[str, Any]

    def prepare(self, folder: Path) -> Callable[..., dict[str, Any]]:
        """Write the data below a folder; returns ``options(out, **more)`` of a run that writes to ``out``."""
        folder.mkdir()
        given = {**BUNDLES[self.bundle](folder), "num_workers": 0, "val_interval": 1, **self.options}
        given = {key: value for key, value in given.items() if key.split("#")[0] in self.parsed.get()}
        return lambda out, **more: {**given, "ckpt_dir": out, "output_dir": out, **more}

    @property
    def checkout(self) -> Bundle:
        return Bundle(Path("bundles") / self.bundle)

    @property
    def parsed(self) -> ConfigParser:
        """The configs, in this process."""
        return self.checkout.parsed(*self.configs.replace(".json", "").split())

    def run(self, options: dict[str, Any]) -> CompletedProcess[str]:
        """Run to the end."""
        return self.checkout.run(self.configs, options)

    def start(self, options: dict[str, Any], log: Path) -> Popen[bytes]:
        """Start in a process group of its own."""
        return self.checkout.start(self.configs, options, log)


SMALL_CLASSIFIER = {key.replace("unet", "classifier"): value for key, value in {"unet#width": 16, **UNET}.items()}
SMALL_UNET = {"network_def#channels": [4, 4, 8, 8, 8]}
TRAININGS = {
    "itermask3d": Training("brain_mri_anomaly_itermask3d", "train.json", {}),
    "mmccd": Training("brain_mri_anomaly_mmccd", "train.json", {}),
    "tsgm cyclegan": Training("brain_mri_anomaly_tsgm", "train_cyclegan.json", {}),
    "tsgm": Training("brain_mri_anomaly_tsgm", "train.json", {}),
    "macdm denoiser": Training("tibia_radiograph_synthesis_macdm", "train.json", {}),
    "macdm classifier": Training(
        "tibia_radiograph_synthesis_macdm", "train.json train_classifier.json", SMALL_CLASSIFIER
    ),
    "macdm resnet34": Training("tibia_radiograph_synthesis_macdm", "train_resnet34.json", {}),
    "macdm unet": Training("tibia_radiograph_synthesis_macdm", "train_resnet34.json train_unet.json", SMALL_UNET),
}
