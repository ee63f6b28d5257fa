"""quickstart: its steps are real commands, a failing one is named, and what it says is computed from the results."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from shared.simulation.phantom_brain import main as phantom_brain
from shared.simulation.phantom_tibia import main as phantom_tibia
from tools import quickstart, quickstart_radiographs, quickstart_steps
from tools.environment import EnvironmentFailure, is_complete
from tools.quickstart import ROOT, StepFailure
from tools.quickstart_steps import BRAIN_DEMOS, SEED, Step
from tools.quickstart_summary import summary_lines

HEALTHY, TUMOUR = "phantom0000_healthy", "phantom0001_tumour"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run's output: 10 false voxels of 8 mm3 in the healthy brain; half of 40 lesion voxels, and 20 others."""
    made = tmp_path / "input"
    made.mkdir()
    cases = [{"case_id": HEALTHY, "t1": "x"}, {"case_id": TUMOUR, "t1": "x", "label": f"{TUMOUR}_label.nii.gz"}]
    (made / "datalist.json").write_text(json.dumps({"test": cases}))
    affine = np.diag([2, 2, 2, 1])
    label, mask = np.zeros((10, 10, 10), np.uint8), np.zeros((10, 10, 10), np.uint8)
    label.flat[:40] = 1
    mask.flat[20:60] = 1
    nib.save(nib.Nifti1Image(label, affine), made / f"{TUMOUR}_label.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), tmp_path / f"{TUMOUR}_anomaly_mask.nii.gz")
    write_report(tmp_path, {HEALTHY: "0.08", TUMOUR: "0.32"})
    return tmp_path


def write_report(folder: Path, volumes: dict[str, str]) -> None:
    with (folder / "report.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["case_id", "status", "anomaly_ml"], *([case, "done", ml] for case, ml in volumes.items())])


def test_the_summary_is_computed_from_report_masks_and_labels(results):
    assert summary_lines(results) == [
        "healthy: 0.1 ml above the threshold (false positives)",
        "tumour: anomaly found (50 % of its 0.3 ml), 0.3 ml above the threshold, Dice with the known lesion 0.50",
    ]


def test_a_missed_lesion_is_called_missed(results):
    empty = nib.Nifti1Image(np.zeros((10, 10, 10), np.uint8), np.diag([2, 2, 2, 1]))
    nib.save(empty, results / f"{TUMOUR}_anomaly_mask.nii.gz")
    write_report(results, {HEALTHY: "0", TUMOUR: "0"})
    assert summary_lines(results)[1].startswith("tumour: anomaly MISSED (0 % of its 0.3 ml), 0.0 ml above")


def test_a_case_that_was_left_out_or_is_not_reported_does_not_pass_for_a_result(results):
    write_report(results, {HEALTHY: "", TUMOUR: "0.32"})
    assert summary_lines(results)[0] == "healthy: could not be used, see report.html"
    write_report(results, {HEALTHY: "0.08"})
    with pytest.raises(LookupError, match=f"{TUMOUR}.*report.csv"):
        summary_lines(results)


def options_of(step: Step) -> dict[str, str]:
    """Options of a bundle's command; its configs exist and know each of them."""
    start = step.command.index("run") + 1
    options = dict(zip(step.command[start::2], step.command[start + 1 :: 2]))
    files = options.pop("--config_file").replace("'", '"')
    config = ConfigParser.load_config_files(json.loads(files))
    assert Path(options.pop("--bundle_root"), "scripts", "__init__.py").is_file()
    assert Path(options.pop("--logging_file")).is_file()
    assert {name[2:] for name in options} <= config.keys()
    return options


@pytest.mark.parametrize("name", BRAIN_DEMOS)
def test_the_steps_are_commands_with_options_that_exist(tmp_path, monkeypatch, name):
    demo = BRAIN_DEMOS[name]
    make, healthy, calibrate, infer, compare = quickstart_steps.steps(Path(sys.executable), tmp_path / "out", name)
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("shared.simulation.phantom_brain.write_dataset", lambda *arguments: given.append(arguments))
    phantom_brain(make.command[3:])
    made, healthy_scans = tmp_path / "out" / "input", tmp_path / "out" / "healthy"
    phantom_brain(healthy.command[3:])
    assert given == [
        (made, 3, [None, *demo.lesions], list(demo.sequences), 1.0, SEED, "test"),
        (healthy_scans, demo.healthy, [None], list(demo.sequences), 2.0, SEED + 100, "validation"),
    ]
    assert "calibrate.json" in calibrate.command[calibrate.command.index("--config_file") + 1]

    options = options_of(infer)
    calibration = options.pop("--calibration_file")
    assert calibration in calibrate.command
    assert {"--datalist": str(made / "datalist.json"), "--output_dir": str(tmp_path / "out")}.items() <= options.items()
    assert compare.command[-1] == str(tmp_path / "out")


def test_the_steps_of_the_radiographs_are_commands_with_options_that_exist(tmp_path, monkeypatch):
    out = tmp_path / "out"
    make, draw, change, segment, segment_generated, tell = quickstart_steps.steps(Path(sys.executable), out, "macdm")
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("shared.simulation.phantom_tibia.write_dataset", lambda *arguments: given.append(arguments))
    phantom_tibia(make.command[3:])
    assert given == [(out / "input", 8, [None, "corner", None, "bucket_handle"], 96, SEED, "test")]
    made = {"--datalist": str(out / "input" / "datalist.json"), "--section": "test"}
    assert options_of(draw) == {"--samples": "12", "--output_dir": str(out)}
    assert options_of(change) == {**made, "--output_dir": str(out / "from_images")}
    assert options_of(segment) == {**made, "--output_dir": str(out / "segmenter_simulated")}
    generated = {"--datalist": str(out / "datalist.json"), "--section": "training"}
    assert options_of(segment_generated) == {**generated, "--output_dir": str(out / "segmenter_generated")}
    assert tell.command[-1] == str(out)


def test_what_is_said_of_the_radiographs_is_what_tables_and_reports_say(tmp_path):
    for folder in (tmp_path, tmp_path / "from_images"):
        folder.mkdir(exist_ok=True)
        (folder / "samples.csv").write_text("class,accepted\nnormal,True\nfracture,False\nfracture,True\n")
    for kind, dice in (("simulated", 0.75), ("generated", 0.5)):
        (tmp_path / f"segmenter_{kind}").mkdir()
        metrics = {"tibia_dice": [0.9, 0.8, 1.0], "lesion_dice": [dice, 0, 1]}
        (tmp_path / f"segmenter_{kind}" / "report.json").write_text(json.dumps({"metrics": metrics}))
    assert quickstart_radiographs.summary_lines(tmp_path) == [
        "drawn from noise: 1 of 1 normal and 1 of 2 fracture accepted (class and masks agree)",
        "drawn from the simulated radiographs: 1 of 1 normal and 1 of 2 fracture accepted (class and masks agree)",
        "Dice of the segmenter with the simulated masks: tibia 0.90, lesion 0.75",
        "Dice of the segmenter with the generated masks: tibia 0.90, lesion 0.50",
    ]


def test_a_failing_step_is_named_and_ends_the_run(capfd, tmp_path):
    python = sys.executable
    todo = [
        Step("Saying hello", [python, "-c", "print('hello')"]),
        Step("Breaking", [python, "-c", "import sys; print('the real error', file=sys.stderr); sys.exit(3)"]),
        Step("Never", [python, "-c", f"open({str(tmp_path / 'never')!r}, 'w')"]),
    ]
    with pytest.raises(StepFailure, match="step 2 of 3 failed with exit code 3: Breaking"):
        quickstart.run(todo)
    said = capfd.readouterr()
    assert said.out.splitlines() == ["[1/3] Saying hello ...", "hello", "[2/3] Breaking ..."]
    assert said.err == "the real error\n"
    assert not (tmp_path / "never").exists()


def test_the_command_fails_when_a_step_or_the_environment_does(monkeypatch, capsys, tmp_path):
    failing = Step("Breaking", [sys.executable, "-c", "import sys; sys.exit(2)"])
    monkeypatch.setattr(quickstart, "environment_python", lambda: Path(sys.executable))
    monkeypatch.setattr(quickstart, "steps", lambda python, output_dir, bundle: [failing])
    assert quickstart.main(["--output_dir", str(tmp_path)]) == 1
    assert "step 1 of 1 failed with exit code 2: Breaking" in capsys.readouterr().err

    def unavailable() -> Path:
        raise EnvironmentFailure("no network")

    monkeypatch.setattr(quickstart, "environment_python", unavailable)
    assert quickstart.main(["--output_dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "quickstart: no network\n"


def real_command(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if not is_complete():
        pytest.skip("needs the collection's environment: python -m tools.run_tests --all")
    command = [sys.executable, "-m", "tools.quickstart", "--bundle", name, "--output_dir", str(folder / "my results")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", BRAIN_DEMOS)
def test_the_real_command_finds_the_lesions(tmp_path, name):
    demo, output = BRAIN_DEMOS[name], tmp_path / "my results"
    done = real_command(name, tmp_path)
    assert {"report.csv", "report.html", "report.json"} <= {file.name for file in output.iterdir()}
    for kind in ("anomaly_map", "anomaly_mask", "pseudo_healthy"):
        assert len(list(output.glob(f"*_{kind}.nii.gz"))) == 3
    assert str(output / "report.html") in done.stdout
    assert "tumour: anomaly found" in done.stdout and f"{demo.lesions[1]}: anomaly " in done.stdout
    assert "healthy: " in done.stdout and "false positives" in done.stdout


@pytest.mark.slow
def test_the_real_command_draws_radiographs(tmp_path):
    done, output = real_command("macdm", tmp_path), tmp_path / "my results"
    assert "drawn from noise: " in done.stdout and "Dice of the segmenter with the generated masks: " in done.stdout
    for folder in (
        output,
        output / "from_images",
        *(output / f"segmenter_{kind}" for kind in ("simulated", "generated")),
    ):
        assert (folder / "report.html").is_file()
