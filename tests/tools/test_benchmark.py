"""benchmark: its settings are options that exist, and slices are kept on the grid of the network; slow: its tables."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.run_outputs import table
from tools import benchmark
from tools.benchmark import OVERLAY, ROOT, SETTINGS, keep_lesion_slices, main, prepare


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool puts the bundle on the path, whose package is called as those of the others."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize("bundle", SETTINGS)
def test_every_setting_is_an_option_of_its_bundle(bundle):
    config = json.loads((ROOT / "bundles" / f"brain_mri_anomaly_{bundle}" / "configs" / "inference.json").read_text())
    given = argparse.Namespace(bundle=bundle, datalist="list.json", section="test", samples=0)
    for name, setting in SETTINGS[bundle].items():
        options = {key: value for key, value in setting.items() if key != OVERLAY}
        assert {key.split("#")[0] for key in options} <= config.keys(), name
        parser = prepare(given, setting)
        assert (parser["iteration"] is not None) == (OVERLAY in setting) if bundle == "itermask3d" else True
        assert (parser["datalist"], parser["section"], parser["save"]) == ("list.json", "test", [])
        assert all(parser[key] == value for key, value in options.items())
        if "network_def#fused" in setting:
            assert parser["network_def"]["fused"] is setting["network_def#fused"]


def case(label_step: float) -> dict[str, Any]:
    """A lesion of 4, 9 and 1 voxels in slices 2, 5 and 8 of 12 of 3 mm, superior axis first and downwards.

    The image has slices of 1.5 mm along its last axis, upwards, over the same 36 mm.
    """
    label = torch.zeros(1, 12, 6, 6)
    for at, side in ((2, 2), (5, 3), (8, 1)):
        label[0, at, :side, :side] = 1
    native = np.array([[0, 1.0, 0, 0], [0, 0, 1.0, 0], [-label_step, 0, 0, 11 * label_step], [0, 0, 0, 1]])
    image = np.diag([1.0, 1.0, label_step / 2, 1.0])
    image[2, 3] = -label_step / 4
    volume = torch.ones(2, 6, 6, 24)
    return {
        "label": MetaTensor(label, affine=native),
        "native_brain_mask": MetaTensor(torch.ones_like(label), affine=native),
        "image": MetaTensor(volume, affine=image),
    }


def test_the_slices_of_the_largest_lesions_are_kept_on_both_grids():
    """Slices 5 and 2 of 12, downwards from 33 mm: at 18 and 27 mm, slices 12 or 13 and 18 or 19 of 24."""
    data = case(3.0)
    keep_lesion_slices(data, 2)
    kept = np.flatnonzero(data["label"].sum(dim=(0, 2, 3)).numpy())
    assert kept.tolist() == [2, 5] and float(data["label"].sum()) == 13
    assert np.array_equal(np.flatnonzero(data["native_brain_mask"].sum(dim=(0, 2, 3)).numpy()), kept)
    heights = np.flatnonzero(data["image"][-1].sum(dim=(0, 1)).numpy()) * 1.5 - 0.75
    np.testing.assert_allclose(heights, [18, 27], atol=0.76)
    assert bool((data["image"][0] == 1).all()), "the image stays, its brain mask says what counts"


def test_an_unknown_setting_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "list.json", "--settings", "warp speed"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and "no setting ['warp speed']; choose among ['paper: " in capsys.readouterr().err


@pytest.mark.slow
def test_settings_are_compared_with_the_first_on_the_same_cases(tmp_path, monkeypatch, capsys):
    """A single pass twice, so that their maps are equal and differences 0; one evaluation each."""
    cases = [
        {**write_phantom(make_phantom(n, lesion, ("t1",), spacing=4.0), tmp_path, f"case{n}"), "group": group}
        for n, (lesion, group) in enumerate((("tumour", "tumour"), (None, "healthy")))
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": [], "validation": cases, "test": []}))
    single = {**SETTINGS["itermask3d"]["one field of noise"], "shading_degree": 0}
    monkeypatch.setitem(benchmark.SETTINGS, "itermask3d", {"one": single, "two": single})
    words = ["benchmark", str(tmp_path / "list.json"), "--output_dir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    main()
    rows = table(tmp_path / "out" / "benchmark.csv")
    assert [(row["setting"], row["group"]) for row in rows] == [
        (setting, group) for setting in ("one", "two") for group in ("tumour", "healthy")
    ]
    for row in rows:
        assert float(row["evaluations"]) == 1 and float(row["flops_saved"]) == pytest.approx(1)
        assert float(row["map_correlation"]) == pytest.approx(1) and float(row["gflop_per_evaluation"]) > 0
    assert {row["dice_difference"] for row in rows} == {"0.0", ""}
    assert len(table(tmp_path / "out" / "benchmark_cases.csv")) == 4
    assert "written: " in capsys.readouterr().out
