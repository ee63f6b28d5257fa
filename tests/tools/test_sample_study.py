"""sample_study: every combination is drawn and measured once, and the table says what the reports say."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.paths import ROOT
from tools import sample_study
from tools.sample_study import given_options, name_of, settings_of, table_of


def test_settings_are_all_combinations_and_lists_may_be_values():
    assert settings_of(["steps=10,25", "guidance=0,1"]) == [
        {"steps": steps, "guidance": guidance} for steps in ("10", "25") for guidance in ("0", "1")
    ]
    assert settings_of(["weights=[1,0.5,0.5];[1,1,1]"]) == [{"weights": "[1,0.5,0.5]"}, {"weights": "[1,1,1]"}]
    assert settings_of([]) == [{}]
    for wrong in ("steps", "=1,2", "steps=1,,2"):
        with pytest.raises(ValueError, match="write key=value"):
            settings_of([wrong])


def test_options_are_pairs_and_what_is_none_is_refused():
    assert given_options(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    for wrong in ("a", "=1"):
        with pytest.raises(ValueError, match="write key=value"):
            given_options(["a=1", wrong])


def test_names_of_folders_hold_no_odd_characters_and_tell_settings_apart():
    assert name_of({"steps": "10", "guidance": "0.5"}) == "steps=10_guidance=0.5"
    assert name_of({"weights": "[1, 0.5]"}) != name_of({"weights": "[1, 0.6]"})
    assert "/" not in name_of({"weights": "a/b.pt"})


def test_an_interval_stands_behind_its_estimate():
    rows = [{"case_id": "a", "steps": "10", "x": 0.25, "x_low": 0.125, "x_high": 0.5}, {"case_id": "b", "steps": "25"}]
    headers, cells = table_of(rows, ["steps"])
    assert headers == ["steps", "x"] and cells == [["10", "0.25 (0.125 to 0.5)"], ["25", ""]]


CONFIGS = ROOT / "bundles" / "tibia_radiograph_synthesis_macdm" / "configs"


@pytest.fixture
def commands(monkeypatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What would be run; it leaves what a real run does: a sample of each class, of which 5 steps make but one good."""
    ran = []

    def run(configs, options, log: Path) -> None:
        ran.append((list(configs), dict(options)))
        known = {
            key for name in configs if (CONFIGS / name).is_file() for key in json.loads((CONFIGS / name).read_text())
        }
        assert set(options) <= known, "the configs have all options"
        out = Path(options["output_dir"])
        out.mkdir(parents=True)
        if configs == ["evaluate_samples.json"]:
            (out / "report.json").write_text(json.dumps({"metrics": {"agreement": [0.5, 0.4, 0.6]}}))
            return
        (out / "samples").mkdir()
        for name in ("normal_0001", "fracture_0001"):
            for part in ("image", "tibia_mask", "lesion_mask"):
                dtype = np.uint16 if part == "image" else np.uint8
                Image.fromarray(np.ones((8, 8), dtype)).save(out / "samples" / f"{name}_{part}.png")
        accepted = [label for label in (0, 1) if label == 0 or options["steps"] != "5"]
        case = {"network_evaluations": int(options["steps"]), "classifier_evaluations": 3}
        cases = [{**case, "accepted": label in accepted} for label in (0, 1)]
        (out / "report.json").write_text(json.dumps({"run": {"seconds": 4.0}, "cases": cases}))
        (out / "datalist.json").write_text(json.dumps({"training": [{"class_label": n} for n in accepted]}))

    monkeypatch.setattr(sample_study, "run_bundle", run)
    return ran


def test_each_setting_is_drawn_and_measured_once(commands, tmp_path):
    given = ["--vary", "steps=5,10", "--set", "samples=1", "--measure", "features_weights=f.pt", "--overlays", "x.json"]
    sample_study.main([str(tmp_path), *given])
    drawn = [(configs, options["steps"], options["samples"]) for configs, options in commands if "steps" in options]
    assert drawn == [(["inference.json", "x.json"], steps, "1") for steps in ("5", "10")]
    (measured,) = [options for configs, options in commands if configs == ["evaluate_samples.json"]]
    assert measured["features_weights"] == "f.pt" and measured["generated"] == tmp_path / "steps=10" / "datalist.json"

    with (tmp_path / "study.csv").open(newline="") as stream:
        few, more = csv.DictReader(stream)
    assert (few["network_evaluations"], few["seconds_per_sample"], few["accepted"]) == ("5", "2.0", "0.5")
    assert few["agreement"] == "" and (more["agreement"], more["agreement_high"]) == ("0.5", "0.6")
    assert "0.5 (0.4 to 0.6)" in (tmp_path / "study.md").read_text()
    assert "data:image/png" in (tmp_path / "study.html").read_text()

    commands.clear()
    sample_study.main([str(tmp_path), *given])
    assert commands == []


def test_a_failing_run_is_named_with_its_log(tmp_path):
    with pytest.raises(SystemExit, match="see .*log; the command was\n.*no_such.json"):
        sample_study.run_bundle(["no_such.json"], {}, tmp_path / "log")
