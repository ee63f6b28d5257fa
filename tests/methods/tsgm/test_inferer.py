"""TSGM with denoisers in closed form: maps, units, samples and counts that are known beforehand.

The brains are 2 ``UNITS`` times an image whose median is 0.5 in each slice.
"""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.noise_levels import geometric_sigmas
from shared.methods.tsgm.inferer import CycleGANInferer, TSGMInferer
from tests.helpers.facts import facts_of_batch
from tests.helpers.tsgm_patients import (
    BRAIN,
    FAST,
    FLAIR,
    LESION,
    NUMBERS,
    ONE_STEP,
    SEQUENCES,
    SIGMA_MAX,
    SIGMA_MIN,
    SIZE,
    UNITS,
    Healthy,
    LinearGaussian,
    Mixing,
    OneSided,
    SampleBySample,
    Unchanged,
    X,
    close,
    patient,
    run,
    share,
)


class TestMap:
    @pytest.mark.parametrize("channels", [3, 1])
    @pytest.mark.parametrize(
        ("error", "change", "expected"),
        [
            ("bright", 0.4, 0.4),
            ("bright", -0.4, -0.4),
            ("dark", 0.4, -0.4),
            ("dark", -0.4, 0.4),
            ("absolute", 0.4, 0.4),
            ("absolute", -0.4, 0.4),
        ],
    )
    def test_height_of_a_lesion_in_units_of_the_input(self, error, change, expected, channels):
        found = run(Healthy(channels), patient(change), errors=dict.fromkeys(SEQUENCES, error))
        mean_unit = sum(weight * float(unit) for weight, unit in zip(share(*SEQUENCES).values(), UNITS, strict=True))
        close(found[0], expected * mean_unit * LESION)
        close(found[1:4], patient()[:3])
        assert not found[4].any()

    def test_each_sequence_counts_by_its_own_error(self):
        found = run(Healthy(), patient(0.4), errors={"t1": "dark", "t1ce": "absolute", "flair": "bright"})
        expected = 0.4 * (-0.1 * UNITS[0] + 0.3 * UNITS[1] + 0.6 * UNITS[2])
        close(found[0], expected * LESION)

    @pytest.mark.parametrize("samples", [1, 4])
    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "predictor_corrector"])
    def test_what_is_drawn_as_it_was_leaves_exactly_nothing(self, sampler: str, samples: int):
        found = run(Unchanged(), patient(0.4), sampler=sampler, samples=samples)
        assert not found[0].any() and not found[4].any()
        close(found[1:4], patient(0.4)[:3])

    @pytest.mark.parametrize("batch_size", [1, 4, 64])
    def test_every_second_sample_is_of_the_mirrored_slice_so_that_sides_are_alike(self, batch_size: int):
        unit = sum(weight * unit for weight, unit in zip(share(*SEQUENCES).values(), UNITS, strict=True))
        for samples, first_half in ((1, 1), (2, 1 / 2), (3, 2 / 3)):
            found = run(OneSided(), patient(), samples=samples, batch_size=batch_size)[0]
            taken = torch.where(X < SIZE // 2, first_half, 1 - first_half)
            close(found, 0.1 * unit * taken[..., None] * BRAIN)

    def test_rim_outside_the_brain_changes_nothing(self):
        volume = patient(0.4)
        rim = volume.clone()
        rim[:3] += 1.5 * (1 - BRAIN)
        assert torch.equal(run(Mixing(), rim), run(Mixing(), volume))

    def test_background_and_empty_slices(self):
        found = run(Mixing(), patient(0.4), samples=2)
        assert not found[[0, 4]][:, BRAIN == 0].any() and (found[1:4][:, BRAIN == 0] == -3).all()
        assert found[4][BRAIN > 0].min() > 0

    @pytest.mark.parametrize(
        ("error", "anomaly", "maps"), [("bright", -0.1, (0.3, 0.0, -0.6)), ("absolute", 0.1, (0.3, 0.0, 0.6))]
    )
    def test_of_the_mean_of_the_samples_and_deviation_of_their_maps(self, error, anomaly, maps):
        network = SampleBySample([-0.3, 0.0, 0.6])  # more than the healthy brain
        found = run(
            network,
            patient(),
            sigmas=ONE_STEP,
            samples=3,
            batch_size=3,
            errors=dict.fromkeys(SEQUENCES, error),
            **FLAIR,
        )
        unit = float(UNITS[2])
        close(found[0], anomaly * unit * BRAIN)
        close(found[3], patient()[2] + 0.1 * unit * BRAIN)
        close(found[4], float(torch.tensor(maps).std(correction=0)) * unit * BRAIN)


def deviations(found: torch.Tensor, expected: torch.Tensor, variance: float) -> torch.Tensor:
    """Of the brain's voxels, in standard errors."""
    return (found - expected)[BRAIN > 0] / math.sqrt(variance)


class TestPosterior:
    """The samples are those of p(healthy | patient) in closed form."""

    @pytest.mark.parametrize("absent", [(), ("t1ce",), ("t1", "t1ce")])
    @pytest.mark.parametrize(
        ("sampler", "steps", "samples", "bias"), [("dpmpp_2m", 20, 48, 0.04), ("predictor_corrector", 150, 12, 0.08)]
    )
    def test_mean_and_spread(self, sampler: str, steps: int, samples: int, bias: float, absent: tuple[str, ...]):
        shown = [n for n, name in enumerate(SEQUENCES) if name not in absent]
        sigmas = geometric_sigmas(steps, SIGMA_MIN, SIGMA_MAX)
        volume = patient(0.4, absent)
        found = run(LinearGaussian(), volume, sampler=sampler, sigmas=sigmas, samples=samples)
        condition = (volume[shown] + 3) / UNITS[shown, None, None, None]
        mean, covariance = LinearGaussian().posterior(condition.permute(3, 0, 1, 2), shown)
        mean = mean.permute(1, 2, 3, 0)
        covariance = covariance @ covariance @ torch.linalg.inv(covariance + SIGMA_MIN**2 * torch.eye(len(shown)))
        factor = torch.tensor(list(share(*(SEQUENCES[n] for n in shown)).values())) * UNITS[shown]
        of_map = float(factor @ covariance @ factor)
        voxels = int(BRAIN.sum())

        maps = deviations(found[0], torch.einsum("p,pxyz->xyz", factor, condition - mean), of_map / samples)
        healthy = [
            deviations(found[1 + n], mean[p] * UNITS[n] - 3, float(covariance[p, p] * UNITS[n] ** 2) / samples)
            for p, n in enumerate(shown)
        ]
        for off in (maps, *healthy):
            assert abs(float(off.mean())) < 4 / math.sqrt(voxels)
            assert abs(float(off.square().mean()) - 1) < bias + 4 * math.sqrt(2 / voxels)
        spread = float(found[4][BRAIN > 0].square().mean()) / of_map
        assert abs(spread * samples / (samples - 1) - 1) < bias + 4 * math.sqrt(2 / voxels / (samples - 1))

    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler", "heun", "ancestral", "predictor_corrector"])
    def test_one_step_is_the_posterior_mean(self, sampler: str):
        volume = patient(0.4)
        found = run(LinearGaussian(), volume, sampler=sampler, sigmas=ONE_STEP)
        condition = ((volume[:3] + 3) / UNITS[:, None, None, None]).permute(3, 0, 1, 2)
        mean, covariance = LinearGaussian().posterior(condition, [0, 1, 2])
        expected = UNITS[:, None, None, None] * mean.permute(1, 2, 3, 0) - 3
        left = 5 * float(UNITS.max()) * float(torch.linalg.eigvalsh(covariance).max()) / SIGMA_MAX
        close(found[1:4] * BRAIN, expected * BRAIN, atol=left)

    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun"])
    def test_the_expected_counterpart_needs_no_more_than_the_first_evaluation_of_each_sample(self, sampler: str):
        settings = {"sampler": sampler, "samples": 3}
        one, drawn, both = (
            run(LinearGaussian(), patient(0.4), **settings, **further)
            for further in ({"sigmas": ONE_STEP}, {}, {"posterior_mean": True})
        )
        close(both[:4], one[:4])  # map and counterparts
        close(both[4], drawn[4])  # the deviation is that of the samples
        assert (both[:4] - drawn[:4]).abs().max() > 0.01


@pytest.mark.parametrize(("sampler", "a_step"), [("dpmpp_2m", 1), ("predictor_corrector", 2)])
@pytest.mark.parametrize(("channels", "absent", "drawn"), [(3, (), 1), (3, ("t1",), 1), (1, (), 3), (1, ("t1",), 2)])
def test_evaluations(channels: int, absent: tuple[str, ...], drawn: int, sampler: str, a_step: int):
    inferer = TSGMInferer(**{**FAST, "sampler": sampler, "samples": 4, "batch_size": 5})
    network = Healthy(channels)
    result = inferer(patient(absent=absent)[None], network)
    evaluations = 3 * a_step * drawn * 4 * len(NUMBERS)  # of three steps
    assert sum(len(x) for x, _ in network.calls) == evaluations
    assert max(len(x) for x, _ in network.calls) == 5
    names = " ".join(name for name in SEQUENCES if name not in absent)
    expected = {"sequences": names, "slices": 3, "samples": 4, "network_evaluations": evaluations}
    assert facts_of_batch(result) == [expected]


def test_options_of_the_sampler_reach_it():
    settings = {"sampler": "predictor_corrector"}
    usual, same, bold = (
        run(Mixing(), patient(), **settings, sampler_options=options) for options in (None, {"snr": 0.075}, {"snr": 1})
    )
    assert torch.equal(usual, same) and not torch.allclose(usual, bold)


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="sampler is one of .*dpmpp_2m.*predictor_corrector, got 'ddim'"):
        TSGMInferer(**{**FAST, "sampler": "ddim"})


