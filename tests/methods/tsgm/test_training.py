"""What a training step of TSGM is given: pseudo-pairs, noise on the healthy side only, and what of it counts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from shared.diffusion.losses import WEIGHTS
from shared.methods.tsgm.training import PseudoPairPrepareBatch, TrainingLevels

SEQUENCES = ["t1", "t1ce", "flair"]
COUNT, SIZE = 48, 40
SIGMA_MIN, SIGMA_MAX, DIFFERENCE = 0.01, 348.0, 0.05
BLOCK = torch.zeros(3, SIZE, SIZE)
BLOCK[0, 15:24, 16:25], BLOCK[2, 15:24, 16:25] = -0.1, 0.2


class Adds(nn.Module):
    """A generator: adds so much times ``BLOCK`` in the units of 0 to 1, and something to the background."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.times = nn.Parameter(torch.tensor(times))
        self.autocast: bool | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.autocast = torch.is_autocast_enabled("cpu")
        return x + 2 * self.times * BLOCK + 0.3 * (x == -1)


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """Slices of both domains; those of the domain "tumor" have the block as their lesion."""
    generator = torch.Generator().manual_seed(3)
    made = {}
    for domain, lesion in (("healthy", 0.0), ("tumor", 1.0)):
        brain = torch.zeros(COUNT, 1, SIZE, SIZE)
        brain[:, :, 3:37, 4:36] = 1
        tissue = 0.3 + 0.4 * torch.rand(COUNT, 3, SIZE, SIZE, generator=generator)
        free = brain.clone()
        free[::2, :, 5:12, 6:10] = 0
        made |= {
            domain: (tissue + lesion * BLOCK) * brain,
            f"{domain}_brain_mask": brain,
            f"{domain}_lesion_free": free,
        }
    return made


def prepare_of(**settings: Any) -> PseudoPairPrepareBatch:
    usual: dict[str, Any] = {
        "sequences": SEQUENCES,
        "generators": nn.ModuleDict({"tumor": Adds(1.0), "healthy": Adds(-1.0)}),
        "shares": {"identical": 1.0},
        "levels": TrainingLevels((SIGMA_MIN, SIGMA_MAX), DIFFERENCE),
    }
    return PseudoPairPrepareBatch(**{**usual, **settings})


class Prepared:
    """One batch, by name."""

    def __init__(self, batch: dict[str, torch.Tensor], seed: int = 0, **settings: Any) -> None:
        torch.manual_seed(seed)
        self.noisy, target, (self.sigma, self.condition, self.present), self.keywords = prepare_of(**settings)(batch)
        self.clean, self.weight, self.counts = target.split([3, 3, 1], dim=1)


def test_layout(batch):
    made = Prepared(batch)
    assert made.noisy.shape == made.clean.shape == made.condition.shape == made.weight.shape == (COUNT, 3, SIZE, SIZE)
    assert made.sigma.shape == (COUNT,) and made.present.shape == (COUNT, 3)
    assert made.counts.shape == (COUNT, 1, SIZE, SIZE) and made.keywords == {}
    assert torch.equal(made.clean, batch["healthy"])


class TestPairs:
    def test_identical(self, batch):
        assert torch.equal(Prepared(batch).condition, batch["healthy"])

    def test_generated_by_the_generator_of_tumours_in_the_brain(self, batch):
        condition = Prepared(batch, shares={"generated": 1}).condition
        torch.testing.assert_close(condition, batch["healthy"] + BLOCK, atol=1e-6, rtol=0)

    def test_generated_intensities_do_not_fall_below_the_background(self, batch):
        dark = nn.ModuleDict({"tumor": Adds(-9.0), "healthy": Adds(0.0)})
        condition = Prepared(batch, shares={"generated": 1}, generators=dark).condition
        assert condition.min() == 0 and not condition[:, 2, 15:24, 16:25].any()

    def test_transplanted_is_what_the_other_generator_takes_off_a_real_lesion(self, batch):
        change = Prepared(batch, shares={"transplanted": 1}).condition - batch["healthy"]
        sums = change.sum(dim=(2, 3)) / BLOCK[[0, 2]].sum(dim=(1, 2))[[0, 0, 1]]
        whole = ((change[:, 2].abs() > 0.03).sum(dim=(1, 2)) >= 81).nonzero()[:, 0]  # not cut by the brain's border
        assert len(whole) > COUNT / 2
        assert sums[whole, 2].min() > 0.45 and 1.55 < sums[whole, 2].max() < 2.05
        torch.testing.assert_close(sums[whole, 0], sums[whole, 2], atol=0.1, rtol=0)
        assert not change[:, 1].any()
        changed = (change[:, 2] > 0.03).float()
        places = {tuple(one.flatten().nonzero()[0].tolist()) for one in changed[whole]}
        assert len(places) > len(whole) / 2

    def test_simulated(self, batch):
        change = Prepared(batch, shares={"simulated": 1}).condition - batch["healthy"]
        assert (change.abs().amax(dim=(2, 3)) > 0.02).all()
        assert not change[(batch["healthy_brain_mask"] == 0).expand_as(change)].any()

    def test_kinds_are_drawn_by_their_shares(self, batch):
        prepare = prepare_of(shares={"generated": 1.0, "identical": 3.0})
        torch.manual_seed(0)
        changed = [(prepare(batch)[2][1] != batch["healthy"]).flatten(1).any(dim=1) for _ in range(20)]
        share, n = torch.cat(changed).float().mean(), 20 * COUNT
        assert abs(float(share) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / n)

    def test_every_kind_at_once(self, batch):
        shares = {"generated": 0.25, "transplanted": 0.25, "simulated": 0.25, "identical": 0.25}
        made = Prepared(batch, shares=shares)
        assert torch.equal(made.clean, batch["healthy"])
        changed = (made.condition != made.clean).flatten(1).any(dim=1)
        assert 0.5 < float(changed.float().mean()) < 0.95
        generated = (made.condition - made.clean - BLOCK).abs().amax(dim=(1, 2, 3)) < 1e-5
        assert 0.05 < float(generated.float().mean()) < 0.5

    def test_noise_on_the_condition_is_its_own(self, batch):
        made = Prepared(batch, condition_noise=0.05)
        noise = made.condition - made.clean
        level = noise.flatten(1).std(dim=1)
        assert level.max() < 0.052 and 0.004 > level.min() and abs(float(level.mean()) - 0.025) < 0.006
        other = (made.noisy - made.clean) / made.sigma[:, None, None, None]
        assert abs(float((noise * other).mean()) / 0.05) < 5 / math.sqrt(noise.numel())


