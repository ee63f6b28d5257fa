"""ResNet and U-Net downstream of MaC-DM through the real commands: trainings, their three arms, and evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from monai.bundle import ConfigParser

from shared.runs.weights import sha256
from shared.simulation.phantom_tibia import write_dataset
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import assert_same_end, load, report_rows, scalars

EPOCHS, SAMPLES, BATCH = 2, 8, 4
TINY = {"size": 32, "max_epochs": EPOCHS, "samples_per_epoch": SAMPLES, "batch_size": BATCH}
TINY_UNET = {**TINY, "network_def#channels": [4, 4, 8, 8, 8]}
RESNET, UNET = "train_resnet34.json resnet18.json", "train_resnet34.json train_unet.json"
TRAININGS = {"resnet34": "train_resnet34.json", "resnet18": RESNET, "segmenter": UNET}
ARMS = ("reference", "reference_augmented", "reference_plus_generated")
FILES = ("image", "tibia_mask", "lesion_mask")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """Five radiographs of a reference to train on and four to validate, and two samples, one of which is faulty."""
    folder = tmp_path_factory.mktemp("radiographs")
    lists = {}
    for section, cases, seed in (("training", 5, 0), ("validation", 4, 100), ("generated", 2, 200)):
        path = write_dataset(folder / section, cases, (None, "corner"), size=32, seed=seed, section="training")
        listed = json.loads(path.read_text())["training"]
        lists[section] = [{**case, **{key: f"{section}/{case[key]}" for key in FILES}} for case in listed]
    samples = [{**case, "patient_id": lists["training"][0]["case_id"]} for case in lists.pop("generated")]
    samples[1]["class_label"] = 0  # and it has a lesion
    (folder / "list.json").write_text(json.dumps(lists))
    (folder / "generated.json").write_text(json.dumps({"training": samples}))
    return SimpleNamespace(reference=folder / "list.json", generated=folder / "generated.json")


def options(given: SimpleNamespace, out: Path, tiny: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**tiny, "datalist": given.reference, "ckpt_dir": out, "output_dir": out, **more}


@pytest.fixture(scope="module")
def resnet(macdm: Bundle, given, tmp_path_factory) -> Path:
    """A ResNet-18 trained on the reference alone."""
    out = tmp_path_factory.mktemp("resnet")
    done = macdm.run(f"{RESNET} reference.json", options(given, out, TINY))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def unet(macdm: Bundle, given, tmp_path_factory) -> Path:
    """A small U-Net trained with augmentation and generated samples, of which one has to be left out."""
    out = tmp_path_factory.mktemp("unet")
    arms = "reference_plus_generated.json reference_augmented.json"
    done = macdm.run(f"{UNET} {arms}", options(given, out, TINY_UNET, generated=given.generated))
    assert done.returncode == 2, done.stderr
    assert "6 of 7 cases done, left out" in done.stdout and "but the class_label is 0" in done.stdout
    return out


@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_updates_do_not_depend_on_the_cases_and_the_best_weights_stay(kind, request):
    out = request.getfixturevalue(kind)
    state, losses = load(out / "checkpoint.pt"), scalars(out, "val_loss")
    assert set(state) == {"network", "optimizer", "lr_scheduler", "best", "trainer"}
    assert state["trainer"]["iteration"] == EPOCHS * SAMPLES // BATCH
    assert len(losses) == EPOCHS and state["best"]["best"] == pytest.approx(min(losses), rel=1e-5)
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-9)
    assert load(out / "model.pt").keys() == state["network"].keys()


def test_resumed_training_ends_at_the_same_weights(macdm: Bundle, given, unet, tmp_path):
    configs = f"{UNET} reference_augmented.json reference_plus_generated.json"
    whole = options(given, tmp_path, TINY_UNET, generated=given.generated)
    for more in ({"train#trainer#max_epochs": 1}, {"resume": True}):
        done = macdm.run(configs, {**whole, **more})
        assert done.returncode == 2, done.stderr
    assert "resumed from" in done.stdout
    assert_same_end(unet, tmp_path)


def test_classifier_is_evaluated(macdm: Bundle, given, resnet, tmp_path):
    more = {"section": "validation", "weights": resnet / "model.pt", "ckpt_dir": tmp_path / "empty"}
    done = macdm.run(f"{RESNET} evaluate_resnet34.json", options(given, tmp_path, TINY, **more))
    assert done.returncode == 0, done.stderr
    rows, facts = report_rows(tmp_path), json.loads((tmp_path / "report.json").read_text())
    assert [row["class"] for row in rows.values()] == ["normal", "fracture"] * 2
    probabilities = [float(row["probability"]) for row in rows.values()]
    assert all(0 < p < 1 for p in probabilities) and len(set(probabilities)) == 4
    correct = [row["correct"] == "True" for row in rows.values()]
    assert facts["metrics"]["accuracy"][0] == sum(correct) / 4
    assert facts["run"]["weights_sha256"] == sha256(resnet / "model.pt")
    page = (tmp_path / "report.html").read_text()
    assert "resnet18: normal or fracture" in page and "ROC curve" in page


def test_segmenter_is_evaluated_and_a_bad_case_left_out(macdm: Bundle, given, unet, tmp_path):
    """On the samples: the good one is a normal."""
    more = {"datalist": given.generated, "section": "training", "ckpt_dir": unet}
    configs = f"{UNET} evaluate_resnet34.json evaluate_unet.json"
    done = macdm.run(configs, {**options(given, tmp_path, TINY_UNET), **more})
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


@pytest.mark.parametrize(("name", "training"), TRAININGS.items())
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
    network = parsed(TRAININGS[name]).get_parsed_content("network_def")
    assert sum(len(getattr(network, f"layer{n}")) for n in (1, 2, 3, 4)) == blocks
    assert network.conv1.in_channels == 1 and network.fc.out_features == 2


def test_segmenter_is_small(parsed):
    network = parsed(UNET).get_parsed_content("network_def")
    assert 1e6 < sum(parameter.numel() for parameter in network.parameters()) < 2e6
