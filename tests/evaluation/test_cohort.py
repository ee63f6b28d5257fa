"""Cohort tables: balls whose overlap is known in closed form, and summaries worked out by hand."""

from __future__ import annotations

import csv
import logging
from math import isnan, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import Orientation
from scipy.stats import t

from shared.evaluation.cohort import CohortMetrics, case_metrics, summarise, summarise_heights
from shared.runs.tables import write_csv

SPACING = (1.0, 1.0, 2.0)
AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])
SHAPE = (64, 64, 32)  # 64 mm each way
BRAIN_MM, BALL_MM = 30.0, 12.0


def ball(radius: float, x: float = 0.0) -> np.ndarray:
    """``X Y Z`` bool, the centre ``x`` mm off the middle along X."""
    centre = (np.array(SHAPE) - 1)[:, None, None, None] / 2
    grid = (np.indices(SHAPE) - centre) * np.array(SPACING)[:, None, None, None]
    grid[0] -= x
    return (grid**2).sum(axis=0) < radius**2


class TestCaseMetrics:
    def test_shifted_ball(self):
        shift = 6.0
        mask, label = ball(BALL_MM), ball(BALL_MM, shift)
        metrics = case_metrics(mask, 2.0 * mask, label, ball(BRAIN_MM), AFFINE)
        overlap = 1 - 3 * shift / (4 * BALL_MM) + shift**3 / (16 * BALL_MM**3)  # of two equal balls, in closed form
        volume_ml = 4 / 3 * pi * BALL_MM**3 / 1000
        for name in ("dice", "precision", "recall", "best_dice"):
            assert metrics[name] == pytest.approx(overlap, abs=0.01), name
        for name in ("volume_ml", "label_ml"):
            assert metrics[name] == pytest.approx(volume_ml, rel=0.02), name
        assert metrics["false_positive_ml"] == pytest.approx((1 - overlap) * volume_ml, rel=0.03)
        assert metrics["score"] == pytest.approx((BALL_MM / BRAIN_MM) ** 3, rel=0.03)
        assert 1 < metrics["best_threshold"] < 2.001
        assert metrics["lesion_f1"] == 1
        assert metrics["hd95_mm"] <= shift

    def test_perfect_map(self):
        label = ball(BALL_MM)
        metrics = case_metrics(label, np.where(label, 1.5, 0.5), label, ball(BRAIN_MM), AFFINE)
        for name in ("dice", "best_dice", "auprc", "auroc", "lesion_recall"):
            assert metrics[name] == 1, name
        assert metrics["hd95_mm"] == metrics["assd_mm"] == metrics["false_positive_ml"] == 0

    def test_map_exactly_at_the_threshold_is_below_it(self):
        label = ball(BALL_MM)
        assert case_metrics(label, np.ones(SHAPE), label, ball(BRAIN_MM), AFFINE)["score"] == 0

    def test_map_outside_the_brain_does_not_count(self):
        label, brain = ball(BALL_MM), ball(BRAIN_MM)
        inside = np.where(label, 1.5, 0.5)
        noisy = np.where(brain, inside, 9.0)
        expected, got = (case_metrics(label, m, label, brain, AFFINE) for m in (inside, noisy))
        for name in ("score", "auprc", "best_dice"):
            assert got[name] == expected[name], name

    def test_healthy_case(self):
        nothing = np.zeros(SHAPE, bool)
        metrics = case_metrics(ball(5), 2.0 * ball(5), nothing, ball(BRAIN_MM), AFFINE)
        assert metrics["dice"] == 0 and metrics["label_ml"] == 0
        assert metrics["false_positive_ml"] == metrics["volume_ml"] > 0
        assert all(isnan(metrics[name]) for name in ("auprc", "auroc", "best_dice", "recall", "hd95_mm"))


def row(case_id: str, group: str, score: float, dice: float) -> dict[str, Any]:
    return {"case_id": case_id, "group": group, "dice": dice, "score": score}


def by_name(summary: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(entry["group"], entry["metric"]): entry for entry in summary}