class TestCycleGAN:
    OPTIONS = {key: FAST[key] for key in ("sequences", "errors", "fusion_weights", "amp")}

    class Generator(torch.nn.Module):
        """Takes a tenth off what lies above the background, in the units of -1 to 1."""

        def forward(self, x):
            return 0.9 * (x + 1) - 1

    def test_map_is_what_its_generator_takes_away(self):
        networks = torch.nn.ModuleDict({"healthy": self.Generator(), "tumor": torch.nn.Identity()})
        volume = patient(0.4)
        for size in (2, 32):
            inferer = CycleGANInferer(**self.OPTIONS, batch_size=size)
            result = inferer(volume[None], networks)
            found = result[0]
            weights = torch.tensor(list(share(*SEQUENCES).values()))
            close(found[0], torch.einsum("p,pxyz->xyz", 0.1 * weights, volume[:3] + 3))
            close(found[1:4], 0.9 * (volume[:3] + 3) - 3)
            assert not found[4].any()
            assert facts_of_batch(result)[0]["network_evaluations"] == 3

    def test_needs_all_sequences(self):
        networks = torch.nn.ModuleDict({"healthy": self.Generator()})
        with pytest.raises(ValueError, match="needs all of t1, t1ce, flair"):
            CycleGANInferer(**self.OPTIONS)(patient(absent=("t1ce",))[None], networks)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"samples": 0}, "samples is 0"), ({"sampler_options": {"snrr": 1}}, "'dpmpp_2m' has no option snrr")],
)
def test_wrong_options_are_refused_when_they_are_asked_for(wrong, said):
    with pytest.raises(ValueError, match=said):
        TSGMInferer(**{**FAST, "sampler": "dpmpp_2m", **wrong})
