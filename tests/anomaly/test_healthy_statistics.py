"""The file of statistics of healthy scans, and the case that is held against them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from shared.anomaly.healthy_statistics import STEP, VOLUMES, HealthyStatistics, load_statistics
from shared.brains.template_registration import RasGrid
from shared.runs.errors import WeightsError

SETTINGS = {"lesions": "dark", "smoothing_mm": 4.0}


def some_statistics() -> HealthyStatistics:
    volumes = torch.rand(len(VOLUMES), 5, 6, 7, generator=torch.Generator().manual_seed(0)) * 8 - 1
    about = {"weights_sha256": hashlib.sha256(b"weights").hexdigest(), "settings": SETTINGS, "cases": ["a", "b"]}
    return HealthyStatistics(volumes, RasGrid((4.0, 4.0, 4.0), (-8.0, 3.0, 5.0)), about)


def test_file_gives_back_what_was_saved_and_is_an_image_that_others_read(tmp_path, weights):
    stored = some_statistics()
    stored.save(tmp_path / "healthy.nii.gz")
    found = load_statistics(str(tmp_path / "healthy.nii.gz"), weights, SETTINGS)
    assert (found.volumes - stored.volumes).abs().max() <= STEP / 2 + 1e-6
    assert (found.grid, found.about, found.stale) == (stored.grid, stored.about, "")
    image = nib.load(tmp_path / "healthy.nii.gz")
    assert image.shape == (5, 6, 7, 6) and nib.aff2axcodes(image.affine) == ("R", "A", "S")
    first = (tmp_path / "healthy.nii.gz").read_bytes()
    stored.save(tmp_path / "healthy.nii.gz")
    assert (tmp_path / "healthy.nii.gz").read_bytes() == first


def test_statistics_of_other_weights_or_settings_are_told(tmp_path, weights, caplog):
    some_statistics().save(tmp_path / "healthy.nii.gz")
    changed = load_statistics(str(tmp_path / "healthy.nii.gz"), weights, {**SETTINGS, "smoothing_mm": 5.0})
    assert changed.stale == "other settings (smoothing_mm)" and "smoothing_mm" in caplog.text
    Path(weights).write_bytes(b"others")
    assert load_statistics(str(tmp_path / "healthy.nii.gz"), weights, SETTINGS).stale.startswith("other weights than")


def test_missing_and_foreign_files_are_refused_with_the_remedy(tmp_path, weights):
    with pytest.raises(WeightsError, match="healthy_residual.json"):
        load_statistics(str(tmp_path / "none.nii.gz"), weights, SETTINGS)
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4)), tmp_path / "scan.nii.gz")
    (tmp_path / "text.nii.gz").write_text("text")
    for name in ("scan", "text"):
        with pytest.raises(WeightsError, match="no statistics"):
            load_statistics(str(tmp_path / f"{name}.nii.gz"), weights, SETTINGS)