class TestNoise:
    def test_is_of_unit_variance_at_the_noise_level_of_each_slice(self, batch):
        made = Prepared(batch)
        noise = (made.noisy - made.clean) / made.sigma[:, None, None, None]
        pixels = 3 * SIZE**2
        assert noise.mean(dim=(1, 2, 3)).abs().max() < 5 / math.sqrt(pixels)
        assert (noise.var(dim=(1, 2, 3)) - 1).abs().max() < 5 * math.sqrt(2 / pixels)
        assert torch.corrcoef(noise[:8].flatten(2).flatten(0, 1)).fill_diagonal_(0).abs().max() < 6 / SIZE

    def test_levels_are_uniform_in_log_sigma(self, batch):
        prepare = prepare_of()
        torch.manual_seed(0)
        part = torch.cat([prepare(batch)[2][0] for _ in range(20)]).div(SIGMA_MIN).log() / math.log(
            SIGMA_MAX / SIGMA_MIN
        )
        n = len(part)
        assert 0 <= part.min() < 0.01 and 0.99 < part.max() <= 1
        assert abs(float(part.mean()) - 0.5) < 4 / math.sqrt(12 * n)
        assert abs(float(part.var()) - 1 / 12) < 4 / math.sqrt(180 * n)


class TestWhatCounts:
    @pytest.mark.parametrize("weighting", ["edm", "ve"])
    def test_weights_are_those_of_the_drawn_noise_level(self, batch, weighting: str):
        made = Prepared(batch, levels=TrainingLevels((SIGMA_MIN, SIGMA_MAX), DIFFERENCE, weighting))
        expected = WEIGHTS[weighting](made.sigma, DIFFERENCE)[:, None, None, None].expand_as(made.weight)
        assert torch.equal(made.weight, expected)

    def test_lesions_and_only_they_do_not_count(self, batch):
        lesion = torch.zeros(COUNT, 1, SIZE, SIZE)
        lesion[::2, :, 5:12, 6:10] = 1
        assert torch.equal(Prepared(batch).counts, 1 - lesion)

    def test_absent_sequences_have_no_weight(self, batch):
        made = Prepared(batch, drop_sequences=0.7)
        weighs = made.weight.flatten(2)
        assert torch.equal((weighs > 0).all(dim=2), made.present > 0)
        assert torch.equal((weighs > 0).any(dim=2), made.present > 0)
        sequence = WEIGHTS["edm"](made.sigma, DIFFERENCE)[:, None].expand(COUNT, 3)
        assert torch.equal(weighs[..., 0], sequence * made.present)


