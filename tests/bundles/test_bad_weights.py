"""Weights that cannot be used, through the real command: the run ends with their name, before anything is written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nibabel as nib
import pytest
import torch

from shared.methods.itermask3d.residual_unet import AvgPoolResidualUNet
from shared.simulation.phantom_brain import make_phantom
from tests.helpers.run_outputs import halved

FAST = {"spacing": "[4,4,4]", "box": "[48,48,48]"}


def half(width: int) -> dict[str, torch.Tensor]:
    """State dict of the bundle's network at some width, in half precision."""
    return halved(AvgPoolResidualUNet(2, 1, width=width, dropout=0.0, add_high_pass=True).state_dict())


def truncated(path: Path) -> None:
    torch.save(half(2), path)
    path.write_bytes(path.read_bytes()[:20000])


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.victim),)


WEIGHTS = {
    "missing": (lambda path: None, "weights missing. Train with configs/train.json"),
    "truncated": (truncated, "not a file of weights"),
    "of another network": (lambda path: torch.save(half(4), path), "weights of another network.*network_def"),
    "malicious": (lambda path: torch.save(Malicious(path.with_name("victim")), path), "not a file of weights"),
    "login page": (lambda path: path.write_text("<html>log in</html>"), "not a file of weights.*Download it again"),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    path, phantom = tmp_path_factory.mktemp("brain") / "t1.nii.gz", make_phantom(9010, None, ("t1",), 4.0)
    nib.save(nib.Nifti1Image(phantom.images["t1"], phantom.affine), path)
    return path


SLOW = ("truncated", "of another network", "login page")


@pytest.mark.parametrize("fault", [pytest.param(f, marks=[pytest.mark.slow] * (f in SLOW)) for f in WEIGHTS])
def test_bad_weights_end_the_run_before_anything_is_written(itermask3d, image, tmp_path, fault):
    make, message = WEIGHTS[fault]
    weights, out = tmp_path / "weights.pt", tmp_path / "out"
    make(weights)
    done = itermask3d.run("inference.json", {**FAST, "image": image, "weights": weights, "output_dir": out})
    assert done.returncode not in (0, 2)
    assert re.search(f"error: {re.escape(str(weights))}: {message}", done.stderr)
    assert not out.exists() or not list(out.iterdir())
    assert not (tmp_path / "victim").exists()


@pytest.mark.slow
def test_weights_of_nan_are_named_where_they_are_first_used(itermask3d, image, tmp_path):
    state = halved(AvgPoolResidualUNet(2, 1, width=8, dropout=0.0, add_high_pass=True).state_dict())
    next(iter(state.values())).fill_(torch.nan)
    torch.save(state, tmp_path / "weights.pt")
    options = {**FAST, "image": image, "weights": tmp_path / "weights.pt", "output_dir": tmp_path / "out"}
    done = itermask3d.run("inference.json", options)
    assert done.returncode not in (0, 2)
    assert "values of 110592 that are NaN or infinite. Compute in float32 (--amp False)" in done.stderr
    assert "case 't1' left out: " in done.stdout
    assert not list((tmp_path / "out").glob("*.nii.gz")), "no black map"
