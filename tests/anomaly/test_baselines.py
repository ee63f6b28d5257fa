"""The baselines without a network: their values follow from the normalisation and the statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from shared.anomaly.baselines import AtlasInferer, IntensityHistogram, IntensityInferer
from shared.anomaly.healthy_statistics import HealthyStatistics
from shared.anomaly.residuals import SmoothedResidual
from shared.brains.template_registration import RasGrid
from tests.helpers.facts import facts_of_batch

NETWORK = torch.nn.Identity()


def inputs(intensities: list[float], brain: list[float]) -> torch.Tensor:
    """``1 2 N 1 1``: intensities in units of the 90th percentile, normalised, and the brain mask."""
    normalised = [6 * x - 3 for x in intensities]
    return torch.tensor([[normalised, brain]])[..., None, None]


@pytest.mark.parametrize(
    ("bright", "expected"),
    # Distance from the 90th percentile (6 units) when lesions are dark, from 0 when they are bright; never below 0.
    [(False, [6.0, 3.0, 0.0, 0.0, 0.0]), (True, [0.0, 3.0, 6.0, 9.0, 0.0])],
)
def test_values(bright: bool, expected: list[float]):
    given = inputs([0, 0.5, 1, 1.5, 0.5], [1, 1, 1, 1, 0])
    out = IntensityInferer(bright)(given, NETWORK)
    assert out.shape == given.shape
    torch.testing.assert_close(out[0, 0, :, 0, 0], torch.tensor(expected))
    assert torch.equal(out[:, 1], given[:, 0]), "the pseudo-healthy brain is the image: nothing is learnt"


def test_negative_intensities_are_dark_and_not_bright():
    given = inputs([-0.5], [1])
    assert IntensityInferer(False)(given, NETWORK)[0, 0].item() == 9
    assert IntensityInferer(True)(given, NETWORK)[0, 0].item() == 0


@pytest.mark.parametrize("bright", [False, True])
def test_batch_is_its_single_cases(bright: bool):
    generator = torch.Generator().manual_seed(0)
    image = 4 * torch.rand(3, 1, 6, 5, 4, generator=generator) - 3
    batch = torch.cat([image, (torch.rand(image.shape, generator=generator) > 0.5).float()], dim=1)
    inferer = IntensityInferer(bright)
    together = inferer(batch, NETWORK)
    assert facts_of_batch(together) == 3 * [{"network_evaluations": 0}]
    for number in range(3):
        alone = inferer(batch[number : number + 1], NETWORK)
        assert torch.equal(alone[0], together[number])
        assert facts_of_batch(alone) == [{"network_evaluations": 0}]


def test_atlas_counts_the_standard_deviations_from_healthy_scans_at_the_place():
    spacing = (4.0, 4.0, 4.0)
    x, y, z = torch.meshgrid(*[torch.linspace(-1.2, 1.2, 24)] * 3, indexing="ij")
    brain = ((x / 0.8) ** 2 + y**2 + (z / 0.7) ** 2 < 1).float()
    image = torch.where(brain > 0, 1 + x - y, -3.0)
    sd = 0.5 + 0.1 * (x > 0)
    volumes = torch.stack([(image + 3) * brain, brain, torch.zeros_like(x), sd, -image, sd])  # darker than 0
    statistics = HealthyStatistics(volumes, RasGrid(spacing), {})
    lesion = torch.zeros_like(image)
    lesion[6:9, 10:14, 10:14] = 1
    inferer = AtlasInferer(SmoothedResidual("dark", None, 0.0, spacing), statistics)
    result = inferer(torch.stack([image - lesion, brain])[None], NETWORK)
    assert facts_of_batch(result) == [{"registered": True, "notes": [], "network_evaluations": 0}]
    torch.testing.assert_close(result[0, 0][lesion > 0].as_tensor(), torch.full((48,), 2.0), atol=0.15, rtol=0)
    assert result[0, 0][(lesion == 0) & (brain > 0)].mean() < 0.1 and result[0, 0][brain == 0].max() == 0
    assert torch.equal(result[0, 1].as_tensor(), image - lesion)


def three(flair: list[float], t1: list[float], brain: list[float]) -> torch.Tensor:
    """``1 3 N 1 1``: two sequences in units of their 90th percentile, normalised, and the brain mask."""
    return torch.cat([inputs(flair, brain)[:, :1], inputs(t1, brain)], dim=1)


class TestT1Weight:
    def test_values(self):
        given = three([1.0, 1.0, 0.2, 1.5, 1.5], [0.0, 1.0, 1.0, 0.5, 0.5], [1, 1, 1, 1, 0])
        out = IntensityInferer(bright=True, t1_weight=0.4)(given, NETWORK)
        # 6 (FLAIR - 0.4 T1) in units of the 90th percentiles, never below 0, nothing outside the brain.
        torch.testing.assert_close(out[0, 0, :, 0, 0], torch.tensor([6, 3.6, 0, 7.8, 0]))
        assert out.shape == (1, 2, 5, 1, 1) and torch.equal(out[:, 1], given[:, 0])

    def test_t1_is_the_second_of_many_sequences(self):
        given = three([1.0], [0.5], [1])
        more = torch.cat([given[:, :2], torch.full((1, 1, 1, 1, 1), float("nan")), given[:, 2:]], dim=1)
        inferer = IntensityInferer(bright=True, t1_weight=0.4)
        assert torch.equal(inferer(more, NETWORK), inferer(given, NETWORK))

    @pytest.mark.parametrize("bright", [False, True])
    def test_other_sequences_are_not_read_without_a_weight(self, bright: bool):
        given = three([0.2, 1.2], [0, 0], [1, 0])
        given[:, 1] = float("nan")  # absent
        assert torch.equal(
            IntensityInferer(bright)(given, NETWORK), IntensityInferer(bright)(given[:, [0, 2]], NETWORK)
        )

    def test_no_second_sequence_or_an_absent_one_is_refused(self):
        inferer, absent = IntensityInferer(bright=True, t1_weight=0.4), three([1.0], [1.0], [1])
        absent[:, 1] = float("nan")
        for given in (inputs([1.0], [1]), absent):
            with pytest.raises(ValueError, match="0.4 needs T1 as the second sequence"):
                inferer(given, NETWORK)

    def test_weight_is_for_bright_lesions_only(self):
        with pytest.raises(ValueError, match="set bright"):
            IntensityInferer(bright=False, t1_weight=0.4)


def test_network_is_not_asked_and_input_is_left_alone():
    def network(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("no network is needed")

    given = inputs([0, 1], [1, 1])
    before = given.clone()
    IntensityInferer()(given, network)
    assert torch.equal(given, before)


class TestIntensityHistogram:
    def test_distance_is_the_earth_movers_distance(self):
        """Of scipy, between samples of different size; a shift moves all of it, a stretch half of its range."""
        random = np.random.default_rng(0)
        healthy, other = random.gamma(3, 1, 20_000), random.normal(4, 2, 5_000)
        histogram = IntensityHistogram([healthy])
        assert histogram.distance(other) == pytest.approx(wasserstein_distance(healthy, other), rel=5e-3)
        assert histogram.distance(healthy + 0.7) == pytest.approx(0.7)
        assert histogram.distance(healthy) == 0
        assert IntensityHistogram([np.linspace(0, 1, 101)]).distance(np.linspace(0, 2, 77)) == pytest.approx(0.5)

    def test_healthy_histogram_is_the_mean_of_the_quantiles(self):
        """Two scans that differ by a shift: the mean lies half way, whatever their size."""
        values = np.random.default_rng(0).normal(size=1_000)
        histogram = IntensityHistogram([values, np.repeat(values, 3) + 2])
        assert histogram.distance(values + 1) == pytest.approx(0, abs=0.01)
