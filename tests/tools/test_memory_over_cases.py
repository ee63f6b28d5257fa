"""The memory of a run, as the kernel tells it, and its growth from case to case."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from shared.simulation.phantom_brain import write_dataset
from tests.helpers.paths import ROOT
from tools.memory_over_cases import growth_per_case, resident_mb, watch

BUNDLE = ROOT / "bundles" / "brain_mri_anomaly_itermask3d"
FAST = ["--spacing", "[4,4,4]", "--box", "[48,48,48]", "--keep_freed_memory", "False"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_what_is_allocated_is_resident():
    before = resident_mb(os.getpid())
    block = np.ones(100_000_000, np.uint8)
    assert resident_mb(os.getpid()) - before == pytest.approx(block.nbytes / 1e6, rel=0.1)


def test_growth_is_that_after_the_first_fifth_and_before_the_report():
    finished = np.arange(101).repeat(3)
    loading, report = 500.0 * (finished < 20), 80.0 * (finished == 100)
    assert growth_per_case(np.stack([finished, 900 + 0.25 * finished - loading + report], axis=1)) == pytest.approx(
        0.25
    )


@pytest.mark.slow
def test_inference_does_not_grow_from_case_to_case(tmp_path, monkeypatch):
    """A case has an image and three results of 0.4 MB each, and the network's features: several MB.

    Large blocks are given back at once; else glibc's heap grows over the first cases until it fits volumes of all sizes
    (picture in docs/robustness.md).
    """
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    datalist = write_dataset(tmp_path / "data", 20, [None, "tumour"], ["t1"], 4.0, seed=0, section="test")
    config = ["--config_file", str(BUNDLE / "configs" / "inference.json"), "--bundle_root", str(BUNDLE)]
    out = tmp_path / "out"
    code, samples = watch([*config, *FAST, "--datalist", str(datalist), "--output_dir", str(out)], out)
    assert code == 0 and samples[:, 0].max() == 20
    assert growth_per_case(samples) < 1, "MB"
