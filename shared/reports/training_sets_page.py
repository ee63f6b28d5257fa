"""The parts of the page that compares training sets: a table for each task, and what the segmenters outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose

from ..cases.radiograph_cases import gather_radiographs
from ..evaluation.statistics import Interval
from ..evaluation.training_sets import evenly_by_size
from ..radiographs.transforms import RadiographUnitsd, ReadRadiographd, SquareResized
from .page import Html, figure, table
from .radiograph_grid import outlined, picture_grid

SHOWN = 8  # fractures with outlines


def introduction(seeds: int) -> Html:
    """How the tables are to be read, with the number of seeds of each arm."""
    note = (
        f"Trainings of each network: {seeds}, from different seeds. A value is their mean, in parentheses with the 95 "
        "% interval over the held-out cases (Student's t; of the AUC percentiles of a bootstrap; neither has a width "
        "where all are right or all wrong), then the range of the seeds. Differences are paired by case; an interval "
        "without 0 is a difference. HD95 is in pixels of the network's grid, over the lesions of which something was "
        "marked: read it with the recall."
    )
    return Html(f'<p>{note}</p><p class="note">Research use only; not a medical device.</p>')


def comparison_table(heading: str, rows: Sequence[Mapping[str, Any]]) -> Html:
    """A line for each arm, a column for each measure, and the difference to the first arm beside compared measures.

    Args:
        heading: plain text.
        rows: as `compare_training_sets` returns them.
    """
    arms = dict.fromkeys(row["arm"] for row in rows)
    first, *others = arms
    compared = {row["measure"] for row in rows if np.isfinite(row["difference"])}
    headers = ["training set"]
    for measure in dict.fromkeys(row["measure"] for row in rows):
        headers += [measure, f"its difference to {first}"] if measure in compared and others else [measure]
    cells = []
    for arm in arms:
        cells.append([arm])
        for row in (row for row in rows if row["arm"] == arm):
            cells[-1].append(_measured(row))
            if row["measure"] in compared and others:
                difference = Interval(row["difference"], row["difference_low"], row["difference_high"])
                cells[-1].append("" if arm == first else difference.text("+.3f"))
    return Html(f"<h2>{escape(heading)}</h2>{table(headers, cells)}")


def _measured(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row["estimate"]):
        return f"no value of {row['possible_values']}"
    text = Interval(row["estimate"], row["low"], row["high"]).text()
    if row["lowest_seed"] != row["highest_seed"]:
        text += f"; seeds {row['lowest_seed']:.3f} to {row['highest_seed']:.3f}"
    missing = row["values"] < row["possible_values"]
    return f"{text}; {row['values']} of {row['possible_values']} values" if missing else text


def outlines_grid(masks: Mapping[str, str | Path], datalist: str) -> tuple[bytes, list[str]]:
    """Draw held-out fractures with the outlines of the reference, and to their right with those of each arm.

    Args:
        masks: arm to the ``masks.npz`` of :class:`~.segmenter_report.SegmenterReport`.
        datalist: of the radiographs, in its section ``test``.

    Returns:
        A PNG file, a row for each of at most `SHOWN` cases evenly from the smallest lesion to the largest, and their
        ids; nothing of both where no case has a lesion.
    """
    arms = [dict(np.load(file)) for file in masks.values()]
    places = [{case_id: n for n, case_id in enumerate(arm["case_id"])} for arm in arms]
    sizes = arms[0]["reference"][:, 1].sum(axis=(1, 2))
    fractures = np.flatnonzero(sizes)
    if not fractures.size:
        return b"", []
    shown = [str(arms[0]["case_id"][n]) for n in fractures[evenly_by_size(sizes[fractures], SHOWN)]]
    resize = SquareResized("image", arms[0]["reference"].shape[-1])
    read = Compose([ReadRadiographd("image"), RadiographUnitsd("image"), resize])
    cases = {case["case_id"]: case for case in gather_radiographs(datalist, "test")}
    rows = []
    for case_id in shown:
        radiograph = np.asarray(read(cases[case_id])["image"][0])
        drawn = [arms[0]["reference"][places[0][case_id]]]
        drawn += [arm["predicted"][place[case_id]] for arm, place in zip(arms, places)]
        pairs = [outlined(radiograph, *tibia_and_lesion) for tibia_and_lesion in drawn]
        rows.append(np.hstack([pair[:, pair.shape[1] // 2 :] for pair in pairs]))
    return picture_grid(rows), shown


def outlines_figure(picture: bytes, arms: Sequence[str], case_ids: Sequence[str], seed: int) -> Html:
    """The grid as a part of the page; ``seed`` is that of the networks that are shown."""
    caption = (
        f"From left to right: the reference, then what networks outline that were trained on {escape(', '.join(arms))} "
        f"(seed {seed}); tibia blue, lesion red. Row by row, evenly from the smallest lesion to the largest: "
        f"{escape(', '.join(case_ids))}."
    )
    return Html(f"<h2>Outlines</h2>{figure(picture, 'outlines of held-out fractures', caption, 'outlines')}")
