"""A sampling run with a made-up inferer, end to end: what is written is what was drawn, and none of it is lost."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image
from scipy import ndimage

from shared.cases.radiograph_cases import gather_radiographs
from shared.methods.macdm.joint_state import JointState
from shared.methods.macdm.sample_requests import RequestPrepareBatch, sample_requests, source_requests
from shared.radiographs.door import RadiographDoor
from shared.radiographs.generated_masks import GeneratedMasksd
from shared.radiographs.reading import read_mask, read_radiograph
from shared.reports.sample_reports import COLUMNS, SampleReports
from shared.runs.case_evaluator import CaseEvaluator, CaseLoader
from shared.runs.case_records import CaseRecords
from shared.runs.errors import OutputError
from shared.runs.facts import with_facts
from shared.runs.remaining_cases import RemainingCases
from shared.runs.weights import sha256

SIZE = 48
SETTINGS = {"seed": 5, "w1": 1.0, "w2": 0.5, "w3": 0.25, "steps": 20, "sampler": "learned_variance"}
FAILURE = {"case_id": "bad", "file": "bad.png", "key": "image", "error": "is <empty>", "remedy": "Mend it"}
TIBIA, LESION = (np.zeros((SIZE, SIZE), bool) for _ in range(2))
TIBIA[:30, 10:34] = True
LESION[25:29, 11:16] = True


def drawn(number: int) -> np.ndarray:
    """The radiograph of a sample, another one for each number, no symmetry."""
    noise = np.random.default_rng(number).normal(0, 1, (SIZE, SIZE)).cumsum(0).cumsum(1)
    return (2 * (noise - noise.min()) / np.ptp(noise) - 1).astype(np.float32)


class FakeInferer:
    """Draws a lesion where a fracture is wanted; the classifier rejects the second normal."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at, self.inputs = fails_at, []

    def __call__(self, inputs: torch.Tensor, network: Any, class_label: torch.Tensor, keys: list[str]) -> torch.Tensor:
        if self.fails_at in keys:
            raise MemoryError("out of memory")
        self.inputs.append(inputs)
        facts, samples = [], []
        for label, key in zip(class_label.tolist(), keys):
            probability = 0.125 if key == "normal_0002" else 0.96875
            facts.append({"class_probability": probability, "guidance": 2.0, "level": 0.5, "extra": key})
            masks = [np.where(mask, 0.6, -0.6) for mask in (TIBIA, LESION & (label == 1))]
            samples.append(np.stack([drawn(sum(key.encode())), *masks]))
        return with_facts(torch.tensor(np.stack(samples), dtype=torch.float32), facts)


def run(folder: Path, requests: list[dict], inferer: FakeInferer | None = None, **more: Any) -> SampleReports:
    (folder.parent / "model.pt").write_bytes(b"weights")
    inferer = inferer or FakeInferer()
    weights = {"denoiser": str(folder.parent / "model.pt")}
    records, cases = CaseRecords(str(folder), requests, list(weights.values())), RemainingCases(requests)
    reports = SampleReports(str(folder), "A <title>", records, weights, SETTINGS, **{"cases": cases, **more})
    CaseEvaluator(
        cases=cases,
        device=torch.device("cpu"),
        val_data_loader=CaseLoader(Dataset(requests), batch_size=3),
        network=torch.nn.Identity(),
        prepare_batch=RequestPrepareBatch(JointState((1.0, 0.5, 0.25)), SIZE),
        inferer=inferer,
        postprocessing=GeneratedMasksd("pred"),
        val_handlers=[reports],
    ).run()
    return reports


def table_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "samples.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_datalist_passes_the_door_and_reads_back_exactly(tmp_path):
    run(tmp_path / "out", sample_requests(2))
    cases = gather_radiographs(str(tmp_path / "out" / "datalist.json"), "training")
    assert [case["case_id"] for case in cases] == ["normal_0001", "fracture_0001", "fracture_0002"]
    door = RadiographDoor(cases, ("tibia_mask", "lesion_mask", "class_label"), both_classes=True)
    door.require_some()
    assert not door.failures
    for case in door.cases:
        with Image.open(case["image"]) as picture:
            assert picture.mode.startswith("I;16")
        image, tibia = read_radiograph(case["image"], "image").data, read_mask(case["tibia_mask"], "tibia_mask").data
        expected = np.round((drawn(sum(case["case_id"].encode())).astype(np.float64) + 1) / 2 * 65535)
        assert np.abs(image - expected).max() <= 1 and image.min() == 0 and image.max() == 65535
        assert np.array_equal(tibia, TIBIA)
        lesion = read_mask(case["lesion_mask"], "lesion_mask").data
        assert np.array_equal(lesion, LESION * case["class_label"])
        assert np.asarray(Image.open(case["tibia_mask"])).max() == 255


