"""The page that compares training sets: what its tables say, and where outlines are drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from shared.reports import training_sets_page
from shared.reports.radiograph_grid import LESION_COLOUR, TIBIA_COLOUR
from shared.reports.training_sets_page import comparison_table, outlines_figure, outlines_grid

SIZE = 48
LESIONS = {"large": 12, "none": 0, "small": 4, "middle": 8}  # side in pixels


def row(arm: str, measure: str, **known: float) -> dict:
    unknown = dict.fromkeys(("low", "high", "difference", "difference_low", "difference_high"), np.nan)
    same = {"lowest_seed": known["estimate"], "highest_seed": known["estimate"], "values": 6, "possible_values": 6}
    return {"arm": arm, "measure": measure, **unknown, **same, **known}


def test_table():
    rows = [
        row("reference", "Dice", estimate=0.5, low=0.4, high=0.6, difference=0.0, lowest_seed=0.45, highest_seed=0.55),
        row("reference", "HD95", estimate=2.0, values=4),
        row("<more>", "Dice", estimate=0.7, difference=0.2, difference_low=-0.1, difference_high=0.3),
        row("<more>", "HD95", estimate=np.nan, values=0),
    ]
    html = comparison_table("A & B", rows)
    assert "<h2>A &amp; B</h2>" in html and "&lt;more&gt;" in html
    heads = [part.split("</th>")[0] for part in html.split("<th>")[1:]]
    assert heads == ["training set", "Dice", "its difference to reference", "HD95"]
    cells = [part.split("</td>")[0] for part in html.split("<td>")[1:]]
    assert cells[:4] == ["reference", "0.500 (0.400 to 0.600); seeds 0.450 to 0.550", "", "2.000; 4 of 6 values"]
    assert cells[5:] == ["0.700", "+0.200 (-0.100 to +0.300)", "no value of 6"]


@pytest.fixture
def given(tmp_path: Path) -> tuple[dict[str, Path], str]:
    """Masks of four arms, of which the last two mark nothing and list the cases backwards; and the datalist."""
    ids = list(LESIONS)
    reference = np.zeros((4, 2, SIZE, SIZE), bool)
    for n, side in enumerate(LESIONS.values()):
        reference[n, 0, 4:40, 4:30], reference[n, 1, 10 : 10 + side, 8 : 8 + side] = True, True
        Image.fromarray(np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)).save(tmp_path / f"{ids[n]}.png")
    arms = {name: tmp_path / f"{name}.npz" for name in ("marks", "marks_too", "nothing", "nothing_too")}
    for name, file in arms.items():
        order, marks = ([0, 1, 2, 3], True) if name.startswith("marks") else ([3, 2, 1, 0], False)
        known = {"reference": reference[order], "predicted": reference[order] & marks}
        np.savez(file, case_id=[ids[n] for n in order], **known)
    (tmp_path / "list.json").write_text(json.dumps({"test": [{"case_id": n, "image": f"{n}.png"} for n in ids]}))
    return arms, str(tmp_path / "list.json")


def coloured(picture: np.ndarray, colour: str) -> int:
    return int((picture == ImageColor.getrgb(colour)).all(axis=-1).sum())


def lines(picture: bytes) -> list[list[np.ndarray]]:
    """The picture as three lines of five."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)))
    return [np.array_split(line, 5, axis=1) for line in np.array_split(pixels, 3, axis=0)]


def test_outlines_of_each_arm_from_the_smallest_lesion_to_the_largest(given):
    picture, shown = outlines_grid(*given)
    assert shown == ["small", "middle", "large"]
    found = []
    for reference, *marked, nothing, nothing_too in lines(picture):
        found.append(coloured(reference, LESION_COLOUR))
        for tile in marked:
            assert coloured(tile, LESION_COLOUR) == found[-1] and coloured(tile, TIBIA_COLOUR) > 100
        for tile in (nothing, nothing_too):
            assert not coloured(tile, LESION_COLOUR) and not coloured(tile, TIBIA_COLOUR)
            assert np.ptp(tile[4:-4, 4:-4, 0]) > 200, "the radiograph"
    assert 0 < found[0] < found[1] < found[2]


def test_cases_are_found_by_their_id(given):
    """The reference is now that of an arm with the cases backwards."""
    masks, datalist = given
    picture, shown = outlines_grid(dict(reversed(masks.items())), datalist)
    assert shown == ["small", "middle", "large"]
    for reference, nothing, _, marked, _ in lines(picture):
        assert coloured(marked, LESION_COLOUR) == coloured(reference, LESION_COLOUR) > 0
        assert not coloured(nothing, LESION_COLOUR)


def test_few_of_many(given, monkeypatch):
    monkeypatch.setattr(training_sets_page, "SHOWN", 2)
    assert outlines_grid(*given)[1] == ["small", "large"]


def test_no_lesion_no_picture(tmp_path):
    nothing = np.zeros((1, 2, SIZE, SIZE), bool)
    np.savez(tmp_path / "a.npz", case_id=["a"], predicted=nothing, reference=nothing)
    assert outlines_grid({"a": tmp_path / "a.npz"}, "no list is read") == (b"", [])


def test_caption():
    html = outlines_figure(b"png", ["one", "<two>"], ["case 1"], 7)
    assert "trained on one, &lt;two&gt; (seed 7)" in html and "largest: case 1." in html
