"""The quality of generated radiographs through the real command, with real networks that were not trained."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from shared.simulation.phantom_tibia import write_dataset
from tests.helpers.run_outputs import halved, table

SIZE = 32
CONFIG = "evaluate_samples.json"


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> SimpleNamespace:
    """Simulated radiographs as training images, as held-out ones and as samples, of which one is a mirrored copy."""
    folder = tmp_path_factory.mktemp("sets")
    reference = write_dataset(folder / "reference", 6, [None, None, "corner"], SIZE, 0, "training")
    held_out = write_dataset(folder / "held_out", 6, [None, None, "corner"], SIZE, 100, "test")
    samples = write_dataset(folder / "samples", 8, [None, "corner"], SIZE, 200, "training")
    training, (copy, *_) = (json.loads(path.read_text())["training"] for path in (reference, samples))
    for key in ("image", "tibia_mask"):
        Image.fromarray(np.asarray(Image.open(folder / "reference" / training[4][key]))[:, ::-1]).save(
            folder / "samples" / copy[key]
        )
    data = {"generated": samples, "reference": reference, "held_out": held_out, "size": SIZE}
    return SimpleNamespace(folder=folder, data=data, copy=copy["case_id"], of=training[4]["case_id"])


def weights(folder: Path, macdm) -> dict[str, Path]:
    """Files of weights of the networks that the config defines."""
    config, files = macdm.config(CONFIG), {}
    for seed, name in enumerate(("judge", "features", "segmenter")):
        torch.manual_seed(seed)
        definition = config["judge_def" if name == "features" else f"{name}_def"]
        parser = ConfigParser({"network": definition})
        file = files[f"{name}_weights"] = folder / f"{name}.pt"
        torch.save(halved(parser.get_parsed_content("network").state_dict()), file)
    return files


def test_all_measures_are_reported_and_a_copy_is_found(macdm, sets, tmp_path):
    options = {**sets.data, **weights(sets.folder, macdm), "permutations": 2, "output_dir": tmp_path}
    done = macdm.run(CONFIG, options)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.html", "report.json"]
    assert f"report: {tmp_path / 'report.html'}" in done.stdout
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["left_out"] == {} and written["failures"] == [] and len(written["metrics"]) == 21
    assert [written["run"][key] for key in ("samples", "compared", "held_out", "reference")] == [8, 6, 6, 6]
    assert len({written["run"][name]["sha256"] for name in ("classifier", "features", "segmenter")}) == 3
    rows = {row["case_id"]: row for row in table(tmp_path / "report.csv")}
    assert len(rows) == 8 and sum(row["compared"] == "True" for row in rows.values()) == 6
    copy = rows.pop(sets.copy)
    assert (copy["nearest_case"], copy["nearest_mirrored"]) == (sets.of, "True")
    assert float(copy["nearest_distance"]) < 0.01 < 1 < min(float(row["nearest_distance"]) for row in rows.values())
    assert all((row["dice_lesion"] != "") == (row["class"] == "fracture") for row in rows.values())
    assert all(0 < float(row["probability"]) < 1 for row in rows.values())


def test_without_networks_and_classes_the_distances_remain_and_a_bad_sample_is_named(macdm, sets, tmp_path):
    listed = json.loads(sets.data["generated"].read_text())["training"]
    for case in listed:
        case |= {key: str(sets.folder / "samples" / case[key]) for key in ("image", "tibia_mask", "lesion_mask")}
    listed[2]["image"] = "absent.png"
    (tmp_path / "datalist.json").write_text(json.dumps({"training": listed}))
    options = {"generated": tmp_path / "datalist.json", "match_classes": False, "output_dir": tmp_path / "out"}
    done = macdm.run(CONFIG, {**sets.data, **options})
    assert done.returncode == 2, done.stderr
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [failure["case_id"] for failure in written["failures"]] == [listed[2]["case_id"]]
    assert written["run"]["samples"] == written["run"]["compared"] == 7 and len(written["left_out"]) == 3
    assert written["metrics"].keys() == {
        "nearest_distance",
        "held_out_nearest_distance",
        "nearest_distance_ratio",
        "near_share",
        "pixel_grid_auc",
    }


def test_networks_are_those_that_are_trained(macdm):
    config = macdm.config(CONFIG)
    resnet = macdm.config("train_resnet34.json")["network_def"]
    resnet["_target_"] = macdm.config("resnet18.json")["network_def#_target_"]
    assert config["judge_def"] == resnet
    assert config["segmenter_def"] == macdm.config("train_unet.json")["network_def"]
