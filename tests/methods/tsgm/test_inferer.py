"""TSGM with denoisers in closed form: maps, units, samples and counts that are known beforehand.

The brains are 2 ``UNITS`` times an image whose median is 0.5 in each slice.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from shared.diffusion.noise_levels import geometric_sigmas
from shared.methods.tsgm.inferer import CycleGANInferer, TSGMInferer
from shared.methods.tsgm.pseudo_healthy import IntensityFusionInferer
from tests.helpers.facts import facts_of_batch

SEQUENCES = ["t1", "t1ce", "flair"]
UNITS = torch.tensor([1.25, 0.8, 2.0])
SIZE = 16
X, Y = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
TISSUE = torch.tensor([0.25, 0.5, 0.75, 0.5])[(X + 2 * Y) % 4]  # its median is 0.5, also with a small lesion
BRAIN = torch.zeros(SIZE, SIZE, 4)  # slice 1 is empty
BRAIN[2:14, 1:15, 0] = BRAIN[3:13, 2:14, 2] = BRAIN[4:12, 2:14, 3] = 1
NUMBERS = [0, 2, 3]
LESION = torch.zeros(SIZE, SIZE, 4)
LESION[6:9, 5:8, 2] = 1
SIGMA_MIN, SIGMA_MAX = 0.01, 80.0
BRIGHT = dict.fromkeys(SEQUENCES, "bright")
WEIGHTS = {"t1": 1.0, "t1ce": 3.0, "flair": 6.0}
FLAIR = {"fusion_weights": {"t1": 0.0, "t1ce": 0.0, "flair": 1.0}}
ONE_STEP = torch.tensor([SIGMA_MAX, 0.0])
FAST = {
    "sequences": SEQUENCES,
    "errors": BRIGHT,
    "fusion_weights": WEIGHTS,
    "sigmas": geometric_sigmas(3, SIGMA_MIN, SIGMA_MAX),
    "amp": False,
}


class Denoiser:
    """In place of the network: draws ``channels`` sequences together, each by :meth:`clean`."""

    def __init__(self, channels: int = 3) -> None:
        self.channels, self.calls = channels, []

    def __call__(self, x, sigma, condition, present=None):
        self.calls.append((x.clone(), float(sigma)))
        assert x.shape[1] == self.channels
        full = torch.full_like(x, 1e9)  # of absent sequences it means nothing
        shown = list(range(self.channels)) if present is None else present[0].nonzero()[:, 0].tolist()
        full[:, shown] = self.clean(x[:, shown], float(sigma), condition[:, shown], shown)
        return full

    def clean(self, x: torch.Tensor, sigma: float, condition: torch.Tensor, shown: list[int]) -> torch.Tensor:
        raise NotImplementedError


class Healthy(Denoiser):
    """Knows the healthy brain by heart."""

    def clean(self, x, sigma, condition, shown):
        return TISSUE.expand_as(x)


class Unchanged(Denoiser):
    def clean(self, x, sigma, condition, shown):
        return condition


class Mixing(Denoiser):
    """Depends on all it is given, and on its neighbours in the slice."""

    def clean(self, x, sigma, condition, shown):
        return torch.tanh(0.3 * x + 0.5 * condition.roll(1, -1) + x.roll(2, -2) * condition) + 0.01 * sigma


class SampleBySample(Denoiser):
    """The healthy brain and so much more, another amount in each call; every second sample is drawn mirrored."""

    def __init__(self, more: list[float]) -> None:
        super().__init__()
        self.more = more

    def clean(self, x, sigma, condition, shown):
        call = len(self.calls) - 1
        return ((TISSUE.flip(0) if call % 2 else TISSUE) + self.more[call]).expand_as(x)


class OneSided(Denoiser):
    """Takes 0.1 off the first half of the rows, whatever is there."""

    def clean(self, x, sigma, condition, shown):
        return condition - 0.1 * (torch.arange(x.shape[2]) < x.shape[2] // 2).float()[:, None]


class LinearGaussian(Denoiser):
    """Exact for healthy images N(M, C), each pixel by itself, seen in the patient's as these plus N(0, R)."""

    M = torch.tensor([0.4, 0.5, 0.6])
    C = torch.tensor([[0.06, 0.02, -0.01], [0.02, 0.04, 0.0], [-0.01, 0.0, 0.08]])
    R = torch.diag(torch.tensor([0.02, 0.05, 0.04]))

    def posterior(self, condition: torch.Tensor, shown: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean ``B P X Y`` and covariance ``P P``."""
        mean, prior, noise = self.M[shown], self.C[shown][:, shown], self.R[shown][:, shown]
        gain = prior @ torch.linalg.inv(prior + noise)
        centred = condition - mean[:, None, None]
        return mean[:, None, None] + torch.einsum("pq,bqxy->bpxy", gain, centred), prior - gain @ prior

    def clean(self, x, sigma, condition, shown):
        mean, covariance = self.posterior(condition, shown)
        kept = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(len(shown)))
        return mean + torch.einsum("pq,bqxy->bpxy", kept, x - mean)


def patient(change: float = 0.0, absent: tuple[str, ...] = (), brain: torch.Tensor = BRAIN) -> torch.Tensor:
    """``4 X Y Z``: all sequences, changed in the lesion by so much in half-median units, and the brain mask."""
    images = [unit * (TISSUE[..., None] + change * LESION) * brain - 3 for unit in UNITS]
    images = [image * torch.nan if name in absent else image for name, image in zip(SEQUENCES, images, strict=True)]
    return torch.stack([*images, brain])


def run(network: Any, volume: torch.Tensor, **settings: Any) -> torch.Tensor:
    """``5 X Y Z``: map, healthy t1, t1ce and flair, standard deviation."""
    return TSGMInferer(**{**FAST, **settings})(volume[None], network)[0]


def close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5, equal_nan=True)


def share(*names: str) -> dict[str, float]:
    return {name: WEIGHTS[name] / sum(WEIGHTS[n] for n in names) for name in names}


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


def start_of(network: Denoiser) -> torch.Tensor:
    return torch.cat([x for x, sigma in network.calls if sigma == SIGMA_MAX])


class TestNoise:
    def test_starts_from_the_highest_noise_level(self):
        network = Healthy()
        run(network, patient(), samples=50)
        start = start_of(network) / SIGMA_MAX
        assert abs(float(start.mean())) < 5 / math.sqrt(start.numel())
        assert abs(float(start.var()) - 1) < 5 * math.sqrt(2 / start.numel())

    def test_every_sample_slice_and_sequence_has_its_own(self):
        network = Healthy()
        run(network, patient(), samples=5)
        fields = start_of(network).flatten(2).flatten(0, 1)
        assert len(fields) == 5 * 3 * 3
        assert torch.corrcoef(fields).fill_diagonal_(0).abs().max() < 6 / SIZE

    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "ancestral", "predictor_corrector"])
    def test_neither_batches_nor_other_slices_change_a_slice(self, sampler: str):
        settings, volume = {"sampler": sampler, "samples": 2}, patient(0.4)
        found = run(Mixing(), volume, batch_size=64, **settings)
        for size in (1, 4):
            close(run(Mixing(), volume, batch_size=size, **settings), found)
        alone = run(Mixing(), patient(0.4, brain=BRAIN * torch.tensor([0, 0, 1, 0])), **settings)
        close(alone[..., 2], found[..., 2])
        assert not alone[0][..., 3].any() and found[0][..., 3].any()
        assert not torch.allclose(run(Mixing(), volume, seed=1, **settings), found)

    def test_a_slice_alone_has_the_same_noise_to_the_bit(self):
        beside, alone = Healthy(), Healthy()
        run(beside, patient(), samples=2)
        run(alone, patient(brain=BRAIN * torch.tensor([0, 0, 1, 0])), samples=2)
        assert torch.equal(start_of(beside)[[1, 4]], start_of(alone))

    def test_volumes_of_a_batch_do_not_mix(self):
        inferer = TSGMInferer(**FAST)
        volumes = [patient(0.4), patient(-0.2, absent=("t1",))]
        both = inferer(torch.stack(volumes), Mixing())
        for volume, found in zip(volumes, both, strict=True):
            close(found, run(Mixing(), volume))
        facts = facts_of_batch(both)
        assert [given["sequences"] for given in facts] == ["t1 t1ce flair", "t1ce flair"]
        assert [given["network_evaluations"] for given in facts] == [9, 9]
        assert facts_of_batch(inferer(volumes[0][None], Mixing())) == facts[:1], "of this call alone"


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


class TestAbsentSequences:
    def test_are_not_drawn_and_the_others_take_their_weight(self):
        found = run(Healthy(), patient(0.4, ("t1ce",)))
        weights = share("t1", "flair")
        close(found[0], 0.4 * (weights["t1"] * UNITS[0] + weights["flair"] * UNITS[2]) * LESION)
        assert found[2].isnan().all() and found[[0, 1, 3, 4]].isfinite().all()

    def test_are_not_shown_to_the_network(self):
        class Watching(Healthy):
            def __call__(self, x, sigma, condition, present=None):
                assert present.tolist() == [[1, 0, 1]] * len(x)
                assert not x[:, 1].any() and not condition[:, 1].any()
                return super().__call__(x, sigma, condition, present)

        run(Watching(), patient(0.4, ("t1ce",)))

    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "ancestral", "predictor_corrector"])
    def test_change_nothing_for_a_network_that_draws_each_sequence_on_its_own(self, sampler: str):
        settings = {"sampler": sampler, "samples": 2}
        together = run(Mixing(1), patient(0.4), **settings)
        for n, name in enumerate(SEQUENCES):
            alone = run(Mixing(1), patient(0.4, tuple(s for s in SEQUENCES if s != name)), **settings)
            close(alone[1 + n], together[1 + n])

    def test_leave_the_noise_of_the_others_as_it_was(self):
        network, without = Healthy(), Healthy()
        run(network, patient())
        run(without, patient(absent=("t1",)))
        assert torch.equal(start_of(network)[:, 1:], start_of(without)[:, 1:])

    def test_one_must_be_there(self):
        with pytest.raises(ValueError, match="no sequence given"):
            run(Healthy(), patient(absent=tuple(SEQUENCES)))

    def test_one_must_weigh(self):
        with pytest.raises(ValueError, match="t1 given, but only others weigh"):
            run(Healthy(), patient(absent=("t1ce", "flair")), fusion_weights={"t1": 0.0, "t1ce": 0.0, "flair": 1.0})


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


@pytest.mark.parametrize("errors", [{**BRIGHT, "flair": "squared"}, {"t1": "bright", "t1ce": "bright"}])
def test_a_missing_or_unknown_error_is_refused(errors: dict[str, str]):
    with pytest.raises(ValueError, match="errors needs one of bright, dark, absolute for flair, got"):
        TSGMInferer(**{**FAST, "errors": errors})


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


class TestIntensityFusion:
    OPTIONS = {"sequences": SEQUENCES, "errors": {"t1": "dark", "t1ce": "absolute", "flair": "bright"}}

    @pytest.mark.parametrize(
        ("absent", "of_t1", "of_flair"),
        [((), -0.4 / 1.4, 1 / 1.4), (("t1ce",), -0.4 / 1.4, 1 / 1.4), (("t1",), 0.0, 1.0), (("flair",), -1.0, 0.0)],
    )
    def test_is_flair_less_a_share_of_t1(self, absent: tuple[str, ...], of_t1: float, of_flair: float):
        inferer = IntensityFusionInferer(**self.OPTIONS, fusion_weights={"t1": 0.4, "t1ce": 0.0, "flair": 1.0})
        volume = patient(0.4)
        result = inferer(patient(0.4, absent)[None], torch.nn.Identity())
        found = result[0]
        close(found[0], of_t1 * (volume[0] + 3) + of_flair * (volume[2] + 3))
        present = [n for n, name in enumerate(SEQUENCES) if name not in absent]
        assert (found[1:4][present] == -3).all() and not found[4].any()
        assert facts_of_batch(result)[0]["network_evaluations"] == 0
