"""MMCCD with networks in closed form: maps, units and counts that are known beforehand.

The brains are in median units times ``UNIT``; a flair value v looks like ``CONTRAST[sequence] * v`` in a sequence.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from shared.anomaly.residuals import ResidualRule
from shared.brains.shading import ShadingRemoval
from shared.brains.whole_head import WHOLE_HEAD
from shared.diffusion.noise_levels import even_timesteps, linear_alphas_cumprod, vp_sigmas
from shared.methods.mmccd.inferer import CycleInferer
from shared.methods.mmccd.sampling import StripeSampling
from shared.methods.mmccd.stripes import StripeGrid
from shared.runs.seeds import derive_seed
from tests.helpers.facts import facts_of_batch

SIZE, UNIT = 16, 1.25
CONTRAST = {"flair": 1.0, "t1": -0.5, "t2": 2.0}
X, Y = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
HEALTHY = torch.tensor([-1.0, 0.0, 1.0, 0.0])[(X + 2 * Y) % 4]  # its median is 0, also with a small lesion
BRAIN = torch.zeros(SIZE, SIZE, 4)  # slice 1 is empty
BRAIN[2:14, 1:15, 0] = BRAIN[3:13, 2:14, 2] = BRAIN[4:12, 2:14, 3] = 1
LESION = torch.zeros(SIZE, SIZE, 4)
LESION[6:9, 5:8, 2] = 1
ONE_STEP = StripeSampling(timesteps=(999,))
FAST = {"sequence": "flair", "grid": StripeGrid(4, 4), "sampling": ONE_STEP, "amp": False}
BRIGHT, DARK = ResidualRule("bright"), ResidualRule("dark")


class PerfectCycle(torch.nn.Module):
    """f draws the healthy brain, which it knows by heart; g translates, wrong by ``bias`` of its source."""

    def __init__(self, *others: str, gain: float = 1.0, **bias: float) -> None:
        super().__init__()
        self.others, self.gain, self.bias = list(others or ["t1"]), gain, bias

    def intermediates(self, sequence: str) -> list[str]:
        return self.others

    def draw(self, source, target, noisy, timesteps, masked):
        return (CONTRAST[target] * HEALTHY).expand_as(noisy)

    def translate(self, source, target, image):
        return self.gain * CONTRAST[target] / CONTRAST[source] * image + self.bias.get(source, 0.0)


class Mixing(PerfectCycle):
    """Networks whose output depends on all they are given, and on its neighbours."""

    def draw(self, source, target, noisy, timesteps, masked):
        return 0.3 * noisy + 0.5 * masked.roll(1, -1) + 0.001 * timesteps[:, None, None, None]

    def translate(self, source, target, image):
        return 1.1 * image + 0.1 * image.roll(2, -2)


class GaussianPosterior(PerfectCycle):
    """f is the exact denoiser of the target N(MEAN, STD^2), whatever the condition; g changes nothing."""

    MEAN, STD = 0.7, 0.5

    def draw(self, source, target, noisy, timesteps, masked):
        kept = linear_alphas_cumprod()[timesteps.round().long()][:, None, None, None]
        sigma2 = (1 - kept) / kept
        return ((self.STD**2 * noisy / kept.sqrt() + sigma2 * self.MEAN) / (self.STD**2 + sigma2)).float()

    def translate(self, source, target, image):
        return image


def old_units(image: torch.Tensor, brain: torch.Tensor = BRAIN, unit: float = UNIT) -> torch.Tensor:
    return torch.where(brain > 0, (image + 3) * unit - 3, -3.0)


def subject(height: float = 0.0, brain: torch.Tensor = BRAIN) -> torch.Tensor:
    """``2 X Y Z``: flair, whose lesion is so much higher, and brain mask."""
    return torch.stack([old_units(HEALTHY[..., None], brain) + height * LESION * brain, brain])


def run(network: torch.nn.Module, volume: torch.Tensor, **settings: Any) -> torch.Tensor:
    """``2 X Y Z``: anomaly map and reconstruction."""
    return CycleInferer(**{**FAST, **settings})(volume[None], network)[0]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


class TestMap:
    @pytest.mark.parametrize("stride", [4, 3])
    @pytest.mark.parametrize(
        ("error", "height", "expected"),
        [("bright", 2, 2), ("bright", -2, -2), ("dark", -2, 2), ("dark", 2, -2), ("squared", 2, 4), ("squared", -2, 4)],
    )
    def test_height_of_a_lesion_in_units_of_the_input(self, error: str, height: float, expected: float, stride: int):
        settings = {"residual": ResidualRule(error), "grid": StripeGrid(4, stride)}
        anomaly, reconstruction = run(PerfectCycle(), subject(height), **settings)
        close(anomaly, expected * LESION)
        close(reconstruction, subject()[0])

    @pytest.mark.parametrize("mode", ["masked", "cyclic_unet"])
    @pytest.mark.parametrize("error", ["bright", "dark", "squared"])
    def test_healthy_brain_and_empty_slices(self, error: str, mode: str):
        anomaly, reconstruction = run(PerfectCycle(), subject(), residual=ResidualRule(error), mode=mode)
        close(anomaly, torch.zeros_like(BRAIN))
        close(reconstruction, subject()[0])
        assert (reconstruction[BRAIN == 0] == -3).all()

    @pytest.mark.parametrize(("error", "sign"), [("bright", 1), ("dark", -1)])
    def test_tissue_can_be_expected_where_fluid_was_reconstructed(self, error: str, sign: int):
        """HEALTHY is -1, 0 or 1 about its median: what lies on the other side is expected at the median."""
        rule = ResidualRule(error, beyond_tissue=True)
        anomaly, reconstruction = run(PerfectCycle(), subject(2 * sign), residual=rule)
        short = (sign * HEALTHY[..., None]).clamp(max=0) * UNIT
        close(anomaly, (2 * LESION + short) * BRAIN)
        close(reconstruction, subject()[0])

    def test_fluid_is_not_counted(self):
        volume = subject(-2)
        darkest = float(volume[0][LESION > 0].max())
        all_fluid, none = (ResidualRule("dark", fluid_below=limit) for limit in (darkest + 0.1, -10.0))
        assert run(PerfectCycle(), volume, residual=all_fluid)[0][LESION > 0].abs().max() == 0
        close(run(PerfectCycle(), volume, residual=none)[0], 2 * LESION)

    def test_interpolated_rim_outside_the_brain_changes_nothing(self):
        volume = subject(2)
        rim = volume.clone()
        rim[0] += 1.5 * (1 - BRAIN)
        close(run(PerfectCycle(), rim, residual=BRIGHT), run(PerfectCycle(), volume, residual=BRIGHT))

    def test_shading_is_removed_from_all_slices_and_given_back_to_the_reconstruction(self):
        brightness = torch.exp(0.03 * (X - 7.5))[..., None] * BRAIN
        healthy = subject()
        shaded = torch.stack([(healthy[0] + 3) * brightness - 3, healthy[1]])
        seen, _ = run(PerfectCycle(), shaded, residual=BRIGHT)
        settings = {**FAST, "residual": BRIGHT, "shading": ShadingRemoval(degree=1)}
        result = CycleInferer(**settings)(shaded[None], PerfectCycle())
        anomaly, reconstruction = result[0].as_tensor()
        assert seen.abs().max() > 0.5 > 0.05 > anomaly.abs().max()
        torch.testing.assert_close(reconstruction[BRAIN > 0], shaded[0][BRAIN > 0], atol=0.05, rtol=0)
        assert facts_of_batch(result)[0]["shading"] == pytest.approx(float(brightness[BRAIN > 0].log().std()), rel=0.05)

        heads_only = CycleInferer(**{**settings, "shading": ShadingRemoval(degree=1, heads_only=True)})
        prepared_and_head = MetaTensor(torch.stack([shaded, shaded]), meta={WHOLE_HEAD: torch.tensor([False, True])})
        prepared, head = heads_only(prepared_and_head, PerfectCycle()).as_tensor()
        torch.testing.assert_close(prepared[0], seen)
        torch.testing.assert_close(head[0], anomaly)

    def test_fit_undoes_a_wrong_contrast(self):
        network = PerfectCycle(gain=0.8, t1=0.1)
        assert run(network, subject(2), residual=BRIGHT)[0][LESION == 0].abs().max() > 0.1
        anomaly, reconstruction = run(network, subject(2), residual=ResidualRule("bright", fit_intensities=True))
        close(anomaly, 2 * LESION)
        close(reconstruction, subject()[0])

    def test_cyclic_unet_goes_to_and_fro(self):
        """A translation of all of the slice returns the lesion, too; what is left are the errors of both g."""
        network = PerfectCycle(flair=-0.1, t1=0.3)
        anomaly, reconstruction = run(network, subject(2), mode="cyclic_unet", residual=DARK)
        returned = 0.3 + (-0.1) * CONTRAST["flair"] / CONTRAST["t1"]
        close(anomaly, returned * UNIT * BRAIN)
        close(reconstruction, subject(2)[0] + returned * UNIT * BRAIN)

    def test_cyclic_unet_knows_the_background_between_the_translations(self):
        network, brain = Mixing(), BRAIN.permute(2, 0, 1)[:, None] > 0
        image = torch.where(brain, HEALTHY, -3.0)
        between = torch.where(brain, network.translate("flair", "t1", image), -3.0)
        returned = network.translate("t1", "flair", between).permute(1, 2, 3, 0)[0]
        close(run(network, subject(), mode="cyclic_unet")[1], old_units(returned))

    def test_direct_translates_the_companions(self):
        flair, brain = subject(2)
        t1, t2 = (old_units(CONTRAST[s] * HEALTHY[..., None], unit=u) for s, u in (("t1", 0.75), ("t2", 1.5)))
        volume = torch.stack([flair, t1, t2, brain])
        settings = {"mode": "direct", "companions": ["t1", "t2"], "residual": BRIGHT}
        close(run(PerfectCycle(), volume, **settings)[0], 2 * LESION)
        anomaly, reconstruction = run(PerfectCycle(t1=0.2, t2=-0.6), volume, **settings)
        close(anomaly, 2 * LESION + 0.2 * UNIT * BRAIN)
        close(reconstruction, subject()[0] - 0.2 * UNIT * BRAIN)

    @pytest.mark.parametrize(("error", "expected"), [("bright", 0.1 * UNIT), ("squared", 0.1 * UNIT**2)])
    def test_cycles_over_two_intermediates_are_averaged(self, error: str, expected: float):
        network = PerfectCycle("t1", "t2", t1=0.2, t2=-0.4)  # mean -0.1, mean square 0.1
        close(run(network, subject(), residual=ResidualRule(error))[0], expected * BRAIN)


def noise(purpose: str, *key: int) -> torch.Tensor:
    return torch.randn(1, SIZE, SIZE, generator=torch.Generator().manual_seed(derive_seed(0, purpose, *key)))


def masked_cycle(volume: torch.Tensor, network: PerfectCycle, width: int, stride: int) -> torch.Tensor:
    """Sum over the stripes of m E / sum of m, and of m x, one slice, one stripe and one step at a time."""
    result = torch.stack([torch.zeros_like(volume[0]), torch.full_like(volume[0], -3)])
    for z in (0, 2, 3):
        image, brain = (volume[0, ..., z] + 3) / UNIT - 3, volume[1, ..., z] > 0
        counts, error, back = (torch.zeros(SIZE, SIZE) for _ in range(3))
        starts = range(0, SIZE, stride)
        for r, (axis, start) in enumerate((axis, start) for axis in (X, Y) for start in starts):
            hidden = (axis >= start) & (axis < start + width)
            masked = torch.where(hidden & brain, noise("condition", z, r), image)[None]
            drawn = network.draw("flair", "t1", noise("start", z, r)[None], torch.tensor([999.0]), masked)
            returned = network.translate("t1", "flair", torch.where(brain, drawn, -3.0))[0, 0]
            counts += hidden
            error += hidden * (returned - image) ** 2
            back += hidden * returned
        result[0, ..., z] = torch.where(brain, error / counts * UNIT**2, 0.0)
        result[1, ..., z] = torch.where(brain, (back / counts + 3) * UNIT - 3, -3.0)
    return result


class TestStripes:
    @pytest.mark.parametrize(("width", "stride"), [(4, 4), (4, 2), (6, 5), (16, 16)])
    def test_average_equals_a_plain_loop(self, width: int, stride: int):
        found = run(Mixing(), subject(2), grid=StripeGrid(width, stride))
        close(found, masked_cycle(subject(2), Mixing(), width, stride))

    @pytest.mark.parametrize("sampler", ["euler", "ancestral"])
    def test_neither_batches_nor_other_slices_change_the_map(self, sampler: str):
        sampling = StripeSampling((999, 600, 200), sampler)
        settings = {"sampling": sampling}
        once, seven, all_of_them = (run(Mixing(), subject(2), batch_size=n, **settings) for n in (1, 7, 64))
        close(once, all_of_them)
        close(seven, all_of_them)
        inferer = CycleInferer(**{**FAST, **settings})
        both = inferer(torch.stack([subject(-1), subject(2)]), Mixing())
        close(both[1], all_of_them)
        assert len(facts_of_batch(both)) == 2 and not torch.allclose(both[0], both[1])
        alone = subject(2, BRAIN * torch.tensor([0, 0, 1, 0]))
        close(run(Mixing(), alone, **settings)[..., 2], all_of_them[..., 2])
        assert not torch.allclose(run(Mixing(), subject(2), sampling=replace(sampling, seed=1)), all_of_them)

    @pytest.mark.parametrize(("others", "steps"), [(["t1"], 1), (["t1"], 3), (["t1", "t2"], 2)])
    def test_evaluations_are_those_of_stripes_that_meet_the_brain(self, others: list[str], steps: int):
        inferer = CycleInferer(**{**FAST, "sampling": StripeSampling(even_timesteps(steps))})
        result = inferer(subject()[None], PerfectCycle(*others))
        stripes = (4 + 4) + (4 + 4) + (2 + 4)  # of slices 0, 2 and 3: rows 2-13, 3-12 and 4-11, stripes of four
        drawn = stripes * len(others)
        expected = {"slices": 3, "stripes": drawn, "network_evaluations": drawn * (steps + 1)}
        assert facts_of_batch(result) == [expected]

    def test_evaluations_of_the_translations(self):
        inferer = CycleInferer(**{**FAST, "mode": "cyclic_unet"})
        result = inferer(subject()[None], PerfectCycle("t1", "t2"))
        assert facts_of_batch(result) == [{"slices": 3, "stripes": 0, "network_evaluations": 3 * 2 * 2}]

    def test_euler_follows_the_probability_flow(self):
        """Each step scales the distance to the mean by a known factor, all of them by STD / sqrt(STD^2 + sigma^2)."""
        timesteps = even_timesteps(200)
        settings = {"grid": StripeGrid(SIZE, SIZE), "sampling": StripeSampling(timesteps)}
        _, found = run(GaussianPosterior(), subject(), **settings)
        mean, std = GaussianPosterior.MEAN, GaussianPosterior.STD
        sigmas = vp_sigmas(linear_alphas_cumprod(), timesteps).tolist()
        gain = math.prod((std**2 + high * low) / (std**2 + high**2) for high, low in pairwise(sigmas))
        assert gain == pytest.approx(std / math.hypot(std, sigmas[0]), rel=0.03)
        for z in (0, 2, 3):
            starts = [noise("start", z, r)[0] * math.hypot(1, sigmas[0]) for r in (0, 1)]
            drawn = sum(mean + (start - mean) * gain for start in starts) / 2
            wanted = old_units(drawn[..., None], BRAIN[..., z, None])[..., 0]
            torch.testing.assert_close(found[..., z], wanted, atol=1e-3, rtol=0)

    def test_ancestral_sampling_draws_noise_anew_at_every_step(self):
        settings = {"grid": StripeGrid(SIZE, SIZE), "sampling": StripeSampling(even_timesteps(100), "ancestral")}
        drawn = (run(GaussianPosterior(), subject(), **settings)[1][BRAIN > 0] + 3) / UNIT - 3
        assert drawn.mean().item() == pytest.approx(GaussianPosterior.MEAN, abs=0.1)
        assert drawn.std().item() == pytest.approx(GaussianPosterior.STD / math.sqrt(2), rel=0.2)  # mean of two


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "unmasked"}, "mode is one of masked, cyclic_unet, direct"),
        ({"mode": "direct"}, "needs other sequences than 'flair'"),
        ({"mode": "direct", "companions": ["flair"]}, "needs other sequences than 'flair'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        CycleInferer(**{**FAST, **settings})
