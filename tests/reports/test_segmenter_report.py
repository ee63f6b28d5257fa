"""The report on a segmentation: rectangles whose overlap, distance and coverage are known."""

from __future__ import annotations

from math import isnan, sqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Lambdad

from shared.evaluation.statistics import mean_interval, share
from shared.reports import segmenter_report
from shared.reports.segmenter_report import SegmenterReport, overlap_metrics
from tests.helpers.evaluations import FAILURE, evaluate

SIZE = 32


def box(rows: tuple[int, int] = (0, 0), columns: tuple[int, int] = (0, 0)) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[slice(*rows), slice(*columns)] = 1
    return mask


TIBIA, SHIFTED = box((2, 12), (4, 14)), box((2, 12), (7, 17))  # 70 of 100 pixels in common, 3 apart
LESION = box((20, 22), (5, 15))  # 20 pixels


def case(case_id: str, label: int, pred_lesion: np.ndarray, tibia: np.ndarray = TIBIA) -> dict[str, Any]:
    truth, pred = np.stack([TIBIA, LESION * label]), np.stack([tibia, pred_lesion])
    image = torch.linspace(-1, 1, SIZE * SIZE).view(1, SIZE, SIZE)
    known = {"case_id": case_id, "class_label": label, "label": torch.tensor(truth)}
    return {**known, "image": torch.cat([image, torch.tensor(pred)])}


CASES = [
    case("exact", 1, LESION, SHIFTED),
    case("tenth", 1, box((20, 22), (5, 6))),  # 2 of 20 pixels: just found
    case("too_little", 1, box((20, 21), (5, 6))),
    case("missed", 1, box()),
    case("clean", 0, box()),
    case("false", 0, box((25, 26), (3, 10))),
]


def run(folder: Path, cases: list[dict], **more) -> SimpleNamespace:
    """The made-up network finds its answer behind the radiograph."""
    keep_radiograph = Lambdad("image", lambda image: image[:1])
    return evaluate(SegmenterReport, folder, cases, lambda image: image[:, 1:], keep_radiograph, **more)


class TestOverlap:
    def test_shifted_square(self):
        assert overlap_metrics(SHIFTED, TIBIA) == {"dice": pytest.approx(0.7), "hd95_pixels": pytest.approx(3)}

    def test_hd95_looks_both_ways(self):
        small, large = box((10, 11), (10, 11)), box((10, 15), (10, 15))
        for mask, label in ((small, large), (large, small)):
            assert overlap_metrics(mask, label)["hd95_pixels"] == pytest.approx(5, abs=0.3)
        assert overlap_metrics(small, large)["dice"] == pytest.approx(2 / 26)
        assert overlap_metrics(box((0, 1), (0, 1)), box((4, 5), (4, 5)))["hd95_pixels"] == pytest.approx(4 * sqrt(2))

    def test_empty_masks(self):
        missed, invented = overlap_metrics(box(), TIBIA), overlap_metrics(TIBIA, box())
        assert missed["dice"] == 0 and isnan(missed["hd95_pixels"])
        assert isnan(invented["dice"]) and isnan(invented["hd95_pixels"])