class TestPresence:
    def test_all_are_shown_where_none_is_dropped(self, batch):
        assert (Prepared(batch).present == 1).all()

    def test_parts_are_shown_as_often_as_asked_and_never_nothing(self, batch):
        prepare = prepare_of(drop_sequences=0.4)
        torch.manual_seed(0)
        drawn = [prepare(batch)[2][2] for _ in range(20)]
        assert all(set(each.sum(dim=1).tolist()) == {1.0, 2.0, 3.0} for each in drawn), "each slice for itself"
        present = torch.cat(drawn)
        assert set(present.unique().tolist()) == {0.0, 1.0}
        shown, n = present.sum(dim=1), len(present)
        for number, share in ((0, 0.0), (1, 0.2), (2, 0.2), (3, 0.6)):
            assert abs(float((shown == number).float().mean()) - share) <= 4 * math.sqrt(share * (1 - share) / n)
        for number in (1, 2):
            part = present[shown == number]
            assert (part.mean(dim=0) - number / 3).abs().max() < 4 * math.sqrt(2 / 9 / len(part))

    def test_a_part_is_never_all(self, batch):
        assert int(Prepared(batch, drop_sequences=1.0).present.sum(dim=1).max()) == 2

    def test_a_single_sequence_is_always_shown(self, batch):
        single = {key: value[:, :1] for key, value in batch.items()}
        torch.manual_seed(0)
        present = prepare_of(sequences=["flair"], drop_sequences=1.0)(single)[2][2]
        assert present.shape == (COUNT, 1) and (present == 1).all()


class TestContrast:
    def test_is_another_gamma_for_each_sequence_that_keeps_background_and_median(self, batch):
        marked = {**batch, "healthy": batch["healthy"].clone()}
        marked["healthy"][:, :, 10, 10] = 0.5
        made = Prepared(marked, contrast=1.25)
        brain = (marked["healthy_brain_mask"] > 0).expand_as(made.clean)
        assert not made.clean[~brain].any() and (made.clean[:, :, 10, 10] == 0.5).all()
        away = brain & ((marked["healthy"] - 0.5).abs() > 0.05)
        gamma = torch.where(away, (2 * made.clean).log() / (2 * marked["healthy"]).log(), torch.nan).flatten(2)
        typical = gamma.nanmean(dim=2)
        assert (gamma - typical[..., None]).nan_to_num().abs().max() < 1e-3, "one for all pixels"
        assert 0.8 - 1e-3 < typical.min() < 0.82 and 1.22 < typical.max() < 1.25 + 1e-3
        assert abs(float(typical.log().mean())) < 4 * math.log(1.25) / math.sqrt(3 * 3 * COUNT)
        assert abs(float(torch.corrcoef(typical.T)[0, 1])) < 4 / math.sqrt(COUNT)

    def test_is_that_of_the_condition_too(self, batch):
        made = Prepared(batch, contrast=1.25)
        assert torch.equal(made.condition, made.clean) and not torch.equal(made.clean, batch["healthy"])


def test_all_randomness_is_of_the_generator_of_torch(batch):
    settings = {
        "shares": dict.fromkeys(("generated", "transplanted", "simulated", "identical"), 1.0),
        "condition_noise": 0.01,
        "drop_sequences": 0.5,
        "contrast": 1.2,
    }
    first, again, other = (vars(Prepared(batch, seed, **settings)) for seed in (1, 1, 2))
    names = ("noisy", "clean", "weight", "sigma", "condition", "present")
    assert all(torch.equal(first[name], again[name]) for name in names)
    assert not any(torch.equal(first[name], other[name]) for name in names)


def test_the_batch_stays_as_it_was(batch):
    before = {key: value.clone() for key, value in batch.items()}
    Prepared(batch, shares={"generated": 1, "transplanted": 1, "simulated": 1}, contrast=1.2, condition_noise=0.1)
    assert all(torch.equal(batch[key], before[key]) for key in batch)


def test_generators_are_frozen_and_in_evaluation_mode(batch):
    generators = nn.ModuleDict({"tumor": nn.Sequential(Adds(1.0), nn.Dropout(0.5)), "healthy": Adds(-1.0)})
    prepare = prepare_of(generators=generators.train(), shares={"generated": 1.0})
    assert not any(module.training for module in generators.modules())
    assert not any(parameter.requires_grad for parameter in generators.parameters())
    torch.testing.assert_close(prepare(batch)[2][1], batch["healthy"] + BLOCK, atol=1e-6, rtol=0)


@pytest.mark.parametrize("amp", [True, False])
def test_generators_run_in_bfloat16_where_asked(batch, amp: bool):
    generators = nn.ModuleDict({"tumor": Adds(1.0), "healthy": Adds(-1.0)})
    made = Prepared(batch, generators=generators, shares={"generated": 1, "transplanted": 1}, amp=amp)
    assert [generator.autocast for generator in generators.values()] == [amp, amp]
    assert made.condition.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shares": {"generated": 0.5, "simulate": 0.5}}, "shares are of generated.*, not of simulate"),
        ({"shares": {"generated": 0.0}}, "one of the shares must be above 0"),
        ({"sequences": ["flair", "pd"], "shares": {"simulated": 1.0}}, "no lesion can be simulated on pd"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        prepare_of(**settings)


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ValueError, match="weighting is one of edm, ve, got 'snr'"):
        TrainingLevels((SIGMA_MIN, SIGMA_MAX), DIFFERENCE, weighting="snr")