class TestSummarise:
    def test_means_intervals_and_numbers(self):
        nan = float("nan")
        rows = [row("a", "tumour", 0.1, 0.2), row("b", "tumour", 0.3, nan), row("c", "tumour", 0.2, 0.6)]
        table = by_name(summarise(rows))
        assert set(table) == {("tumour", "dice"), ("tumour", "score")}, "no detection without healthy cases"
        dice, score = table["tumour", "dice"], table["tumour", "score"]
        assert dice["estimate"] == pytest.approx(0.4) and dice["cases"] == 2
        half = t.ppf(0.975, 1) * 0.2
        assert (dice["low"], dice["high"]) == pytest.approx((0.4 - half, 0.4 + half)), "0.2 and 0.6, NaN left out"
        assert dice["interval"] == "Student's t"
        assert score["estimate"] == pytest.approx(0.2) and score["cases"] == 3
        assert score["high"] - 0.2 == pytest.approx(0.2 - score["low"]) == pytest.approx(t.ppf(0.975, 2) * 0.1 / 3**0.5)

    def test_metric_without_any_value(self):
        entry = by_name(summarise([row("a", "all", 0.1, float("nan"))] * 2))["all", "dice"]
        assert entry["cases"] == 0 and isnan(entry["estimate"])

    def test_each_group_against_the_healthy(self):
        rows = [row(f"h{i}", "healthy", s, 0) for i, s in enumerate([0.1, 0.2, 0.3, 0.4])]
        rows += [row(f"t{i}", "tumour", s, 0.5) for i, s in enumerate([0.5, 0.6, 0.7])]  # above all healthy ones
        rows += [row(f"s{i}", "stroke", s, 0.5) for i, s in enumerate([0.25, 0.15])]
        table = by_name(summarise(rows))
        detection = {key for key in table if key[1].startswith("detection_")}
        names = ("auroc", "auprc", "fpr_at_tpr_80", "fpr_at_tpr_90")
        assert detection == {(group, f"detection_{name}") for group in ("tumour", "stroke") for name in names}
        perfect = table["tumour", "detection_auroc"]
        assert (perfect["estimate"], perfect["low"], perfect["high"], perfect["cases"]) == (1, 1, 1, 7)
        assert table["tumour", "detection_fpr_at_tpr_90"]["estimate"] == 0
        # Of the 2 x 4 pairs, 0.25 beats two healthy scores and 0.15 one.
        assert table["stroke", "detection_auroc"]["estimate"] == pytest.approx(3 / 8)
        assert table["stroke", "detection_fpr_at_tpr_80"]["estimate"] == pytest.approx(3 / 4)
        assert table["stroke", "detection_auroc"]["cases"] == 6 and perfect["interval"] == "bootstrap"


def meta(values: np.ndarray) -> MetaTensor:
    return MetaTensor(np.asarray(values, np.float32)[None], affine=AFFINE)


