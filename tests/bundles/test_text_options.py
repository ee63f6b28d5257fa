"""Names and folders that look like numbers, through the real command of every bundle: they stay what was typed."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import pytest

from shared.simulation.phantom_brain import make_phantom
from tests.helpers.bundle import Bundle

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=1")
FAST = {"spacing": "[4,4,4]", "box": "[48,48,48]"}


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    """A folder called 2024_01_15, with one brain in a folder called 007."""
    phantom = make_phantom(9010, None, ("t1",), 4.0)
    (tmp_path / "007").mkdir()
    nib.save(nib.Nifti1Image(phantom.images["t1"], phantom.affine), tmp_path / "007" / "001_t1.nii.gz")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), TORCHRUN])
def test_results_lie_in_the_folder_that_was_named(itermask3d: Bundle, dated: Path, launcher: tuple[str, ...]):
    configs = "inference.json multi_gpu_inference.json" if launcher else "inference.json"
    options = {**FAST, "dataset_dir": "007", "output_dir": "2024_01_15", "resume": "false"}
    done = itermask3d.run(configs, options, dated, launcher)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in dated.iterdir()) == ["007", "2024_01_15"]
    report = json.loads((dated / "2024_01_15" / "report.json").read_text())
    assert len(list((dated / "2024_01_15").glob("001_t1_*.nii.gz"))) == 3
    assert [case["case_id"] for case in report["cases"]] == ["001_t1"] and "2024_01_15" in report["run"]["command"]


NOT_THERE = {  # bundle: configs, option
    "itermask3d": ("train.json", "datalist"),
    "mmccd": ("inference.json evaluate.json", "datalist"),
    "tsgm": ("inference.json", "flair"),
    "macdm": ("inference.json inference_from_image.json", "image"),
}


@pytest.mark.parametrize("name", ["tsgm", *(pytest.param(n, marks=pytest.mark.slow) for n in NOT_THERE if n != "tsgm")])
def test_a_file_that_is_not_there_is_named_as_it_was_typed(request, tmp_path, name):
    configs, option = NOT_THERE[name]
    options = {option: "1e5", "output_dir": "None", **({"ckpt_dir": "None"} if "train" in configs else {})}
    done = request.getfixturevalue(name).run(configs, options, tmp_path)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith(f"error: {tmp_path / '1e5'}"), done.stderr
    assert {file.name for file in tmp_path.iterdir()} <= {"None"}
