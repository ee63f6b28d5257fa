"""Every bundle is held to the contract: each has tiny data, and each config of a training is run by a tiny training."""

from __future__ import annotations

from tests.helpers.paths import ROOT
from tests.helpers.tiny_data import BUNDLES
from tests.helpers.tiny_trainings import TRAININGS


def test_every_bundle_has_tiny_data():
    folders = {file.parents[1].name for file in ROOT.glob("bundles/*/configs/inference.json")}
    assert folders == BUNDLES.keys(), "enter it into BUNDLES of tests/helpers/tiny_data.py"


def test_every_training_is_run():
    """The first config of a command; the others are overlays."""
    configs = {(file.parents[1].name, file.name) for file in ROOT.glob("bundles/*/configs/train*.json")}
    bases = {(bundle, name) for bundle, name in configs if '"bundle_root"' in _text(bundle, name)}
    run = {(training.bundle, training.configs.split()[0]) for training in TRAININGS.values()}
    assert bases == run, "enter it into TRAININGS of tests/helpers/tiny_trainings.py"


def _text(bundle: str, name: str) -> str:
    return (ROOT / "bundles" / bundle / "configs" / name).read_text(encoding="utf-8")