def test_rejected_samples_lie_apart_and_leave_the_other_folder(tmp_path):
    out = tmp_path / "out"
    (out / "samples").mkdir(parents=True)
    for stale in ("normal_0002_image.png", "keep.txt"):
        (out / "samples" / stale).touch()
    run(out, sample_requests(2))
    assert sorted(path.name for path in (out / "rejected").iterdir()) == [
        f"normal_0002_{key}.png" for key in ("image", "lesion_mask", "tibia_mask")
    ]
    assert len(list((out / "samples").iterdir())) == 9 + 1
    assert sorted(path.name for path in out.iterdir()) == [
        ".finished", "datalist.json", "rejected", "report.html", "report.json", "samples", "samples.csv"
    ]  # fmt: skip


def test_the_table_says_what_each_sample_is(tmp_path):
    run(tmp_path / "out", sample_requests(2, seed=9))
    rows = table_of(tmp_path / "out")
    assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS and [row["extra"] for row in rows] == [
        row["case_id"] for row in rows
    ]
    third = rows[2]
    expected = {"case_id": "normal_0002", "class_label": "0", "class": "normal", "accepted": "False"}
    expected |= {key: str(value) for key, value in SETTINGS.items()} | {"guidance": "2.0", "level": "0.5"}
    expected |= {"class_probability": "0.125", "reason": "the classifier gives it 0.12 for normal", "source_id": ""}
    assert expected.items() <= third.items()
    assert [row["accepted"] for row in rows] == ["True", "True", "False", "True"] and rows[1]["class_label"] == "1"
    assert rows[0]["nearest_case"] == rows[0]["nearest_distance"] == rows[0]["reason"] == ""


def test_the_page_and_the_facts_of_the_run(tmp_path):
    door = SimpleNamespace(cases=[{}], failures=[FAILURE])
    run(tmp_path / "out", sample_requests(2), cases=door)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "4 samples: 3 accepted (1 normal, 2 fracture), 1 rejected" in page
    assert [part.split("</h2>")[0] for part in page.split("<h2>")[1:]] == [
        "Failed: these cases have no result", "Normal", "Fracture", "Rejected", "Samples", "This run"
    ]  # fmt: skip
    assert page.count("data:image/png;base64,") == 3 and "A &lt;title&gt;" in page and "is &lt;empty&gt;" in page
    assert page.index("fracture_0001, fracture_0002") < page.index(">Rejected<")
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["run"]["denoiser"]["sha256"] == sha256(tmp_path / "model.pt") and content["run"]["w3"] == 0.25
    assert len(content["cases"]) == 4 and content["failures"] == [FAILURE] and content["run"]["seconds"] > 0


def test_other_anatomy_has_other_names(tmp_path):
    names = ("lesion-free", "glioma")
    reports = run(tmp_path / "out", sample_requests(1, class_names=names), mask_names=("brain <", "tumour"))
    rows = table_of(tmp_path / "out")
    assert [(row["case_id"], row["class"], row["class_label"]) for row in rows] == [
        ("lesion-free_0001", "lesion-free", "0"), ("glioma_0001", "glioma", "1")
    ]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 accepted (1 lesion-free, 1 glioma)" in page and len(reports.shown["glioma"]) == 1
    assert page.index("<h2>Lesion-free</h2>") < page.index("<h2>Glioma</h2>")
    assert page.count("outlines of brain &lt; (blue) and tumour (red)") == 2
    assert not any(word in page for word in ("tibia (", "fracture"))


def sources() -> list[dict[str, Any]]:
    cases = [{"case_id": name, "image": "", "class_label": 0} for name in ("a", "b")]
    arrays = [{"radiograph": drawn(i), "tibia_mask": TIBIA, "lesion_mask": LESION & False} for i in range(2)]
    of = {case["case_id"]: {k: torch.tensor(v[None]).float() for k, v in a.items()} for case, a in zip(cases, arrays)}
    return [{**request, **of[request["source_id"]]} for request in source_requests(cases, 1)]


def test_samples_from_sources_name_them_and_cannot_leak(tmp_path):
    inferer = FakeInferer()
    reports = run(tmp_path / "out", sources(), inferer)
    assert torch.equal(inferer.inputs[0][:, 0], torch.tensor(np.stack([drawn(0), drawn(0), drawn(1)])))
    rows = table_of(tmp_path / "out")
    assert [(row["source_id"], row["source_class"]) for row in rows] == [("a", "0")] * 2 + [("b", "0")] * 2
    listed = json.loads((tmp_path / "out" / "datalist.json").read_text())["training"]
    assert [case["patient_id"] for case in listed] == ["a", "a", "b", "b"]
    tile = reports.shown["fracture"][0][1]
    assert tile.shape == (4 * SIZE, 16 * SIZE, 3), "source and sample, plain and outlined, four times enlarged"
    assert np.array_equal(tile[1::4, 1 : 4 * SIZE : 4, 0], np.round(255 * (drawn(0) + 1) / 2))
    assert np.array_equal(
        tile[1::4, 8 * SIZE + 1 : 12 * SIZE : 4, 0], np.round(255 * (drawn(sum(b"a_as_fracture_01")) + 1) / 2)
    )


