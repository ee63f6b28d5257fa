"""The parts of the page on generated radiographs: measures, distances, pairs and disagreements that are known."""

from __future__ import annotations

import re

import numpy as np

from shared.evaluation.statistics import Interval
from shared.reports.radiograph_grid import outlined
from shared.reports.sample_quality_page import closest_pairs, disagreements, distance_histogram, measures_table
from tests.helpers.described_sets import described
from tests.helpers.pages import pictures

NAMES = ("healthy", "broken")


def test_table_shows_what_there_is_beside_its_reference():
    metrics = {
        "agreement": Interval(0.91234, 0.85, 0.95),
        "held_out_agreement": Interval(0.95, 0.9, 0.99),
        "near_share": Interval(0.5, 0.25, 0.75),
        "agreement_broken": Interval(np.nan, np.nan, np.nan),
        "held_out_agreement_broken": Interval(1.0, 0.5, 1.0),
        "pixel_grid_auc": Interval(1.0, 0.875, 1.0),
        "real_or_generated_auc": Interval(0.75, np.nan, np.nan),
        "real_or_generated_auc_by_chance": Interval(0.5, 0.375, 0.625),
    }
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", measures_table(metrics, NAMES))
    assert [row.split("</td><td>")[1:3] for row in rows] == [
        ["0.912 (0.85 to 0.95)", "0.95 (0.9 to 0.99)"],
        ["no case", "1 (0.5 to 1)"],
        ["0.5 (0.25 to 0.75)", "0.05"],
        ["1 (0.875 to 1)", "0.5"],
        ["0.75", "0.5 (0.375 to 0.625)"],
    ]


def test_pairs_show_each_sample_beside_its_neighbour_as_it_is_nearest():
    samples, reference = described(0, [0, 1, 1]), described(1, [1, 0])
    page = closest_pairs(samples, reference, np.array([3.0, 1.0, 2.0]), np.array([0, 1, 0]), np.array([0, 0, 1], bool))
    names = re.findall(r"(case\d_\d) and (case\d_\d)( mirrored)? \((\d)\)", page)
    assert names == [
        ("case0_1", "case1_1", "", "1"), ("case0_2", "case1_0", " mirrored", "2"), ("case0_0", "case1_0", "", "3")
    ]  # fmt: skip
    (grid,) = pictures(page)
    mirrored = [image[:, ::-1] for image in (reference.radiographs[0], *reference.masks[0])]
    second = np.hstack([outlined(samples.radiographs[2], *samples.masks[2]), outlined(*mirrored)])
    top = second.shape[0] + 2 * 4
    assert np.array_equal(grid[top : top + second.shape[0], 4 : 4 + second.shape[1]], second)


def test_disagreements_are_shown_the_surest_first():
    samples = described(0, [0, 0, 1, 1], probabilities=np.array([0.75, 0.25, 0.125, 0.5]))
    page = disagreements(samples, NAMES)
    assert "classifier: 2 of 4</h2>" in page and len(pictures(page)) == 1
    assert re.findall(r"(case0_\d) \((.*?)\)", page) == [
        ("case0_2", "0.12 for broken"),
        ("case0_0", "0.25 for healthy"),
    ]
    agreeing = disagreements(described(0, [0, 1], probabilities=np.array([0.25, 0.75])), NAMES)
    assert agreeing.endswith("0 of 2</h2>")


def test_the_histogram_names_both_sets_and_their_sizes():
    page = distance_histogram(np.array([0.5, 1.0, 1.5]), np.array([1.0, 2.0]))
    assert page.startswith("<h2>Memorising</h2>") and 'id="distances"' in page
    (picture,) = pictures(page)
    assert picture.shape[:2] == (384, 960)
    blue, grey = (
        np.abs(picture[..., :3].astype(int) - colour).max(-1) < 60 for colour in ((108, 150, 229), (177,) * 3)
    )
    assert blue.sum() > 500 and grey.sum() > 500
