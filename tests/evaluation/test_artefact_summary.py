"""Areas under the curve of artefacts, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from shared.evaluation.artefact_summary import SCORES, summarise_artefacts


def volume(subject: str, artefact: str, severity: int, values: tuple[float, ...]) -> dict[str, Any]:
    about = {"healthy_id": subject, "artefact": artefact, "severity": severity}
    return {**about, **dict(zip(SCORES, values, strict=True))}


def volumes() -> list[dict[str, Any]]:
    """Two subjects: the final mask says nothing, the mean error all, the histogram orders three of four pairs."""
    rows = []
    for subject, offset in (("a", 0.0), ("b", 1.0)):
        rows.append(volume(subject, "clean", 0, (offset, offset, offset, offset)))
        rows.append(volume(subject, "spike", 1, (offset, 5.0, offset - 9, offset + 0.5)))
        rows.append(volume(subject, "spike", 5, (offset, 5.0, offset - 9, offset + 3)))
    return rows


@pytest.fixture(scope="module")
def summary() -> list[dict[str, Any]]:
    return summarise_artefacts(volumes(), resamples=200)


def of(summary: list[dict[str, Any]], artefact: str, severity: int | str, score: str) -> dict[str, Any]:
    (row,) = [r for r in summary if (r["artefact"], r["severity"], r["score"]) == (artefact, severity, score)]
    return row


def test_areas_of_each_score(summary):
    expected = {"hidden_share": (0.5, 0), "mean_error": (1, 1), "score": (0, 0), "histogram_distance": (0.75, 1)}
    for score, (auroc, raised) in expected.items():
        row = of(summary, "spike", 1, score)
        assert (row["auroc"], row["raised"], row["subjects"]) == (auroc, raised, 2)
        assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
    assert of(summary, "spike", 1, "hidden_share")["auprc"] == 0.5  # the prevalence
    assert of(summary, "spike", 5, "histogram_distance")["auroc"] == 1


def test_gain_is_over_the_intensity_histogram_of_the_same_subjects(summary):
    """Of one subject twice the histogram's AUROC is 1: the gain of a perfect score is 0 then, else a quarter."""
    row = of(summary, "spike", 1, "mean_error")
    assert (row["gain"], row["gain_low"], row["gain_high"]) == (0.25, 0, 0.25)
    assert not any(of(summary, "spike", 1, "histogram_distance")[f"gain{end}"] for end in ("", "_low", "_high"))


def test_means_over_artefacts_and_severities_come_last(summary):
    assert [(row["artefact"], row["severity"]) for row in summary[-4:]] == [("all", "all")] * 4
    assert of(summary, "all", "all", "histogram_distance")["auroc"] == (0.75 + 1) / 2
    assert of(summary, "all", "all", "mean_error")["gain"] == 0.125


def test_a_score_that_is_the_same_everywhere_is_left_out():
    single_pass = [{**row, "hidden_share": 1.0} for row in volumes()]
    assert {row["score"] for row in summarise_artefacts(single_pass, resamples=10)} == {*SCORES} - {"hidden_share"}


def test_order_of_the_volumes_does_not_matter(summary):
    key = lambda row: str((row["artefact"], row["severity"], row["score"]))  # noqa: E731
    turned = summarise_artefacts(volumes()[::-1], resamples=200)
    for one, other in zip(sorted(summary, key=key), sorted(turned, key=key), strict=True):
        assert one["auroc"] == other["auroc"] and one["gain"] == other["gain"]
