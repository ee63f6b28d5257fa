"""quickstart_steps: the steps of every demonstration are real commands with options that exist."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from shared.simulation.phantom_brain import main as phantom_brain
from shared.simulation.phantom_tibia import main as phantom_tibia
from tools import quickstart_steps
from tools.quickstart_steps import BRAIN_DEMOS, HEALTHY, SEED, Step


def options_of(step: Step) -> dict[str, str]:
    """Options of a bundle's command; its configs exist and know each of them."""
    start = step.command.index("run") + 1
    options = dict(zip(step.command[start::2], step.command[start + 1 :: 2]))
    files = options.pop("--config_file").replace("'", '"')
    config = ConfigParser.load_config_files(json.loads(files))
    assert Path(options.pop("--bundle_root"), "scripts", "__init__.py").is_file()
    assert Path(options.pop("--logging_file")).is_file()
    assert {name[2:] for name in options} <= config.keys()
    return options


@pytest.mark.parametrize("name", BRAIN_DEMOS)
def test_the_steps_are_commands_with_options_that_exist(tmp_path, monkeypatch, name):
    demo = BRAIN_DEMOS[name]
    make, healthy, calibrate, infer, compare = quickstart_steps.steps(
        Path(sys.executable), tmp_path / "out", name, subjects=2
    )
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("shared.simulation.phantom_brain.write_dataset", lambda *arguments: given.append(arguments))
    phantom_brain(make.command[3:])
    made, healthy_scans = tmp_path / "out" / "input", tmp_path / "out" / "healthy"
    phantom_brain(healthy.command[3:])
    assert given == [
        (made, 6, [None, *demo.lesions], list(demo.sequences), 2.0, SEED, "test"),
        (healthy_scans, HEALTHY, [None], list(demo.sequences), 2.0, SEED + 100, "validation"),
    ]
    assert "calibrate.json" in calibrate.command[calibrate.command.index("--config_file") + 1]

    options = options_of(infer)
    calibration = options.pop("--calibration_file")
    assert calibration in calibrate.command
    assert {"--datalist": str(made / "datalist.json"), "--output_dir": str(tmp_path / "out")}.items() <= options.items()
    assert compare.command[-1] == str(tmp_path / "out")


def test_the_steps_of_the_radiographs_are_commands_with_options_that_exist(tmp_path, monkeypatch):
    out = tmp_path / "out"
    make, draw, change, segment, segment_generated, tell = quickstart_steps.steps(Path(sys.executable), out, "macdm")
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("shared.simulation.phantom_tibia.write_dataset", lambda *arguments: given.append(arguments))
    phantom_tibia(make.command[3:])
    assert given == [(out / "input", 8, [None, "corner", None, "bucket_handle"], 96, SEED, "test")]
    made = {"--datalist": str(out / "input" / "datalist.json"), "--section": "test"}
    assert options_of(draw) == {"--samples": "12", "--output_dir": str(out)}
    assert options_of(change) == {**made, "--output_dir": str(out / "from_images")}
    assert options_of(segment) == {**made, "--output_dir": str(out / "segmenter_simulated")}
    generated = {"--datalist": str(out / "datalist.json"), "--section": "training"}
    assert options_of(segment_generated) == {**generated, "--output_dir": str(out / "segmenter_generated")}
    assert tell.command[-1] == str(out)
