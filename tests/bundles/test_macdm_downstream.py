"""ResNet and U-Net downstream of MaC-DM through the real commands: trainings, their three arms, and evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from shared.runs.weights import sha256
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import load, report_rows
from tests.helpers.tiny_trainings import EPOCHS, TRAININGS
from tests.helpers.whole_trainings import Whole

RESNET, UNET = "train_resnet34.json resnet18.json", "train_resnet34.json train_unet.json"
CONFIGS = {"resnet34": "train_resnet34.json", "resnet18": RESNET, "segmenter": UNET}
ARMS = ("reference", "reference_augmented", "reference_plus_generated")


@pytest.fixture(scope="module")
def resnet(whole) -> Whole:
    """A ResNet-18 trained on the reference alone."""
    return whole("macdm resnet18")


@pytest.fixture(scope="module")
def unet(whole) -> Whole:
    """A small U-Net trained with augmentation and generated samples, of which one has to be left out."""
    return whole("macdm unet")


def options(trained: Whole, out: Path, *dropped: str, **more: Any) -> dict[str, Any]:
    """Of an evaluation with the networks and cases of a training."""
    given = {key: value for key, value in trained.given.items() if key not in dropped}
    return {**given, "output_dir": out, **more}


def test_a_bad_sample_is_named_and_left_out(unet):
    assert "9 of 10 cases done, left out" in unet.log and "but the class_label is 0" in unet.log


@pytest.mark.parametrize("name", ["macdm resnet18", "macdm unet"])
def test_number_of_updates_does_not_depend_on_that_of_cases(whole, name):
    trained = whole(name)
    cases = len(json.loads((trained.data / "datalist.json").read_text())["training"]) + ("generated" in trained.given)
    samples = trained.given["samples_per_epoch"]
    assert cases != samples
    updates = load(trained.out / "checkpoint.pt")["trainer"]["iteration"]
    assert updates == EPOCHS * samples // trained.given["batch_size"] == EPOCHS * TRAININGS[name].steps


def test_classifier_is_evaluated(macdm: Bundle, resnet, tmp_path):
    more = {"section": "validation", "weights": resnet.out / "model.pt", "ckpt_dir": tmp_path / "empty"}
    done = macdm.run(f"{RESNET} evaluate_resnet34.json", options(resnet, tmp_path, **more))
    assert done.returncode == 0, done.stderr
    rows, facts = report_rows(tmp_path), json.loads((tmp_path / "report.json").read_text())
    assert [row["class"] for row in rows.values()] == ["normal", "fracture"] * 2
    probabilities = [float(row["probability"]) for row in rows.values()]
    assert all(0 < p < 1 for p in probabilities) and len(set(probabilities)) == 4
    correct = [row["correct"] == "True" for row in rows.values()]
    assert facts["metrics"]["accuracy"][0] == sum(correct) / 4
    assert facts["run"]["weights_sha256"] == sha256(resnet.out / "model.pt")
    page = (tmp_path / "report.html").read_text()
    assert "resnet18: normal or fracture" in page and "ROC curve" in page


def test_segmenter_is_evaluated_and_a_bad_case_left_out(macdm: Bundle, unet, tmp_path):
    """On the samples: the good one is a normal."""
    more = {"datalist": unet.data / "faulty_generated.json", "section": "training", "ckpt_dir": unet.out}
    configs = f"{UNET} evaluate_resnet34.json evaluate_unet.json"
    done = macdm.run(configs, options(unet, tmp_path, "generated", **more))
    assert done.returncode == 2, done.stderr
    good, bad = report_rows(tmp_path).values()
    assert (good["class"], good["status"], bad["status"]) == ("normal", "done", "failed")
    assert 0 <= float(good["tibia_dice"]) <= 1 and 0 <= float(good["false_positive_pixels"]) <= 32 * 32
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["metrics"]["lesion_recall"] == [None] * 3 and len(facts["failures"]) == 1
    page = (tmp_path / "report.html").read_text()
    assert "segmenter: tibia and lesion" in page and "normal cases" in page


@pytest.fixture
def parsed(macdm: Bundle):
    """A combination of configs as MONAI reads it."""

    def parse(configs: str, **more: Any) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config([str(macdm.folder / "configs" / name) for name in configs.split()])
        parser.update({"bundle_root": "root", **more})
        return parser

    return parse


@pytest.mark.parametrize("training", CONFIGS.values())
def test_the_order_of_the_arms_does_not_matter(parsed, training):
    one, other = "reference_augmented.json", "reference_plus_generated.json"
    both, swapped = (dict(parsed(f"{training} {arms}").get()) for arms in (f"{one} {other}", f"{other} {one}"))
    for config in (both, swapped):
        config.pop("_desc_", None)  # each says what it is
    assert both == swapped


@pytest.mark.parametrize(("name", "training"), CONFIGS.items())
def test_arms_fit_all_trainings_and_keep_apart(parsed, name, training):
    assert parsed(training).get_parsed_content("ckpt_dir") == f"root/models/{name}"
    folders = [parsed(f"{training} {arm}.json").get_parsed_content("ckpt_dir") for arm in ARMS]
    assert folders == [f"root/eval/{name}/{arm}" for arm in ARMS]
    both = parsed(f"{training} reference_plus_generated.json reference_augmented.json")
    assert both.get_parsed_content("ckpt_dir") == f"root/eval/{name}/reference_augmented_plus_generated"
    maps = set(both.get_parsed_content("maps"))
    for transform in both.get_parsed_content("augment"):
        assert set(transform.keys) in (maps, {"image"})
    evaluation = parsed(f"{training} reference_augmented.json evaluate_resnet34.json")
    assert evaluation.get_parsed_content("weights") == f"root/eval/{name}/reference_augmented/model.pt"
    assert evaluation.get_parsed_content("output_dir") == f"root/eval/{name}/reference_augmented/test"


@pytest.mark.parametrize(("name", "blocks"), [("resnet34", 16), ("resnet18", 8)])
def test_classifiers_are_what_they_are_called(parsed, name, blocks):
    network = parsed(CONFIGS[name]).get_parsed_content("network_def")
    assert sum(len(getattr(network, f"layer{n}")) for n in (1, 2, 3, 4)) == blocks
    assert network.conv1.in_channels == 1 and network.fc.out_features == 2


def test_segmenter_is_small(parsed):
    network = parsed(UNET).get_parsed_content("network_def")
    assert 1e6 < sum(parameter.numel() for parameter in network.parameters()) < 2e6