def batch_and_output(
    case_id: str, found: np.ndarray, label: np.ndarray | None, group: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    batch = {"case_id": case_id, "native_image": meta(ball(BRAIN_MM)), "native_brain_mask": meta(ball(BRAIN_MM))}
    batch |= {} if label is None else {"label": meta(label)}
    batch |= {} if group is None else {"group": group}
    return batch, {"pred": meta(found), "anomaly_map": meta(2.0 * found)}


def run(folder: Path, cases: list[tuple[dict[str, Any], dict[str, Any]]], **options: bool) -> CohortMetrics:
    """The handler on an engine that finishes these cases, one per batch."""
    outputs = {batch["case_id"]: output for batch, output in cases}
    engine = Engine(lambda _, batch: [outputs[batch[0]["case_id"]]])
    handler = CohortMetrics(str(folder), **options)
    handler.attach(engine)
    engine.run([[batch] for batch, _ in cases])
    return handler


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_cases_with_an_uncertainty_have_the_auroc_of_their_errors(tmp_path: Path):
    case = batch_and_output("a", ball(BALL_MM), ball(BALL_MM, 6.0), None)
    (without,) = run(tmp_path, [case]).rows
    assert not any("error_auroc" in name for name in without), "the method has none"
    case[1]["uncertainty"] = meta(ball(BALL_MM) != ball(BALL_MM, 6.0))
    run(tmp_path, [case])
    summary = by_name(read(tmp_path / "metrics_summary.csv"))
    for name in ("error_auroc_by_uncertainty", "error_auroc_by_uncertainty_nearby"):
        assert float(summary["all", name]["estimate"]) == 1


class TestSummariseHeights:
    def test_rates_are_pooled_and_cases_counted(self):
        counts = np.zeros((3, 2, 10), int)
        counts[0, :, 0], counts[1, :, 0] = (10, 100), (90, 900)  # 0.1 each: no spread
        counts[:, :, 1] = (0, 100), (30, 300), (100, 100)  # 130 of 500
        counts[2, :, 9] = 7, 70
        table = summarise_heights(counts)
        assert [r["tenth"] for r in table] == list(range(1, 11))
        assert [r["cases"] for r in table] == [2, 3, 0, 0, 0, 0, 0, 0, 0, 1]
        lowest, second, top = table[0], table[1], table[9]
        assert (lowest["estimate"], lowest["low"], lowest["high"]) == pytest.approx((0.1, 0.1, 0.1))
        assert second["estimate"] == pytest.approx(0.26), "not the mean of the rates, 0.37"
        parts = np.array([0 - 26, 30 - 78, 100 - 26]) / (500 / 3)  # of the ratio, per case
        half = t.ppf(0.975, 2) * parts.std(ddof=1) / 3**0.5
        assert (second["low"], second["high"]) == pytest.approx((0.26 - half, 0.26 + half))
        assert top["estimate"] == pytest.approx(0.1) and isnan(top["low"]) and isnan(top["high"])
        assert all(isnan(table[2][name]) for name in ("estimate", "low", "high"))

    def test_interval_agrees_with_normal_theory(self):
        generator = np.random.default_rng(0)
        counted = np.full(200, 1000)
        marked = generator.binomial(counted, generator.uniform(0.0, 0.2, 200))
        counts = np.zeros((200, 2, 10), int)
        counts[:, :, 4] = np.stack([marked, counted], axis=1)
        entry = summarise_heights(counts)[4]
        half_width = 1.96 * (marked / counted).std() / np.sqrt(200)  # equal sizes: the mean of the rates
        assert entry["estimate"] == pytest.approx((marked / counted).mean())
        assert entry["high"] - entry["estimate"] == pytest.approx(half_width, rel=0.1)
        assert entry["estimate"] - entry["low"] == pytest.approx(half_width, rel=0.1)


def turned(case: tuple[dict[str, Any], dict[str, Any]], axcodes: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same case with its voxel axes in another order and direction."""
    turn = Orientation(axcodes=axcodes, labels=None)
    return tuple({k: turn(v) if isinstance(v, MetaTensor) else v for k, v in part.items()} for part in case)


class TestBySlice:
    NAMES = ("dice_lesion_slices", "false_positive_rate_free_slices")

    def cases(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """One patient, found, with the lowest tenth of the brain marked too; one healthy scan with that tenth alone."""
        brain, lesion = ball(BRAIN_MM), ball(BALL_MM)
        low = brain.copy()
        low[:, :, np.flatnonzero(brain.any(axis=(0, 1)))[0] + 3 :] = False  # 3 of 30 slices of 2 mm
        return [
            batch_and_output("a", lesion | low, lesion, "tumour"),
            batch_and_output("b", low, None, "healthy"),
        ]

    @pytest.mark.parametrize("axcodes", ["LAS", "LPI", "SRA", "PIR"])
    def test_columns_and_heights_in_any_orientation(self, tmp_path: Path, axcodes: str):
        brain, lesion = ball(BRAIN_MM), ball(BALL_MM)
        assert brain.any(axis=(0, 1)).sum() == 30
        run(tmp_path, [turned(case, axcodes) for case in self.cases()], by_slice=True)
        patient, healthy = read(tmp_path / "metrics.csv")
        assert float(patient["dice_lesion_slices"]) == 1 and healthy["dice_lesion_slices"] == ""
        low = brain[:, :, :4].sum()
        free = brain[:, :, ~lesion.any(axis=(0, 1))].sum()
        assert float(patient["false_positive_rate_free_slices"]) == pytest.approx(low / free)
        assert float(healthy["false_positive_rate_free_slices"]) == pytest.approx(low / brain.sum())
        heights = read(tmp_path / "false_positives_by_height.csv")
        assert [float(r["estimate"]) for r in heights] == [1, *[0] * 9], "the lowest tenth, wherever it is stored"
        assert [int(r["cases"]) for r in heights] == [2, 2, 2, 1, 1, 1, 1, 2, 2, 2], "12 mm lie in 4 tenths"
        summary = by_name(read(tmp_path / "metrics_summary.csv"))
        assert set(self.NAMES) <= {metric for _, metric in summary}

    def test_only_where_it_is_asked_for(self, tmp_path: Path):
        run(tmp_path, self.cases())
        assert not set(self.NAMES) & set(read(tmp_path / "metrics.csv")[0])
        assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv", "metrics_summary.csv"}


class TestCohortMetrics:
    def test_both_tables(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        lesion, nothing = ball(BALL_MM), np.zeros(SHAPE, bool)
        cases = [
            batch_and_output("found", lesion, lesion, "tumour"),
            batch_and_output("missed", nothing, lesion, "tumour"),
            batch_and_output("clean", nothing, None, "healthy"),
        ]
        with caplog.at_level(logging.INFO):
            run(tmp_path / "out", cases)
        found, missed, clean = read(tmp_path / "out" / "metrics.csv")
        assert [r["case_id"] for r in (found, missed, clean)] == ["found", "missed", "clean"]
        assert float(found["dice"]) == 1 and float(missed["dice"]) == 0 and float(clean["dice"]) == 1
        assert float(clean["label_ml"]) == 0 and clean["auprc"] == ""
        assert float(found["volume_ml"]) == pytest.approx(4 / 3 * pi * BALL_MM**3 / 1000, rel=0.02)
        assert float(found["volume_ml"]) == pytest.approx(np.count_nonzero(lesion) * 2e-3), "voxels of 2 mm3"
        summary = by_name(read(tmp_path / "out" / "metrics_summary.csv"))
        assert float(summary["tumour", "dice"]["estimate"]) == 0.5
        assert summary["tumour", "hd95_mm"]["cases"] == "1", "the missed case has no distance"
        assert float(summary["tumour", "detection_auroc"]["estimate"]) == 0.75, "one pair won, one tied"
        assert "tumour: dice 0.500 (-5.853 to 6.853), of 2 cases" in caplog.text
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"metrics.csv", "metrics_summary.csv"}

    def test_case_without_label_is_skipped_with_a_warning(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        lesion = ball(BALL_MM)
        cases = [batch_and_output("with", lesion, lesion, None), batch_and_output("without", lesion, None, None)]
        handler = run(tmp_path, cases)
        assert [(r["case_id"], r["group"]) for r in handler.rows] == [("with", "all")]
        assert "case 'without' has no label" in caplog.text
        assert len(read(tmp_path / "metrics.csv")) == 1

    def test_label_of_a_healthy_case_is_used_where_there_is_one(self, tmp_path: Path):
        lesion = ball(BALL_MM)
        (only,) = run(tmp_path, [batch_and_output("h", lesion, lesion, "healthy")]).rows
        assert only["dice"] == 1 and only["false_positive_ml"] == 0

    def test_nothing_to_evaluate_is_an_error_in_the_log(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        run(tmp_path / "out", [batch_and_output("a", ball(BALL_MM), None, None)])
        assert "no case has a label" in caplog.text and not (tmp_path / "out").exists()


def test_write_table_replaces_and_leaves_nothing_behind(tmp_path: Path):
    write_csv(tmp_path / "t.csv", [{"a": 1}])
    write_csv(tmp_path / "t.csv", [{"a": 2, "b": "x, y"}])
    assert read(tmp_path / "t.csv") == [{"a": "2", "b": "x, y"}]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_dice_of_lesion_slices_is_pooled_over_slices_not_over_cases():
    rows = [
        {"case_id": "a", "group": "all", "score": 0.0, "lesion_slices": 9, "dice_lesion_slices": 0.8},
        {"case_id": "b", "group": "all", "score": 0.0, "lesion_slices": 1, "dice_lesion_slices": 0.2},
        {"case_id": "c", "group": "all", "score": 0.0, "lesion_slices": 0, "dice_lesion_slices": float("nan")},
    ]
    found = next(row for row in summarise(rows) if row["metric"] == "dice_lesion_slices")
    assert found["estimate"] == pytest.approx((9 * 0.8 + 0.2) / 10) and found["cases"] == 2
