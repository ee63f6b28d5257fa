"""python -m tools.consensus: the real bundles on the files of simulated patients, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.bundle import environment
from tests.helpers.paths import ROOT
from tests.helpers.run_outputs import report_rows, table
from tools import consensus


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.consensus", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)


def few_slices(folder: Path, seed: int, sequences: tuple[str, ...]) -> dict[str, str]:
    """A patient with a tumour, the five slices where it is largest, at 4 mm."""
    case = write_phantom(make_phantom(seed, "tumour", sequences, 4.0), folder, f"p{seed}")
    middle = int(nib.load(folder / case["label"]).get_fdata().sum(axis=(0, 1)).argmax())
    for key in (*sequences, "label", "brain_mask"):
        nib.save(nib.load(folder / case[key]).slicer[:, :, middle - 2 : middle + 3], folder / case[key])
    return case


def test_a_bundle_is_run_and_its_map_becomes_that_of_the_case(tmp_path):
    case, out = few_slices(tmp_path, 9400, ("flair",)), tmp_path / "out"
    done = run("--flair", tmp_path / case["flair"], "--output_dir", out, "--members", "mmccd")
    assert done.returncode == 0, done.stderr
    (row,) = report_rows(out).values()
    fused, own = (nib.load(folder / "p9400_anomaly_map.nii.gz").get_fdata() for folder in (out, out / "mmccd"))
    np.testing.assert_array_equal(fused, own)
    assert row["members"] == "mmccd" and float(row["anomaly_ml"]) > 0 and not (out / "metrics.csv").exists()


@pytest.mark.slow
def test_two_bundles_are_fused_and_the_command_goes_on_where_it_stopped(tmp_path):
    cases = [few_slices(tmp_path, 9400, ("t1", "flair")), few_slices(tmp_path, 9401, ("t1",))]
    (tmp_path / "list.json").write_text(json.dumps({"test": cases}), encoding="utf-8")
    out = tmp_path / "out"
    words = ("--datalist", tmp_path / "list.json", "--output_dir", out)
    done = run(*words)
    assert done.returncode == 0, done.stderr
    rows = report_rows(out)
    assert rows["p9400"]["members"] == "tsgm; mmccd" and rows["p9401"]["members"] == "tsgm"
    assert "without mmccd: has no 'flair'" in rows["p9401"]["warnings"]
    maps = [nib.load(out / name / "p9400_anomaly_map.nii.gz").get_fdata() for name in ("tsgm", "mmccd")]
    fused = nib.load(out / "p9400_anomaly_map.nii.gz").get_fdata()
    np.testing.assert_allclose(fused, np.sqrt(np.prod(maps, axis=0)), rtol=1e-5, atol=1e-6)
    (row,) = (row for row in table(out / "metrics.csv") if row["case_id"] == "p9400")
    mask, label = (
        np.asarray(nib.load(f).dataobj) > 0 for f in (out / "p9400_anomaly_mask.nii.gz", tmp_path / cases[0]["label"])
    )
    assert mask.any() and float(row["dice"]) == pytest.approx(2 * (mask & label).sum() / (mask.sum() + label.sum()))

    before = {file: file.stat().st_mtime_ns for file in out.glob("*/*_anomaly_map.nii.gz")}
    assert len(before) == 3 and run(*words).returncode == 0
    assert before == {file: file.stat().st_mtime_ns for file in before}  # the bundles were not run again


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "pass the sequences of one brain"),
        (["--flair", "nowhere.nii.gz", "--datalist", "list.json"], "--flair and --datalist given"),
        (["--datalist", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, capsys, words, said):
    assert consensus.main([*words, "--output_dir", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("consensus: ") and said in line
