"""quickstart_radiographs: what it says of a run is what tables and reports say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.quickstart_radiographs import main, summary_lines


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Tables and reports as a run leaves them: one normal and two fractures, of which one is rejected."""
    for folder in (tmp_path, tmp_path / "from_images"):
        folder.mkdir(exist_ok=True)
        (folder / "samples.csv").write_text("class,accepted\nnormal,True\nfracture,False\nfracture,True\n")
    for kind, dice in (("simulated", 0.75), ("generated", 0.5)):
        (tmp_path / f"segmenter_{kind}").mkdir()
        metrics = {"tibia_dice": [0.9, 0.8, 1.0], "lesion_dice": [dice, 0, 1]}
        (tmp_path / f"segmenter_{kind}" / "report.json").write_text(json.dumps({"metrics": metrics}))
    return tmp_path


def test_what_is_said_of_the_radiographs_is_what_tables_and_reports_say(results):
    assert summary_lines(results) == [
        "drawn from noise: 1 of 1 normal and 1 of 2 fracture accepted (class and masks agree)",
        "drawn from the simulated radiographs: 1 of 1 normal and 1 of 2 fracture accepted (class and masks agree)",
        "Dice of the segmenter with the simulated masks: tibia 0.90, lesion 0.75",
        "Dice of the segmenter with the generated masks: tibia 0.90, lesion 0.50",
    ]


def test_the_command_prints_the_lines_and_where_the_pages_are(results, capsys):
    main(results)
    said = capsys.readouterr().out
    assert all(f"  {line}\n" in said for line in summary_lines(results))
    for folder in (results, results / "from_images", results / "segmenter_generated"):
        assert str(folder / "report.html") in said


def test_a_report_that_is_missing_does_not_pass_for_a_result(results):
    (results / "segmenter_generated" / "report.json").unlink()
    with pytest.raises(FileNotFoundError, match="segmenter_generated"):
        summary_lines(results)
