"""A mistyped option through the real command, of every bundle: nothing is computed, the right name is suggested."""

from __future__ import annotations

import pytest

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2")
RUNS = {
    "tsgm": ("inference.json", "stpes", "steps", ()),
    "itermask3d": ("train.json multi_gpu_train.json", "max_epoch", "max_epochs", TORCHRUN),
    "mmccd": ("train.json", "cases_per_bach", "cases_per_batch", ()),
    "macdm": ("inference.json inference_from_image.json", "levle", "level", ()),
}


@pytest.mark.parametrize("bundle", ["tsgm", *(pytest.param(b, marks=pytest.mark.slow) for b in list(RUNS)[1:])])
def test_mistyped_option_ends_the_run_with_a_suggestion(request, tmp_path, bundle):
    configs, mistyped, meant, launcher = RUNS[bundle]
    done = request.getfixturevalue(bundle).run(configs, {mistyped: 9, "output_dir": tmp_path / "out"}, None, launcher)
    assert done.returncode not in (0, 2), done.stderr
    assert f"option --{mistyped} is unknown: did you mean --{meant}?" in done.stderr
    assert not (tmp_path / "out").exists()