class TestReport:
    def test_rows(self, tmp_path):
        rows = run(tmp_path, CASES).csv
        measured = [column for column in rows["exact"] if column.startswith(("tibia", "lesion", "false"))]
        number = {name: {c: float(row[c]) if row[c] else None for c in measured} for name, row in rows.items()}
        assert number["exact"]["tibia_dice"] == pytest.approx(0.7)
        assert number["exact"]["tibia_hd95_pixels"] == pytest.approx(3)
        assert number["exact"]["lesion_dice"] == 1 and number["exact"]["lesion_hd95_pixels"] == 0
        assert number["tenth"]["lesion_dice"] == pytest.approx(4 / 22) and number["tenth"]["tibia_dice"] == 1
        assert {name: row["lesion_found"] for name, row in number.items()} == {
            "exact": 1, "tenth": 1, "too_little": 0, "missed": 0, "clean": None, "false": None,
        }  # fmt: skip
        assert number["missed"]["lesion_dice"] == 0 and number["missed"]["lesion_hd95_pixels"] is None
        assert [row["false_positive_pixels"] for row in number.values()] == [None] * 4 + [0, 7]
        assert number["clean"]["lesion_dice"] is None
        assert [row["class"] for row in rows.values()] == ["fracture"] * 4 + ["normal"] * 2

    def test_metrics(self, tmp_path):
        found = run(tmp_path, CASES).json
        estimates = {name: value[0] for name, value in found["metrics"].items()}
        hd95 = [0, overlap_metrics(box((20, 22), (5, 6)), LESION)["hd95_pixels"]]
        hd95.append(overlap_metrics(box((20, 21), (5, 6)), LESION)["hd95_pixels"])
        assert estimates == pytest.approx(
            {
                "tibia_dice": (0.7 + 5) / 6,
                "tibia_hd95_pixels": 3 / 6,
                "lesion_dice": (1 + 4 / 22 + 2 / 21) / 4,
                "lesion_hd95_pixels": sum(hd95) / 3,
                "lesion_recall": 2 / 4,
                "false_positive_pixels_per_normal": 3.5,
                "normals_with_false_positives": 0.5,
            }
        )
        assert list(found["counts"].values()) == [6, 6, 4, 3, 4, 2, 2]
        value, low, high = found["metrics"]["lesion_recall"]
        assert [value, low, high] == pytest.approx(share(np.array([0, 0, 1, 1])))
        assert found["metrics"]["tibia_dice"] == pytest.approx(mean_interval(np.array([0.7, 1, 1, 1, 1, 1])))

    def test_masks_stay(self, tmp_path):
        run(tmp_path, CASES)
        masks = np.load(tmp_path / "out" / "masks.npz")
        assert masks["case_id"].tolist() == [known["case_id"] for known in CASES]
        assert masks["predicted"].dtype == masks["reference"].dtype == bool
        for known, predicted, reference in zip(CASES, masks["predicted"], masks["reference"]):
            assert np.array_equal(predicted, known["image"][1:]) and np.array_equal(reference, known["label"])

    def test_normals_alone_leave_the_lesion_metrics_empty(self, tmp_path):
        found = run(tmp_path, CASES[4:])
        for name in ("lesion_dice", "lesion_hd95_pixels", "lesion_recall"):
            assert found.json["metrics"][name] == [None] * 3 and found.json["counts"][name] == 0
        assert found.json["metrics"]["tibia_dice"][0] == 1 and "An empty value is undefined" in found.html
        assert "Normal</h2>" in found.html and "Fracture</h2>" not in found.html

    def test_page_shows_each_class_from_the_worst_to_the_best(self, tmp_path):
        found = run(tmp_path, CASES, failures=[FAILURE])
        assert "to the best: missed, too_little, tenth, exact." in found.html
        assert "to the best: false, clean." in found.html
        assert found.html.count("data:image/png;base64,") == 2 and "is &lt;empty&gt;" in found.html
        assert "in pixels of the network's grid" in found.html and "at least 10 % of it" in found.html

    def test_few_of_many_cases_are_shown_the_worst_and_the_best_among_them(self, tmp_path, monkeypatch):
        monkeypatch.setattr(segmenter_report, "SHOWN", 2)
        assert "to the best: missed, exact." in run(tmp_path, CASES).html

    def test_radiograph_then_reference_then_prediction(self):
        image, nothing = np.zeros((1, SIZE, SIZE), np.float32), np.zeros((2, SIZE, SIZE))
        drawn = np.stack([TIBIA, LESION])
        for pred, label, marked in ((nothing, drawn, [False, True, False]), (drawn, nothing, [False, False, True])):
            thirds = np.split(segmenter_report._tile(image, pred, label), 3, axis=1)
            assert [bool(np.ptp(third)) for third in thirds] == marked
