"""The data of each bundle's tiny trainings, simulated, and the options that make a training of them take seconds.

Each bundle has an entry in ``BUNDLES``, below. Each function writes ``datalist.json`` into a folder, and
``faulty.json``, the same with cases that have to be left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from shared.methods.tsgm.cyclegan import CycleGAN
from shared.runs.weights import save_half
from shared.simulation.phantom_brain import make_phantom, write_phantom
from shared.simulation.phantom_tibia import write_dataset
from tests.helpers.bundle import tumours_and_healthy

UNET = {"multipliers": [1, 2], "attention_levels": [1]}
GENERATOR = {"width": 4, "blocks": 1}
SEQUENCES = ("t1", "t1ce", "flair")  # of TSGM


def within(part: str, values: dict[str, Any]) -> dict[str, Any]:
    """The options for values of a part of a config."""
    return {f"{part}#{key}": value for key, value in values.items()}


def write_list(path: Path, sections: dict[str, Any]) -> None:
    path.write_text(json.dumps(sections))


def brains(folder: Path, sequences: Sequence[str], first: str | None) -> dict[str, list[dict[str, str]]]:
    """4 phantoms to train, the first with a lesion, 2 to validate; one with a tumour and a healthy one to test."""

    def written(name: str, seed: int, lesion: str | None = None) -> dict[str, str]:
        return write_phantom(make_phantom(seed, lesion, sequences, spacing=4.0), folder, name)

    return {
        "training": [written(f"training{seed}", seed, first if seed == 0 else None) for seed in range(4)],
        "validation": [written(f"validation{seed}", seed) for seed in (4, 5)],
        "test": [
            {**written("tumour6", 6, "tumour"), "group": "tumour"},
            {**written("healthy7", 7), "group": "healthy"},
        ],
    }


def itermask3d(folder: Path) -> dict[str, Any]:
    """In ``faulty.json`` a fifth case to train is no NIfTI file."""
    sections = brains(folder, ("t1",), first=None)
    write_list(folder / "datalist.json", sections)
    (folder / "broken.nii.gz").write_text("no NIfTI")
    sections["training"].insert(2, {"case_id": "broken", "t1": "broken.nii.gz"})
    write_list(folder / "faulty.json", sections)
    small = {"spacing": [4, 4, 4], "box": [48, 48, 48], "network_def#width": 2}
    return {"dataset_dir": str(folder), **small, "batch_size": 2}


def mmccd(folder: Path) -> dict[str, Any]:
    """In ``faulty.json`` a fifth case to train lacks its T1."""
    sections = brains(folder, ("flair", "t1"), first="tumour")
    write_list(folder / "datalist.json", sections)
    sections["training"].insert(2, {"case_id": "only_flair", "flair": sections["training"][1]["flair"]})
    write_list(folder / "faulty.json", sections)
    small = {"pixel_mm": 8, **within("unet", {"width": 4, **UNET})}
    return {"datalist": str(folder / "datalist.json"), **small, "slices_per_case": 2, "cases_per_batch": 2}


def tsgm(folder: Path) -> dict[str, Any]:
    """In each section a phantom with a tumour and one without, and a tiny CycleGAN; a third case has no FLAIR."""
    sections = tumours_and_healthy(folder, SEQUENCES, spacing=5.0)
    write_list(folder / "datalist.json", sections)
    lacking = {key: value for key, value in sections["training"][1].items() if key != "flair"}
    sections["training"].insert(1, {**lacking, "case_id": "no_flair"})
    write_list(folder / "faulty.json", sections)
    torch.manual_seed(0)
    save_half(CycleGAN(len(SEQUENCES), residual=True, **GENERATOR).generators, folder / "cyclegan.pt")
    files = {"datalist": str(folder / "datalist.json"), "cyclegan_weights": str(folder / "cyclegan.pt")}
    small = {"pixel_mm": 4, **within("unet", {"width": 8, **UNET}), **within("generator", GENERATOR)}
    return {**files, **small, "pairs_per_epoch": 6, "batch_size": 2, "val_pairs": 4, "pool_size": 3}


def macdm(folder: Path) -> dict[str, Any]:
    """Eight radiographs to train and four to validate; three more of no use; samples, one of two of no use."""
    sections = {
        section: _radiographs(folder, section, cases, seed)
        for section, cases, seed in (("training", 8, 0), ("validation", 4, 100), ("generated", 2, 200))
    }
    normal, fracture = sections["training"][:2]
    good, bad = ({**case, "patient_id": normal["case_id"]} for case in sections.pop("generated"))
    write_list(folder / "datalist.json", sections)
    write_list(folder / "generated.json", {"training": [good]})
    write_list(folder / "faulty_generated.json", {"training": [good, {**bad, "class_label": 0}]})  # it has a lesion
    Image.new("L", (48, 48)).save(folder / "empty.png")
    faults = [
        {**fracture, "case_id": "contradiction", "class_label": 0},
        {**normal, "case_id": "no_tibia", "tibia_mask": "empty.png"},
        {key: value for key, value in {**normal, "case_id": "no_class"}.items() if key != "class_label"},
    ]
    write_list(folder / "faulty.json", {**sections, "training": faults + sections["training"]})
    few = {"samples_per_epoch": 8, "batch_size": 4, "val_noises": 2}
    return {"dataset_dir": str(folder), "size": 32, **within("unet", {"width": 16, **UNET}), **few}


def _radiographs(folder: Path, section: str, cases: int, seed: int) -> list[dict[str, Any]]:
    path = write_dataset(folder / section, cases, (None, "corner"), size=48, seed=seed, section="training")
    files = ("image", "tibia_mask", "lesion_mask")
    listed = json.loads(path.read_text())["training"]
    return [{**case, **{key: f"{section}/{case[key]}" for key in files}} for case in listed]


BUNDLES = {  # the folder of a bundle, and what writes its data and returns the options
    "brain_mri_anomaly_itermask3d": itermask3d,
    "brain_mri_anomaly_mmccd": mmccd,
    "brain_mri_anomaly_tsgm": tsgm,
    "tibia_radiograph_synthesis_macdm": macdm,
}
