"""Inference through the real command, interrupted by Ctrl-C: it goes on without doing a finished case again."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.bundle import Bundle
from tests.helpers.run_outputs import table

CASES = 4
FAST = "brain_mri_anomaly_itermask3d"
OPTIONS: dict[str, dict[str, Any]] = {
    FAST: {"spacing": "[4,4,4]", "box": "[48,48,48]"},
    "brain_mri_anomaly_mmccd": {"min_step_mm": 8},
    "brain_mri_anomaly_tsgm": {"steps": 2, "samples": 2, "min_step_mm": 20},
    "tibia_radiograph_synthesis_macdm": {"samples": CASES // 2, "batch_size": 1, "steps": 5},
}
NAMES = [name if name == FAST else pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS]


@pytest.fixture(scope="module")
def datalist(tmp_path_factory) -> Path:
    """Brains, every other one with a tumour."""
    folder = tmp_path_factory.mktemp("brains")
    phantoms = [make_phantom(n, (None, "tumour")[n % 2], ("t1", "t1ce", "flair"), spacing=4.0) for n in range(CASES)]
    cases = [write_phantom(phantom, folder, f"case{number}") for number, phantom in enumerate(phantoms)]
    (folder / "list.json").write_text(json.dumps({"test": cases}))
    return folder / "list.json"


def results(folder: Path) -> dict[str, np.ndarray]:
    """Voxels and pixels of all files."""
    images = {file.name: np.asarray(Image.open(file)) for file in folder.glob("*/*.png")}
    return images | {file.name: np.asarray(nib.load(file).dataobj) for file in folder.glob("*.nii.gz")}


def rows(folder: Path) -> list[dict[str, str]]:
    """The table of the report, but for the seconds."""
    (file,) = [*folder.glob("report.csv"), *folder.glob("samples.csv")]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table(file)]


def when_written(folder: Path, case_ids: list[str]) -> dict[str, int]:
    """Of all files of some cases, the records too."""
    files = [file for case_id in case_ids for file in folder.rglob(f"{case_id}[_.]*")]
    return {str(file): file.stat().st_mtime_ns for file in files}


@pytest.fixture(scope="module", params=NAMES)
def run(request: pytest.FixtureRequest, datalist: Path, tmp_path_factory) -> SimpleNamespace:
    """A run without interruption."""
    bundle, out = Bundle(Path("bundles") / request.param), tmp_path_factory.mktemp("whole")
    options = {**OPTIONS[request.param], **({} if "macdm" in request.param else {"datalist": datalist})}
    done = bundle.run("inference.json", {**options, "output_dir": out})
    assert done.returncode == 0 and len(rows(out)) == CASES, done.stderr
    return SimpleNamespace(bundle=bundle, options=options, out=out)


@pytest.fixture(scope="module")
def stopped(run, tmp_path_factory) -> SimpleNamespace:
    """The same run in another folder, stopped by Ctrl-C after its first case; while it was on, a second was started."""
    out = tmp_path_factory.mktemp("stopped")
    options = {**run.options, "output_dir": out}
    process = run.bundle.start("inference.json", options, out / "log")
    while not list(out.glob(".finished/*.json")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    second = run.bundle.run("inference.json", options)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    code = process.wait(120)
    log = (out / "log").read_text()
    return SimpleNamespace(out=out, options=options, code=code, pid=process.pid, log=log, second=second)


def test_a_second_run_in_the_folder_is_refused(stopped):
    assert stopped.second.returncode == 1
    message = f"error: {stopped.out}: in use by another run, process {stopped.pid} on .*choose another folder"
    assert re.search(message, stopped.second.stderr)


def test_the_rest_is_done_after_ctrl_c_and_all_is_as_without_it(run, stopped):
    finished = [row["case_id"] for row in rows(stopped.out)]
    assert stopped.code == 130 and 1 <= len(finished) < CASES
    said = f"stopped by Ctrl-C: {len(finished)} of {CASES} (cases|samples) finished; .*--resume true goes on"
    assert re.search(said, stopped.log) and "Traceback" not in stopped.log
    before = when_written(stopped.out, finished)
    assert len(before) >= 4 * len(finished)

    done = run.bundle.run("inference.json", {**stopped.options, "resume": True})
    assert done.returncode == 0, done.stderr
    assert f"{len(finished)} of {CASES} cases are finished already" in done.stdout
    assert when_written(stopped.out, finished) == before, "finished cases are not done again"
    assert rows(stopped.out) == rows(run.out)
    one, other = results(run.out), results(stopped.out)
    assert sorted(one) == sorted(other) and all(np.array_equal(one[name], other[name]) for name in one)
    pages = [(folder / "report.html").read_text().count("data:image/png") for folder in (run.out, stopped.out)]
    assert pages[0] == pages[1] > 0


@pytest.mark.slow
def test_finished_is_what_has_its_files_its_options_and_its_results(itermask3d: Bundle, datalist: Path, tmp_path: Path):
    shutil.copytree(datalist.parent, tmp_path / "brains")
    listed, out = tmp_path / "brains" / "list.json", tmp_path / "out"
    options = {**OPTIONS[FAST], "datalist": listed, "output_dir": out}
    assert itermask3d.run("inference.json", options).returncode == 0
    before = when_written(out, ["case3"])
    files = [tmp_path / "brains" / case["t1"] for case in json.loads(listed.read_text())["test"]]
    shutil.copy(files[1], files[0])
    (out / "case1_pseudo_healthy.nii.gz").unlink()
    shutil.copy(files[2], tmp_path / "copy")
    files[2].unlink()
    shutil.copy(tmp_path / "copy", files[2])
    again = itermask3d.run("inference.json", {**options, "resume": "true"})
    assert again.returncode == 0 and "2 of 4 cases are finished already" in again.stdout, again.stderr
    assert "case 'case0' is done again: image is another one" in again.stdout
    assert "case 'case1' is done again: case1_pseudo_healthy.nii.gz is gone" in again.stdout
    assert when_written(out, ["case3"]) == before and len(rows(out)) == CASES
    others = itermask3d.run("inference.json", {**options, "resume": "true", "seed": 7})
    assert others.returncode == 0 and "0 of 4 cases are finished already" in others.stdout, others.stderr
    assert "case 'case3' is done again: option seed is another one" in others.stdout


@pytest.mark.slow
def test_what_an_earlier_run_has_left_of_others_does_not_pass_for_a_result(itermask3d, datalist, tmp_path):
    """Of a case that is refused now it is moved, of one that is not listed it stays; the report tells of both."""
    shutil.copytree(datalist.parent, tmp_path / "brains")
    listed, out = tmp_path / "brains" / "list.json", tmp_path / "out"
    options = {**OPTIONS[FAST], "datalist": listed, "output_dir": out}
    assert itermask3d.run("inference.json", options).returncode == 0
    cases = json.loads(listed.read_text())["test"]
    listed.write_text(json.dumps({"test": cases[:3]}))
    (tmp_path / "brains" / cases[0]["t1"]).write_bytes(b"no image")
    done = itermask3d.run("inference.json", {**options, "resume": "true"})
    assert done.returncode == 2 and "case 'case0': not written by this run but by an earlier one" in done.stdout
    assert not list(out.glob("case0_*")) and len(list(out.glob("set_aside/case0_*"))) == 3
    assert len(list(out.glob("case3_*.nii.gz"))) == 3
    told = json.loads((out / "report.json").read_text())["run"]["earlier_results"]
    maps = ("anomaly_map", "anomaly_mask", "pseudo_healthy")
    assert sorted(told) == sorted(f"{case}_{name}.nii.gz" for case in ("set_aside/case0", "case3") for name in maps)
    page = (out / "report.html").read_text()
    assert "Files of earlier runs" in page and "set_aside/case0_anomaly_mask" in page and "case3_anomaly_mask" in page
