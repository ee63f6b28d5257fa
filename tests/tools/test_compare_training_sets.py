"""Comparison of training sets: which commands it runs, how it goes on, and what it writes of given reports."""

from __future__ import annotations

import ast
import csv
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tools import training_set_runs
from tools.compare_training_sets import main

SIZE = 40
CASES = {"a": 1, "b": 1, "c": 0, "d": 0}  # held out
ARMS = ["reference", "reference_augmented", "reference_plus_generated", "augmented_plus_generated"]
FINDS = dict(zip(ARMS, (0.4, 0.5, 0.6, 0.7)))  # lesion Dice, and probability of fracture a
OVERLAYS = [["reference"], ["reference_augmented"], ["reference_plus_generated"]]
OVERLAYS += [["reference_augmented", "reference_plus_generated"]]
LAST = Path("resnet34", "augmented_plus_generated", "seed0")


def listed(folder: Path, name: str, **sections: list[dict]) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(sections))
    return path


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Arguments of the command, without options; the held-out radiographs are there, the others only listed."""
    held_out = [{"case_id": name, "image": f"{name}.png", "class_label": label} for name, label in CASES.items()]
    for case in held_out:
        Image.fromarray(np.add.outer(np.arange(SIZE), np.arange(SIZE)).astype(np.uint8)).save(tmp_path / case["image"])
    others = {section: [{"case_id": section, "image": "x.png"}] for section in ("training", "validation")}
    sample = {"case_id": "sample", "patient_id": "training", "image": "x.png"}
    lists = {
        "reference": listed(tmp_path, "reference", **others),
        "held_out": listed(tmp_path, "held_out", test=held_out),
        "generated": listed(tmp_path, "generated", training=[sample]),
        "output_dir": tmp_path / "out",
    }
    return [word for key, value in lists.items() for word in (f"--{key}", str(value))]


def evaluated(folder: Path, task: str, value: float) -> None:
    """Write what an evaluation leaves: of the first fracture the value, the second is right and the normals too."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"case_id": name, "class": ("normal", "fracture")[label]} for name, label in CASES.items()]
    for row, number in zip(rows, (value, 1.0, 0.0, 0.45)):
        lesion = row["class"] == "fracture"
        if task == "resnet34":
            row |= {"probability": number, "correct": (number >= 0.5) == lesion}
        else:
            row |= {"lesion_dice": number if lesion else None, "lesion_hd95_pixels": 1.0 if number == 1 else None}
            row |= {"lesion_found": 1.0 if lesion else None, "tibia_dice": number}
            row["false_positive_pixels"] = None if lesion else 3.0
    if task == "unet":
        masks = np.zeros((4, 2, SIZE, SIZE), bool)
        masks[:, 0, 5:30, 5:20], masks[:2, 1, 8:12, 8:12] = True, True
        np.savez(folder / "masks.npz", case_id=list(CASES), predicted=masks, reference=masks)
    (folder / "report.json").write_text(json.dumps({"cases": rows, "failures": []}))


