"""The overlays for chest radiographs and brain slices: trained and sampled by the real command on tiny folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shared.radiographs.reading import read_mask
from tests.helpers.bundle import Bundle
from tests.helpers.paths import ROOT
from tests.helpers.run_outputs import scalars, table
from tests.helpers.source_layouts import write_chests, write_gliomas
from tools.make_datalist import main

NET = {"width": 16, "multipliers": [1, 2], "attention_levels": [1]}
TINY = {"size": 32, **{f"unet#{key}": value for key, value in NET.items()}}
TRAINING = {**TINY, "max_epochs": 1, "samples_per_epoch": 4, "batch_size": 4, "val_interval": 1, "val_noises": 1}
CLASSIFIER = {f"classifier_net#{key}": value for key, value in NET.items()} | {"val_noises": 1}
SAMPLING = {**TINY, "steps": 2, "samples": 2, **{f"classifier_net#{key}": value for key, value in NET.items()}}


@pytest.fixture(scope="module")
def chests(macdm: Bundle, tmp_path_factory) -> SimpleNamespace:
    """A copy of the bundle, so that its own folders take what is trained, and a list of chests."""
    folder = tmp_path_factory.mktemp("collection")
    assert main(["chest_xray", str(write_chests(folder / "in")), str(folder / "list.json")]) == 0
    return SimpleNamespace(bundle=copied(macdm, folder), list=folder / "list.json")


@pytest.fixture(scope="module")
def brains(macdm: Bundle, tmp_path_factory) -> SimpleNamespace:
    """The same with slices of gliomas."""
    folder = tmp_path_factory.mktemp("collection")
    assert main(["lgg2d_slices", str(write_gliomas(folder / "in")), str(folder / "list.json")]) == 0
    return SimpleNamespace(bundle=copied(macdm, folder), list=folder / "list.json")


def copied(bundle: Bundle, folder: Path) -> Bundle:
    copy = folder / "bundles" / bundle.root.name
    for part in ("configs", "scripts"):
        shutil.copytree(bundle.folder / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "shared").symlink_to(ROOT / "shared")
    return Bundle(copy)


def run(given: SimpleNamespace, configs: str, options: dict[str, Any]) -> SimpleNamespace:
    done = given.bundle.run(configs, options)
    assert done.returncode == 0, done.stderr
    return done


def written(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.pt"))


def sampled(given: SimpleNamespace, overlay: str, options: dict[str, Any]) -> SimpleNamespace:
    """Rows, page and the lesion masks of a run."""
    out = given.bundle.folder.parent / "samples"
    run(given, f"inference.json {overlay}", {**SAMPLING, "output_dir": out, **options})
    masks = [read_mask(str(file), "lesion_mask").data for file in sorted(out.rglob("*_lesion_mask.png"))]
    page = (out / "report.html").read_text(encoding="utf-8")
    return SimpleNamespace(rows=table(out / "samples.csv"), page=page, lesions=masks)


@pytest.fixture(scope="module")
def chests_trained(chests) -> SimpleNamespace:
    out = chests.bundle.folder / "eval" / "denoiser"
    run(chests, "train.json chest_xray.json", {**TRAINING, "datalist": chests.list, "output_dir": out})
    return chests


@pytest.fixture(scope="module")
def chests_classified(chests_trained) -> SimpleNamespace:
    out = chests_trained.bundle.folder / "eval" / "classifier"
    options = {**TRAINING, **CLASSIFIER, "datalist": chests_trained.list, "output_dir": out}
    run(chests_trained, "train.json train_classifier.json chest_xray.json", options)
    return chests_trained


@pytest.fixture(scope="module")
def brains_trained(brains) -> SimpleNamespace:
    out = brains.bundle.folder / "eval" / "denoiser"
    run(brains, "train.json brain_slices.json", {**TRAINING, "datalist": brains.list, "output_dir": out})
    return brains


def test_each_network_has_a_folder_of_its_own_and_the_tibia_keeps_its_weights(chests_classified, brains_trained):
    both = ["classifier", "denoiser"]
    trained = (chests_classified, "chest_xray", both), (brains_trained, "brain_slices", both[1:])
    for given, overlay, names in trained:
        root = given.bundle.folder
        assert written(root / "models") == [f"{overlay}/{name}/model.pt" for name in names]
        for name in names:
            losses = scalars(root / "eval" / name, "train_loss")
            assert len(losses) == 1 and np.isfinite(losses).all()


def test_sampled_chests_have_their_names_and_no_lesion(chests_classified):
    made = sampled(chests_classified, "chest_xray.json", {})
    assert [row["class"] for row in made.rows] == ["normal", "abnormal"] * 2
    assert made.rows[1]["case_id"] == "abnormal_0001" and made.rows[1]["class_probability"]
    assert "outlines of lungs (blue)" in made.page and "fracture" not in made.page
    assert len(made.lesions) == 4 and not np.any(made.lesions)
    assert not any("no lesion" in row["reason"] for row in made.rows)


def test_sampled_brain_slices_have_their_names(brains_trained):
    made = sampled(brains_trained, "brain_slices.json", {"classifier_weights": "", "guidance": 0})
    assert [row["case_id"] for row in made.rows[:2]] == ["lesion-free_0001", "glioma_0001"]
    assert "outlines of brain (blue)" in made.page and "fracture" not in made.page


@pytest.mark.parametrize("overlay", ["chest_xray.json", "brain_slices.json"])
def test_every_key_of_an_overlay_overrides_one_of_a_config(macdm, overlay):
    assert macdm.config(overlay).keys() <= macdm.config("train.json").keys() | macdm.config("inference.json").keys()


def test_lungs_are_never_mirrored(macdm):
    both = (macdm.config(name)["augment_batch"] for name in ("train.json", "chest_xray.json"))
    plain, own = ({key: value for key, value in config.items() if key != "_desc_"} for config in both)
    assert own == {**plain, "flip": 0.0} != plain
