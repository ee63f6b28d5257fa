"""Statistics of healthy scans that are known, collected as an evaluator hands the scans over."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from shared.anomaly.healthy_statistics import VOLUMES, load_statistics
from shared.anomaly.healthy_statistics_fit import FLOOR, HealthyStatisticsFit, Moments, mni_template
from shared.anomaly.residuals import SmoothedResidual

SETTINGS = {"lesions": "dark", "smoothing_mm": 4.0}


def test_moments_are_numpys_and_places_of_few_scans_have_those_of_the_nearest():
    random = np.random.default_rng(0)
    values = random.normal(2, 3, size=(20, 2, 60)).astype(np.float32)
    brain = np.ones((20, 60), np.float32)
    brain[1:, 40:] = 0  # one scan of twenty has brain there
    brain[:, 50:] = 0
    moments = Moments(2, 60)
    for scan, inside in zip(values, brain):
        moments.add(torch.from_numpy(scan), torch.from_numpy(inside))
    share, *found = moments.fitted(torch.Size((60, 1, 1))).reshape(5, 60).numpy()
    np.testing.assert_allclose(share, brain.mean(axis=0), rtol=1e-6)
    for quantity, (mean, sd) in enumerate(zip(found[0::2], found[1::2])):
        seen = values[:, quantity, :40]
        np.testing.assert_allclose(mean[:40], seen.mean(axis=0), rtol=1e-5)
        median = np.sort(seen.var(axis=0))[(40 - 1) // 2]
        np.testing.assert_allclose(sd[:40], np.sqrt(seen.var(axis=0) + FLOOR * median), rtol=1e-4)
        assert (mean[40:] == mean[39]).all() and (sd[40:] == sd[39]).all()


def test_fit_finds_where_healthy_scans_depart_from_their_reconstruction(tmp_path, weights):
    template, grid = mni_template()
    brain = (template > 0.1 * template.max()).float()
    image = torch.where(brain > 0, template / np.percentile(template[brain > 0], 90) * 6 - 3, -3.0)
    x = torch.arange(template.shape[0]).reshape(-1, 1, 1).expand_as(template)
    offsets = (-0.3, -0.1, 0.1, 0.3)  # of the left temple alone: the tissues as a whole stay alike
    reconstructions = [image + torch.where(x < 13, offset, 0.0) for offset in offsets]
    batch = [{"case_id": str(n), "image": torch.stack([image, brain])} for n in range(4)]
    output = [{"pred": torch.stack([brain, drawn])} for drawn in reconstructions]
    residual = SmoothedResidual("dark", None, 0.0, grid.spacing)
    fit = HealthyStatisticsFit(str(tmp_path / "healthy.nii.gz"), residual, weights, SETTINGS)
    engine = Engine(lambda engine, data: output)
    fit.attach(engine)
    engine.run([batch])
    found = load_statistics(str(tmp_path / "healthy.nii.gz"), weights, SETTINGS)
    assert found.about["cases"] == ["0", "1", "2", "3"]
    at = SimpleNamespace(**{name.replace(" ", "_"): volume for name, volume in zip(VOLUMES, found.volumes)})
    left, right = (brain > 0) & (x < 11), (brain > 0) & (x > 20)
    assert at.residual_mean[left | right].abs().mean() < 0.05
    assert at.residual_sd[left].mean() == pytest.approx(np.std(offsets), abs=0.04)
    assert at.residual_sd[right].mean() < 0.1
    whole = at.share > 0.99
    torch.testing.assert_close(at.intensity_mean[whole], -image[whole], atol=0.3, rtol=0)  # darker than 0
