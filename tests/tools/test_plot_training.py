"""plot_training: the scalars of all event files of a folder, those of a resumed run last, and their curves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from tools.plot_training import main, read_scalars


def write_events(folder: Path, tag: str, values: dict[int, float], age_s: float) -> None:
    """An event file, as old as said."""
    before = set(folder.glob("events.out.tfevents.*"))
    with SummaryWriter(str(folder), filename_suffix=f".{len(before)}") as writer:
        for step, value in values.items():
            writer.add_scalar(tag, value, step)
    (file,) = set(folder.glob("events.out.tfevents.*")) - before
    os.utime(file, (file.stat().st_mtime - age_s,) * 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of four steps that was resumed after the second, and one validation."""
    write_events(tmp_path, "train_loss", {1: 8.0, 2: 4.0, 3: 99.0, 4: 99.0}, age_s=60)
    write_events(tmp_path, "train_loss", {3: 2.0, 4: 1.0}, age_s=30)
    write_events(tmp_path, "val_loss", {1: 0.5}, age_s=0)
    return tmp_path


def test_what_a_resumed_run_did_again_takes_the_place_of_what_was_there(folder):
    found = read_scalars(folder)
    assert set(found) == {"train_loss", "val_loss"}
    steps, values = found["train_loss"]
    assert steps.tolist() == [1, 2, 3, 4] and values.tolist() == [8, 4, 2, 1]


def test_no_value_of_a_long_run_is_left_out(tmp_path):
    """TensorBoard samples 1000 by default."""
    write_events(tmp_path, "train_loss", {step: float(step) for step in range(1, 2502)}, age_s=0)
    steps, values = read_scalars(tmp_path)["train_loss"]
    assert np.array_equal(steps, np.arange(1, 2502)) and np.array_equal(values, steps)


def test_the_command_draws_a_panel_for_each_scalar(folder, monkeypatch, capsys):
    picture = folder / "curves.png"
    monkeypatch.setattr(sys, "argv", ["plot_training", str(folder), str(picture)])
    main()
    assert capsys.readouterr().out.strip() == str(picture)
    shown = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert shown.shape == (352, 880, 3)
    blue = (np.abs(shown - (31, 119, 180)).max(-1) < 40).any(axis=0)
    assert blue[:440].any(), "the line of the first panel"
