"""export_bundle: each network, read from its export, gives what PyTorch gives, at other sizes too."""

from __future__ import annotations

import re

import pytest
import torch

from tools import export_bundle
from tools.export_bundle import example, main
from tools.package_bundle import BUNDLES


@pytest.mark.parametrize("form", ["torchscript", "onnx"])
@pytest.mark.parametrize("name", [bundle.name for bundle in BUNDLES])
def test_an_export_agrees_with_pytorch_at_other_sizes(name: str, form: str, tmp_path, capsys):
    assert main([name, "--format", form, "--output_dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    differences = [float(value) for value in re.findall(r"largest difference (\S+) of", said)]
    assert len(differences) == 2 and max(differences) < 1e-5
    [file] = tmp_path.glob("*.*")
    assert file.suffix == {"torchscript": ".ts", "onnx": ".onnx"}[form] and file.stat().st_size > 1e6


def test_an_export_that_differs_is_an_error(tmp_path, monkeypatch):
    def spoilt(network, inputs, names, path):
        run = export_bundle.to_torchscript(network, inputs, names, path)
        return lambda given: run(given) * 1.001

    monkeypatch.setitem(export_bundle.FORMATS, "torchscript", (spoilt, ".ts"))
    arguments = [BUNDLES[0].name, "--format", "torchscript", "--output_dir", str(tmp_path)]
    assert main(arguments) == 1


def test_inputs_are_within_their_ranges_and_of_the_shapes_described():
    image = {"spatial_shape": ["16*(n+1)", "16*(n+1)"], "num_channels": 3, "value_range": [-6, 6]}
    timesteps = {"spatial_shape": [], "num_channels": 1, "value_range": [0, 999]}
    x, t = example({"image": image, "timesteps": timesteps}, batch=2, n=2, seed=0)
    assert x.shape == (2, 3, 48, 48) and t.shape == (2,)
    assert -6 <= x.min() < -5 < 5 < x.max() <= 6 and 0 <= t.min() and t.max() <= 999
    assert torch.equal(x, example({"image": image}, 2, 2, 0)[0])
