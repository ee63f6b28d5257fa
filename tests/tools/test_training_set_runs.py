"""Trainings and evaluations on four training sets, through the real commands."""

from __future__ import annotations

import json

import pytest

from shared.simulation.phantom_tibia import write_dataset
from tools.compare_training_sets import main


@pytest.mark.slow
def test_real_trainings(tmp_path, capsys):
    lists = {"reference": (8, 0, None), "held_out": (4, 900, "test"), "generated": (2, 700, "training")}
    arguments = ["--output_dir", str(tmp_path / "out"), "--seeds", "0"]
    for name, (cases, seed, section) in lists.items():
        path = write_dataset(tmp_path / name, cases, ("corner", None), 36, seed, section)
        arguments += [f"--{name}", str(path)]
    options = ["--max_epochs", "1", "--size", "32", "--samples_per_epoch", "8", "--batch_size", "4"]
    assert main([*arguments, "--", *options]) == 0, capsys.readouterr().err
    tables = json.loads((tmp_path / "out" / "comparison.json").read_text())["tasks"]
    assert [row["values"] for row in tables["resnet34"]] == 4 * [4] + 8 * [2] + 4 * [4]  # measure by measure
    dice = [row["estimate"] for row in tables["unet"] if row["measure"] == "tibia Dice"]
    assert all(0 <= value <= 1 for value in dice) and len(set(dice)) == 4
    assert (tmp_path / "out" / "comparison.png").is_file()
    assert main([*arguments, "--", *options]) == 0 and capsys.readouterr().out.count("finished before") == 8