def test_the_nearest_training_image_is_named(tmp_path):
    training = [{"case_id": f"t{n}", "radiograph": torch.tensor(drawn(n)[None])} for n in range(3)]
    copied = drawn(sum(b"fracture_0001")) + np.float32(0.01)
    training.append({"case_id": "copied", "radiograph": torch.tensor(copied[None])})
    run(tmp_path / "out", sample_requests(2), training=training)
    rows = {row["case_id"]: row for row in table_of(tmp_path / "out")}
    assert rows["fracture_0001"]["nearest_case"] == "copied"
    assert float(rows["fracture_0001"]["nearest_distance"]) == pytest.approx(0.01 * SIZE, rel=1e-3)
    blurred = [ndimage.gaussian_filter(drawn(n), 1) for n in (sum(b"normal_0001"), 0, 1, 2)]
    distances = [np.linalg.norm(blurred[0] - other) for other in blurred[1:]]
    distances.append(np.linalg.norm(blurred[0] - ndimage.gaussian_filter(copied, 1)))
    assert rows["normal_0001"]["nearest_case"] == ("t0", "t1", "t2", "copied")[int(np.argmin(distances))]
    assert float(rows["normal_0001"]["nearest_distance"]) == pytest.approx(min(distances), rel=1e-4)


def test_what_is_finished_is_kept_after_an_error(tmp_path):
    with pytest.raises(MemoryError, match="out of memory"):
        run(tmp_path / "out", sample_requests(2), FakeInferer(fails_at="fracture_0002"))
    assert len(table_of(tmp_path / "out")) == 3
    assert len(gather_radiographs(str(tmp_path / "out" / "datalist.json"), "training")) == 2
    assert "3 samples" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_sample_that_cannot_be_written_costs_the_others_nothing(tmp_path):
    (tmp_path / "out" / "samples" / "fracture_0001_image.png").mkdir(parents=True)
    reports = run(tmp_path / "out", sample_requests(2))
    assert [row["case_id"] for row in table_of(tmp_path / "out")] == ["normal_0001", "normal_0002", "fracture_0002"]
    (failure,) = reports.cases.failures
    assert failure["case_id"] == "fracture_0001" and failure["file"].endswith("samples/fracture_0001_image.png")
    assert failure["error"] == "cannot be read or written (Is a directory)"


def test_samples_of_an_earlier_run_do_not_pass_for_those_of_this_one(tmp_path):
    """Of a request that fails now they are moved, of others they are named."""
    out = tmp_path / "out"
    run(out, sample_requests(2))
    (out / "samples" / "fracture_0001_image.png").unlink()
    (out / "samples" / "fracture_0001_image.png").mkdir()
    reports = run(out, sample_requests(1))
    assert [row["case_id"] for row in table_of(out)] == ["normal_0001"]
    assert [file.name for file in out.glob("samples/fracture_0001*")] == ["fracture_0001_image.png"]
    moved = [f"set_aside/fracture_0001_{key}.png" for key in ("tibia_mask", "lesion_mask")]
    others = [*moved, "rejected/normal_0002_image.png", "samples/fracture_0002_image.png"]
    assert reports.run["earlier_results"] == others
    assert json.loads((out / "report.json").read_text())["run"]["earlier_results"] == others


def test_a_sample_that_cannot_be_recorded_leaves_nothing(tmp_path, monkeypatch):
    def fail(self: CaseRecords, row: dict[str, Any], *rest: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied", "record")

    monkeypatch.setattr(CaseRecords, "save", fail)
    run(tmp_path / "out", sample_requests(1))
    assert table_of(tmp_path / "out") == [] and not list(tmp_path.glob("out/*/*.png"))


def test_a_folder_in_the_place_of_the_table_is_named_before_anything_is_drawn(tmp_path):
    (tmp_path / "out" / "samples.csv").mkdir(parents=True)
    inferer = FakeInferer()
    with pytest.raises(OutputError, match="samples.csv: is a folder.*Rename or remove it"):
        run(tmp_path / "out", sample_requests(1), inferer)
    assert not inferer.inputs


def test_tables_are_renewed_after_each_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(SampleReports, "write", lambda self: None)  # as if the process were killed
    run(tmp_path / "out", sample_requests(2))
    assert len(table_of(tmp_path / "out")) == 4
    assert len(gather_radiographs(str(tmp_path / "out" / "datalist.json"), "training")) == 3


def test_without_a_good_source_the_failures_are_reported(tmp_path):
    records, door = CaseRecords(str(tmp_path), [], []), SimpleNamespace(cases=[], failures=[FAILURE])
    reports = SampleReports(str(tmp_path), "t", records, {}, SETTINGS, cases=door)
    reports.attach(SupervisedEvaluator(torch.device("cpu"), [], torch.nn.Identity()))
    assert "is &lt;empty&gt;" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "datalist.json").read_text()) == {"training": []}
