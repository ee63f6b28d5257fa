"""The handler that scores volumes with artefacts: what it writes of maps whose scores are known."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator

from shared.reports.artefact_report import ORIGIN, ArtefactDetection
from shared.runs.case_records import CaseRecords
from shared.runs.facts import with_facts
from shared.runs.weights import sha256

SIDE = 4
BRAIN = torch.zeros(1, SIDE, SIDE, SIDE)
BRAIN[:, 1:3] = 1  # 32 voxels
ARTEFACTS = (("clean", 0), ("noise", 1), ("noise", 5))


def listed() -> list[dict[str, object]]:
    """Two subjects, each clean and with an artefact of two severities."""
    return [
        {
            "case_id": f"{subject}_{severity}",
            "healthy_id": subject,
            "artefact": artefact,
            "severity": severity,
            "artefact_parameters": {"sigma": 0.1 * severity},
            "image": f"{subject}.nii.gz",
        }
        for subject in ("a", "b")
        for artefact, severity in ARTEFACTS
    ]


def volume(severity: int) -> torch.Tensor:
    """Image and brain mask: 1 in the brain, more by the severity; far off outside of it."""
    return torch.cat([torch.where(BRAIN > 0, 1.0 + severity, 99.0), BRAIN])


class Inferer:
    """The map is 1 in ``severity * 4`` voxels of the brain, and everywhere outside of it."""

    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
        severity = int(inputs[0, 0, 1, 0, 0]) - 1
        facts = {"mean_error": 0.5 * severity, "hidden_share": 0.25, "network_evaluations": 1}
        anomaly_map = 1 - inputs[:, 1:]
        anomaly_map[0, 0, 1:3].view(-1)[: 4 * severity] = 1
        return with_facts(anomaly_map, [facts])


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("artefacts")
    (folder / "model.pt").write_bytes(b"weights")
    cases = listed()
    records = CaseRecords(str(folder / "out"), cases, [str(folder / "model.pt")])
    report = ArtefactDetection(
        str(folder / "out"),
        "A <title>",
        records,
        Dataset([{"image": volume(0)}, {"image": volume(2)}]),  # as healthy as 1 above the first
        0.5,
        str(folder / "model.pt"),
        {"step": "made up"},
    )
    data = [{"case_id": case["case_id"], "image": volume(int(case["severity"]))} for case in cases]
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data), batch_size=1),
        network=torch.nn.Identity(),
        inferer=Inferer(),
        val_handlers=[report],
    ).run()
    report.write()
    with (folder / "out" / "report.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["case_id"]: row for row in csv.DictReader(stream)}
    facts = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    return SimpleNamespace(folder=folder, out=folder / "out", rows=rows, facts=facts)


@pytest.mark.parametrize("subject", ["a", "b"])
@pytest.mark.parametrize(("severity", "share", "distance"), [(0, 0.0, 1), (1, 4 / 32, 0), (5, 20 / 32, 4)])
def test_scores_are_taken_in_the_brain_alone(written, subject, severity, share, distance):
    """The intensities of the reference lie 1 above those of a clean volume."""
    row = written.rows[f"{subject}_{severity}"]
    assert float(row["score"]) == share
    assert float(row["histogram_distance"]) == pytest.approx(distance)
    assert float(row["mean_error"]) == 0.5 * severity and "network_evaluations" not in row
    assert {key: row[key] for key in ("healthy_id", "severity")} == {"healthy_id": subject, "severity": str(severity)}
    assert set(ORIGIN) <= set(row)


def test_what_is_detected_is_summarised_with_the_run(written):
    detection = {(row["artefact"], row["severity"], row["score"]): row for row in written.facts["detection"]}
    assert detection["noise", 1, "score"]["auroc"] == 1
    assert detection["noise", 1, "histogram_distance"]["auroc"] == 0, "nearer to the reference than clean volumes"
    assert ("noise", 1, "hidden_share") not in detection, "it is the same everywhere"
    run = written.facts["run"]
    assert run["weights_sha256"] == sha256(written.folder / "model.pt")
    assert (run["threshold"], run["step"], run["reference scans"]) == (0.5, "made up", 2)
    assert len(written.facts["volumes"]) == 6


def test_the_page_shows_tables_and_curves_and_stands_alone(written):
    page = (written.out / "report.html").read_text(encoding="utf-8")
    assert "2 subjects" in page and "A &lt;title&gt;" in page and "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert (written.out / "severity_curves.png").read_bytes()[:4] == b"\x89PNG"
