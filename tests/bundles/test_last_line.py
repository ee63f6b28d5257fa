"""What a user sees last of a run that cannot be done, through the real command of every bundle: one line, a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.bundle import Bundle

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2")
FAULTS: dict[str, tuple[str, str, dict[str, Any], str]] = {  # bundle, configs, options, the beginning and the end
    "nothing given": ("itermask3d", "inference.json", {}, "pass exactly one of --image FILE"),
    "no list": ("tsgm", "inference.json evaluate.json", {"datalist": "no.json"}, "no.json: cannot be read"),
    "no weights": ("mmccd", "inference.json", {"weights": "no.pt", "image": "no.nii"}, "no.pt: weights missing"),
    "no image": ("mmccd", "inference.json calibrate.json", {"image": "no.nii"}, "no.nii (key 'flair'): file not found"),
    "unknown value": ("tsgm", "inference.json", {"image": "no.nii", "sampler": "x"}, "the sampler is one of euler"),
    "unknown side": ("itermask3d", "inference.json", {"image": "no.nii", "lesions": "up"}, "one of bright, dark"),
    "one voxel size": ("itermask3d", "inference.json", {"image": "no.nii", "spacing": 2}, "three voxel sizes above 0"),
    "no such sequence": ("mmccd", "inference.json", {"image": "no.nii", "sequence": "flair,t1"}, "write one of t1, "),
    "too few steps": ("macdm", "inference.json", {"steps": 0}, "steps is 0; "),
    "no list to train on": ("macdm", "train.json", {"datalist": "no.json"}, "no.json: cannot be read"),
    "no source": ("macdm", "inference.json inference_from_image.json", {}, "pass "),
    "no checkpoint": ("itermask3d", "train.json", {"datalist": "no.json", "resume": True}, "no.json: cannot be read"),
}
FIRST = "no list"


@pytest.mark.parametrize("name", [FIRST, *(pytest.param(n, marks=pytest.mark.slow) for n in FAULTS if n != FIRST)])
def test_the_last_line_is_what_is_wrong_and_what_to_do(request, tmp_path, name):
    bundle, configs, options, said = FAULTS[name]
    folders = {"output_dir": tmp_path / "out", **({"ckpt_dir": tmp_path / "out"} if "train" in configs else {})}
    done = request.getfixturevalue(bundle).run(configs, {**options, **folders}, cwd=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("error: ") and said in last, done.stderr
    assert "Traceback" not in done.stderr and "ConfigExpression" not in done.stderr


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_named(itermask3d, tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    done = itermask3d.run("inference.json", {"output_dir": out}, cwd=tmp_path)
    said = f"error: {out}: cannot be written to (Not a directory). Choose another folder"
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == said


@pytest.mark.slow
def test_debug_shows_where_it_came_from(itermask3d: Bundle, tmp_path):
    done = itermask3d.run("inference.json", {"output_dir": tmp_path / "out", "debug": "true"}, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: pass exactly one of --image FILE")
    assert "Traceback" in done.stderr and "DataListError" in done.stderr


@pytest.mark.slow
def test_torchrun_says_it_in_its_own_last_lines(mmccd: Bundle, tmp_path):
    options = {"image": "no.nii", "output_dir": tmp_path / "out"}
    done = mmccd.run("inference.json multi_gpu_inference.json", options, tmp_path, TORCHRUN)
    (first_failure,) = [line for line in done.stderr.splitlines()[-4:] if "traceback :" in line]
    assert done.returncode == 1 and "no.nii (key 'flair'): file not found. Check the path" in first_failure
    assert "ConfigExpression" not in done.stderr