class Bundle:
    """In place of the bundle's command: writes its files and keeps the options of each call."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.codes: dict[int, int] = {}  # exit codes other than 0, by the number of the call
        self.leaves_files = True

    def __call__(self, command: list[str], cwd, stdout, stderr) -> SimpleNamespace:
        assert command[1:4] == ["-m", "monai.bundle", "run"]
        options = {key[2:]: value for key, value in zip(command[4::2], command[5::2], strict=True)}
        options["configs"] = [Path(file).stem for file in ast.literal_eval(options.pop("config_file"))]
        assert all((training_set_runs.BUNDLE / "configs" / f"{name}.json").is_file() for name in options["configs"])
        self.calls.append(options)
        folder = Path(options["output_dir"])
        if folder.name != "test":
            assert options["ckpt_dir"] == str(folder)
            (folder / "model.pt").touch()
            (folder / "checkpoint.pt").touch()
        elif self.leaves_files:
            evaluated(folder, folder.parts[-4], FINDS[folder.parts[-3]])
        return SimpleNamespace(returncode=self.codes.get(len(self.calls), 0))


@pytest.fixture
def bundle(monkeypatch) -> Bundle:
    bundle = Bundle()
    faked = SimpleNamespace(run=bundle, STDOUT=subprocess.STDOUT, list2cmdline=subprocess.list2cmdline)
    monkeypatch.setattr(training_set_runs, "subprocess", faked)
    return bundle


def test_each_task_seed_and_training_set_is_trained_and_evaluated(tmp_path, given, bundle, capsys):
    assert main([*given, "--seeds", "0,5", "--", "--size", "40"]) == 0
    assert len(bundle.calls) == 2 * 2 * 4 * 2
    for n, (train, evaluate) in enumerate(zip(bundle.calls[::2], bundle.calls[1::2])):
        task, arm, seed = ("resnet34", "unet")[n // 8], n % 4, (0, 5)[n // 4 % 2]
        folder = tmp_path / "out" / task / ARMS[arm] / f"seed{seed}"
        training = ["train_resnet34", *(["train_unet"] if task == "unet" else []), *OVERLAYS[arm]]
        assert train["configs"] == training
        evaluation = ["evaluate_resnet34", *(["evaluate_unet"] if task == "unet" else [])]
        assert evaluate["configs"] == training + evaluation
        assert (train["output_dir"], evaluate["output_dir"]) == (str(folder), str(folder / "test"))
        assert Path(train["datalist"]).stem == "reference" and Path(evaluate["datalist"]).stem == "held_out"
        for call in (train, evaluate):
            assert call["ckpt_dir"] == str(folder) and (call["seed"], call["size"]) == (str(seed), "40")
            assert ("generated" in call) == (arm > 1) and "resume" not in call
    assert "[16/16] unet, augmented_plus_generated, seed 5: train 0 s, evaluate 0 s\n" in capsys.readouterr().out


def test_finished_runs_are_only_compared(tmp_path, given, bundle, capsys):
    for task in ("resnet34", "unet"):
        for arm in ARMS:
            for seed in (0, 1):  # the seeds lie 0.08 beside the value
                evaluated(tmp_path / "out" / task / arm / f"seed{seed}" / "test", task, FINDS[arm] + 0.16 * seed - 0.08)
    assert main([*given, "--seeds", "0,1"]) == 0
    out = tmp_path / "out"
    said = capsys.readouterr().out
    assert not bundle.calls and said.count("finished before") == 16
    assert said.endswith(f"comparison: {out / 'comparison.html'}\n")
    tables = json.loads((out / "comparison.json").read_text())["tasks"]
    found = {(row["arm"], row["measure"]): row for rows in tables.values() for row in rows}
    assert len(found) == 4 * (4 + 5)
    for arm, value in FINDS.items():
        dice = found[arm, "lesion Dice"]
        assert dice["estimate"] == pytest.approx((value + 1) / 2)
        assert dice["highest_seed"] - dice["lowest_seed"] == pytest.approx(0.08)
        assert dice["difference"] == pytest.approx((value - 0.4) / 2)
    assert found["reference", "AUC"]["estimate"] == pytest.approx((3 / 4 + 1) / 2)
    assert found["augmented_plus_generated", "accuracy"]["difference"] == pytest.approx(2 / 8)
    with (out / "comparison.csv").open(newline="") as stream:
        assert sum(row["task"] == "unet" for row in csv.DictReader(stream)) == 4 * 5
    page = (out / "comparison.html").read_text()
    assert "unet on 4 held-out cases" in page and "+0.150 (" in page and "2 of 4 values" in page
    height, width = np.asarray(Image.open(out / "comparison.png")).shape[:2]
    assert width / height == pytest.approx(5 / 2, rel=0.05)  # reference and four training sets, two fractures


def test_a_failure_is_named_and_the_next_start_goes_on_there(tmp_path, given, bundle, capsys):
    only = [*given, "--tasks", "resnet34", "--seeds", "0"]
    bundle.codes = {7: 1}
    assert main(only) == 1
    folder, failed = tmp_path / "out" / LAST, capsys.readouterr().err
    assert (
        f"train failed with exit code 1. Its log: {folder / 'train.log'}" in failed and "-m monai.bundle run" in failed
    )
    assert len(bundle.calls) == 7 and not (tmp_path / "out" / "comparison.html").exists()
    assert main(only) == 0
    assert len(bundle.calls) == 9 and bundle.calls[7]["resume"] == "True" and "resume" not in bundle.calls[8]
    assert bundle.calls[7]["ckpt_dir"] == str(folder)
    assert not (tmp_path / "out" / "comparison.png").exists(), "no segmenter"


def test_an_evaluation_of_some_cases_is_no_finished_one(tmp_path, given, bundle, capsys):
    only = [*given, "--tasks", "resnet34", "--seeds", "0"]
    assert main(only) == 0
    file = tmp_path / "out" / LAST / "test" / "report.json"
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({**whole, "cases": whole["cases"][:3]}))
    bundle.leaves_files = False
    assert main(only) == 1 and len(bundle.calls) == 10
    assert "evaluate failed with exit code 0" in capsys.readouterr().err
    file.write_text(json.dumps({"cases": [], "failures": [{"case_id": name} for name in CASES]}))
    assert main(only) == 1 and len(bundle.calls) == 12


def test_bad_training_cases_left_out_are_no_failure(tmp_path, given, bundle, capsys):
    bundle.codes = {5: 2}
    assert main([*given, "--tasks", "resnet34", "--seeds", "0"]) == 0
    log = tmp_path / "out" / "resnet34" / "reference_plus_generated" / "seed0" / "train.log"
    said = capsys.readouterr().out
    assert said.count("left out") == 1 and f"train 0 s (bad cases left out, see {log}), evaluate 0 s" in said


def test_what_cannot_be_compared(tmp_path, given, bundle, capsys):
    only = [*given, "--tasks", "resnet34", "--seeds", "0"]
    assert main(only) == 0
    calls = len(bundle.calls)
    assert main([*only, "--", "--size", "64"]) == 1
    assert "holds runs of other options: choose another folder" in capsys.readouterr().err
    sample = {"case_id": "sample", "patient_id": "b", "image": "x.png"}
    listed(tmp_path, "generated", training=[sample])
    assert main(only) == 1
    assert "'b' is in 'generated' and 'held out'" in capsys.readouterr().err
    listed(tmp_path, "held_out", test=[])
    assert main(only) == 1 and "section 'test' is empty" in capsys.readouterr().err
    for wrong in (["--tasks", "resnet50"], ["--seeds", "0,x"]):
        with pytest.raises(SystemExit):
            main([*given, *wrong])
    assert len(bundle.calls) == calls
