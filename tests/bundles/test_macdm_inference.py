"""MaC-DM through the real command: samples of each class from noise, and from given radiographs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from shared.diffusion.noise_levels import linear_alphas_cumprod
from shared.diffusion.noisy_classifier import NoisyClassifier
from shared.diffusion.unet import DiffusionUNet, UNetShape
from shared.diffusion.velocity import VelocityNetwork
from shared.runs.weights import save_half, sha256
from shared.simulation.phantom_tibia import write_dataset
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import table

SIZE = 32
NET = {"width": 16, "multipliers": [1, 2], "attention_levels": [1]}
FILES = ("image", "tibia_mask", "lesion_mask")
BAD = {  # key, and the problem and the remedy
    "colour": ("image", "is a colour image.*one grey channel"),
    "constant": ("image", r"constant everywhere \(7\).*"),
    "zero_bytes": ("image", r"is empty.*again"),
    "text": ("image", "no PNG, DICOM or NIfTI.*losslessly"),
    "truncated": ("image", "is damaged.*again"),
    "missing": ("image", "file not found.*path"),
    "nan": ("image", r"has \d+ pixels that are NaN or infinite.*"),
    "other_size": ("tibia_mask", "has 48 rows of 40 pixels, but the image.*Draw it on this image"),
    "empty_mask": ("tibia_mask", "is empty.*Outline"),
    "no_class": ("class_label", r"has no class\. Say 0 \(normal\) or 1"),
    "no_lesion": ("lesion_mask", "is empty, but the class_label is 1.*Outline the lesion"),
}
COLUMNS = (
    "case_id class_label class seed w1 w2 w3 guidance level steps sampler source_id class_probability accepted reason "
    "nearest_case nearest_distance"
).split()


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Without the zeros that a new network ends with, so that its output depends on its input."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """Small networks of the architectures of inference.json, which have not learnt a thing, and six radiographs."""
    folder = tmp_path_factory.mktemp("given")
    torch.manual_seed(0)
    unet = randomised(DiffusionUNet(3, 6, UNetShape(**NET, blocks=1, dropout=0.0, patch=2)))
    save_half(VelocityNetwork(unet, linear_alphas_cumprod(), [1.0] * 3), folder / "denoiser.pt")
    classifier = NoisyClassifier(3, shape=UNetShape(**NET, blocks=1, dropout=0.0, patch=2, batch_norm=True))
    save_half(randomised(classifier), folder / "classifier.pt")
    write_dataset(folder / "radiographs", 6, (None, "corner"), size=48, seed=0, section="training")
    options = {
        "weights": folder / "denoiser.pt",
        "classifier_weights": folder / "classifier.pt",
        "size": SIZE,
        "steps": 3,
        "postprocessing#min_probability": 0,
        **{f"{net}#{key}": value for net in ("unet", "classifier_net") for key, value in NET.items()},
    }
    return SimpleNamespace(options=options, folder=folder, datalist=folder / "radiographs" / "datalist.json")


def samples_of(out: Path) -> dict[str, np.ndarray]:
    """Pixels of all samples by file name, accepted or not."""
    return {file.name: np.asarray(Image.open(file)) for file in sorted(out.glob("*/*.png"))}


def sample(macdm: Bundle, given: SimpleNamespace, out: Path, configs: str = "inference.json", **more: Any) -> Any:
    return macdm.run(configs, {**given.options, "output_dir": out, **more})


@pytest.fixture(scope="module")
def drawn(macdm, given, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("drawn")
    done = sample(macdm, given, out, samples=2, training_datalist=given.datalist)
    assert done.returncode == 0, done.stderr
    return out


def test_a_run_leaves_images_masks_a_table_a_datalist_and_a_page(drawn, given):
    rows = table(drawn / "samples.csv")
    assert [row["case_id"] for row in rows] == ["normal_0001", "fracture_0001", "normal_0002", "fracture_0002"]
    assert list(rows[0])[: len(COLUMNS)] == COLUMNS
    for row in rows:
        assert row["class"] == row["case_id"].split("_")[0] and (row["steps"], row["sampler"]) == ("3", "dpmpp_2m")
        assert (row["seed"], row["guidance"], row["level"], row["w2"]) == ("0", "4.0", "1.0", "0.5")
        assert 0 <= float(row["class_probability"]) <= 1 and row["nearest_case"].startswith("tibia0000")
        assert bool(row["reason"]) == (row["accepted"] == "False")
    pictures = samples_of(drawn)
    assert sorted(pictures) == sorted(f"{row['case_id']}_{key}.png" for row in rows for key in FILES)
    assert all(pixels.shape == (SIZE, SIZE) for pixels in pictures.values())
    listed = json.loads((drawn / "datalist.json").read_text())["training"]
    assert [case["case_id"] for case in listed] == [row["case_id"] for row in rows if row["accepted"] == "True"]
    facts = json.loads((drawn / "report.json").read_text())["run"]
    assert facts["denoiser"]["sha256"] == sha256(given.folder / "denoiser.pt")
    assert "of no patient" in (drawn / "report.html").read_text()


def test_samples_are_the_same_in_other_batches_and_differ_with_the_seed(macdm, given, drawn, tmp_path):
    done = sample(macdm, given, tmp_path / "one", samples=2, batch_size=3)
    assert done.returncode == 0, done.stderr
    again, first = samples_of(tmp_path / "one"), samples_of(drawn)
    assert again.keys() == first.keys()
    for name in first:
        if name.endswith("_image.png"):
            assert np.abs(again[name].astype(int) - first[name]).max() <= 0.01 * 65535, name
    done = sample(macdm, given, tmp_path / "other", samples=1, seed=1, classes=[1])
    assert done.returncode == 0, done.stderr
    other = samples_of(tmp_path / "other")["fracture_0001_image.png"]
    assert np.abs(other.astype(int) - first["fracture_0001_image.png"]).mean() > 0.05 * 65535


def test_the_sampler_of_the_paper_and_no_classifier(macdm, given, tmp_path):
    paper = {"sampler": "learned_variance", "guidance": 0, "classifier_weights": ""}
    done = sample(macdm, given, tmp_path, samples=1, **paper)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "samples.csv")
    assert {(row["sampler"], row["class_probability"]) for row in rows} == {("learned_variance", "")}
    assert "classifier" not in json.loads((tmp_path / "report.json").read_text())["run"]


def test_guidance_without_classifier_is_refused(macdm, given, tmp_path):
    done = sample(macdm, given, tmp_path, classifier_weights="")
    assert done.returncode == 1 and "there is no classifier" in done.stderr


@pytest.fixture(scope="module")
def varied(macdm, given, tmp_path_factory) -> Path:
    """A variation and a translation of each of four good radiographs, at a low level; others are faulty."""
    out = tmp_path_factory.mktemp("varied")
    good = json.loads(given.datalist.read_text())["training"]
    folder = given.datalist.parent
    pixels = np.asarray(Image.open(folder / good[0]["image"]))
    assert pixels.dtype == np.uint16, "good ones have 16 bits"
    colour = np.stack([pixels * share for share in (1.0, 0.5, 0.2)], -1)
    Image.fromarray((colour / colour.max() * 255).astype(np.uint8)).save(folder / "colour.png")
    Image.new("L", (40, 48)).save(folder / "small.png")
    Image.new("L", (48, 48)).save(folder / "empty.png")
    Image.new("L", (48, 48), 7).save(folder / "constant.png")
    (folder / "zero_bytes.png").touch()
    (folder / "text.png").write_text("no image")
    (folder / "truncated.png").write_bytes((folder / good[0]["image"]).read_bytes()[:500])
    nib.save(nib.Nifti1Image(np.where(pixels > 0, np.nan, 0).astype(np.float32), np.eye(4)), folder / "nan.nii.gz")
    fracture = good[1]
    changes = {
        **{name: {"image": f"{name}.png"} for name in ("colour", "constant", "zero_bytes", "text", "truncated")},
        "missing": {"image": "nowhere.png"},
        "nan": {"image": "nan.nii.gz"},
        "other_size": {"tibia_mask": "small.png"},
        "empty_mask": {"tibia_mask": "empty.png"},
        "no_class": {"class_label": None},
        "no_lesion": {"class_label": 1, "lesion_mask": "empty.png"},
    }
    bad = [{**fracture, "case_id": case_id, **change} for case_id, change in changes.items()]
    (folder / "faulty.json").write_text(json.dumps({"training": [bad[0], *good[2:4], *bad[1:], *good[4:]]}))
    options = {"datalist": folder / "faulty.json", "level": 0.01}
    done = sample(macdm, given, out, "inference.json inference_from_image.json", **options)
    assert done.returncode == 2, done.stderr
    assert f"4 of {4 + len(changes)} cases done, left out" in done.stdout
    assert set(changes) == set(BAD)
    return out


def test_from_images_each_source_gives_a_sample_of_each_class_that_resembles_it(varied, given):
    rows = table(varied / "samples.csv")
    sources = [f"tibia0000{n}_{name}" for n, name in enumerate(("normal", "corner") * 3)][2:]
    assert [row["source_id"] for row in rows] == [source for source in sources for _ in range(2)]
    assert {row["case_id"] for row in rows} == {f"{s}_as_{c}_01" for s in sources for c in ("normal", "fracture")}
    pictures = samples_of(varied)
    for row in rows:
        source = Image.open(given.datalist.parent / f"{row['source_id']}_image.png").resize((SIZE, SIZE), Image.BOX)
        pairs = np.asarray(source, dtype=float).ravel(), pictures[f"{row['case_id']}_image.png"].astype(float).ravel()
        assert np.corrcoef(*pairs)[0, 1] > 0.9, row["case_id"]
    listed = json.loads((varied / "datalist.json").read_text())["training"]
    assert all(case["patient_id"] == case["case_id"].split("_as_")[0] for case in listed)


@pytest.mark.parametrize("case_id", BAD)
def test_bad_source_is_listed_with_a_remedy(varied, case_id):
    failures = {f["case_id"]: f for f in json.loads((varied / "report.json").read_text())["failures"]}
    assert set(failures) == set(BAD)
    key, said = BAD[case_id]
    failure = failures[case_id]
    assert failure["key"] == key and re.search(said, f"{failure['error']}. {failure['remedy']}"), failure
    assert f"<td>{case_id}</td>" in (varied / "report.html").read_text()


def test_one_given_image_is_varied(macdm, given, tmp_path):
    folder = given.datalist.parent
    case = next(c for c in json.loads(given.datalist.read_text())["training"] if c["case_id"] == "tibia00003_corner")
    files = {key: folder / case[key] for key in FILES}
    options = {**files, "class_label": 1, "classes": [1], "samples": 2, "inversion": True}
    done = sample(macdm, given, tmp_path, "inference.json inference_from_image.json", **options)
    assert done.returncode == 0, done.stderr
    stem = Path(case["image"]).stem
    assert [row["case_id"] for row in table(tmp_path / "samples.csv")] == [f"{stem}_as_fracture_0{n}" for n in (1, 2)]


def test_neither_image_nor_list_is_told_what_to_pass(macdm, given, tmp_path):
    done = sample(macdm, given, tmp_path, "inference.json inference_from_image.json")
    assert done.returncode == 1 and "or --datalist LIST.json, or --image FILE" in done.stderr
