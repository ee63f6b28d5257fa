"""MaC-DM with networks in closed form: the law of its samples, what they depend on, and what is counted.

The three channels are Gaussian, N(m, v) in each pixel, ``MEAN`` and ``DEVIATION`` before the weights.
"""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
import torch

from shared.diffusion.learned_variance import variance_bounds
from shared.diffusion.noise_levels import even_timesteps, linear_alphas_cumprod, vp_sigmas
from shared.diffusion.noisy_classifier import NoisyClassifier
from shared.diffusion.samplers import SAMPLERS
from shared.diffusion.unet import DiffusionUNet, UNetShape
from shared.methods.macdm.inferer import MaCDMInferer
from shared.methods.macdm.joint_state import JointState
from shared.methods.macdm.sampling import Sampling
from tests.helpers.facts import facts_of_batch

ABAR = linear_alphas_cumprod()
WEIGHTS = torch.tensor([1.0, 0.5, 0.25])[:, None, None]
MEAN = torch.tensor([0.1, -0.2, 0.3])[:, None, None]
DEVIATION = torch.tensor([0.12, 0.15, 0.1])[:, None, None]
SHIFT = torch.tensor([0.2, -0.1, 0.15])[:, None, None]  # of the mean, by guidance of scale 1 to class 1
DATA, INPUT = (JointState((1.0, 0.5, 0.25), mode) for mode in ("data", "input"))
GIVEN = JointState((1.0, 0.5, 0.25), masks_given=True)
STATES = pytest.mark.parametrize("state", [DATA, INPUT, GIVEN], ids=["data", "input", "masks_given"])


class Gaussian(torch.nn.Module):
    """Exact in the state: what it is given with the weights of "input" it divides by them first."""

    def __init__(self, state: JointState) -> None:
        super().__init__()
        scale = WEIGHTS if state.weight_mode == "data" else torch.ones_like(WEIGHTS)
        self.seen, self.given = WEIGHTS / scale, []
        self.channels, self.mean, self.variance = state.channels, scale * MEAN, (scale * DEVIATION) ** 2

    def clean(self, network_input: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """State, x0 and sigma, without weights of the network; the state variance-exploding."""
        assert network_input.dtype == t.dtype == torch.float32 and (t == t[0]).all()
        self.given.append((network_input, int(t[0]), torch.is_autocast_enabled("cpu")))
        sigma = float(vp_sigmas(ABAR, [int(t[0])])[0])
        x = network_input / self.seen * math.sqrt(1 + sigma**2)
        return x, (self.variance * x + sigma**2 * self.mean) / (self.variance + sigma**2), sigma


class Denoiser(Gaussian):
    """Epsilon and, for the steps along ``timesteps``, the variance with which those are exact."""

    def __init__(self, state: JointState = DATA, steps: int = 10, level: float = 1.0) -> None:
        super().__init__(state)
        self.next = dict(pairwise([*even_timesteps(steps, round(1000 * level)), -1]))

    def forward(self, network_input: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x, x0, sigma = self.clean(network_input, t)
        v = torch.zeros_like(x)
        if (after := self.next.get(int(t[0]), -1)) >= 0:
            sigma_next = float(vp_sigmas(ABAR, [after])[0])
            least, largest = variance_bounds(sigma, sigma_next)
            left = self.variance * sigma**2 / (self.variance + sigma**2)
            best = least + (1 - sigma_next**2 / sigma**2) ** 2 * left
            v = ((best / least).log() / math.log(largest / least)).expand_as(x)
        return torch.cat([part[:, : self.channels] for part in ((x - x0) / sigma, 2 * v - 1)], dim=1)


class Tilt(Gaussian):
    """Logits that are linear in x0; beside a third class of nearly all probability the others' are linear too."""

    def forward(self, network_input: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        _, x0, _ = self.clean(network_input, t)
        tilt = SHIFT * (self.mean / MEAN) / self.variance
        z = (tilt * x0)[:, : self.channels].flatten(1).sum(1)
        return torch.stack([-z, z, torch.full_like(z, 1e7)], dim=1)


def run(network: torch.nn.Module, inputs: torch.Tensor, labels: Any = None, keys: Any = None, **settings: Any):
    """Samples and facts; the settings are those of the Inferer and of its sampling."""
    given = {field.name: settings.pop(field.name) for field in fields(Sampling) if field.name in settings}
    sampling = Sampling(**{"steps": 10, "guidance": 0.0, **given})
    inferer = MaCDMInferer(**{"state": DATA, "alphas_cumprod": ABAR, "amp": False, **settings}, sampling=sampling)
    labels = torch.arange(len(inputs)) % 2 if labels is None else torch.tensor(labels)
    keys = [f"case {n}" for n in range(len(inputs))] if keys is None else keys
    drawn = inferer(inputs, network, class_label=labels, keys=keys)
    return drawn, facts_of_batch(drawn)


def sources(count: int = 2, size: int = 8, state: JointState = DATA) -> torch.Tensor:
    """Samples of the data, packed."""
    x = MEAN + DEVIATION * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))
    return x if state.weight_mode == "input" else WEIGHTS * x


def moments(found: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """All cases have this mean ``C 1 1``, or ``B C X Y``, and variance, to 4.5 standard errors in each channel."""
    off = ((found - mean) / variance.sqrt()).transpose(0, 1).flatten(1)
    assert off.mean(dim=1).abs().max() < 4.5 / math.sqrt(off.shape[1])
    assert (off.var(dim=1) - 1).abs().max() < 4.5 * math.sqrt(2 / off.shape[1])


def kept(network: Gaussian, steps: int, level: float = 1.0) -> torch.Tensor:
    """Share of the variance, ``C 1 1``, after the last step, which is to the expected image."""
    sigma = float(vp_sigmas(ABAR, even_timesteps(steps, round(1000 * level))[-1:])[0])
    return network.variance / (network.variance + sigma**2)


class TestLaw:
    @STATES
    @pytest.mark.parametrize(("sampler", "steps"), [("learned_variance", 50), ("dpmpp_2m", 25)])
    @pytest.mark.parametrize("guidance", [0.0, 1.0, -0.5])
    def test_mean_and_variance(self, sampler: str, steps: int, guidance: float, state: JointState):
        network, drawn = Denoiser(state, steps), slice(0, state.channels)
        found, _ = run(
            *(network, torch.zeros(8, 3, 48, 48)),
            **{"state": state, "classifier": Tilt(state), "steps": steps, "sampler": sampler, "guidance": guidance},
        )
        share = kept(network, steps)[drawn]
        if sampler == "dpmpp_2m":  # its law, from 0 and from 1, in float64
            sigmas, v = vp_sigmas(ABAR, even_timesteps(steps)), network.variance[drawn].flatten().double()
            start = torch.tensor([[0.0], [1.0]]).double().expand(2, state.channels)
            final = SAMPLERS[sampler](lambda x, sigma: v / (v + sigma**2) * x, start, sigmas)
            share = (final[1] ** 2 * (1 + sigmas[0] ** 2) / v)[:, None, None].float()
        for label in (0, 1):
            shift = guidance * (2 * label - 1) * SHIFT
            moments(found[label::2, drawn], (MEAN + shift)[drawn], share * DEVIATION[drawn] ** 2)

    @STATES
    @pytest.mark.parametrize("level", [0.02, 0.2, 0.5])
    def test_from_an_image_it_is_that_of_the_images_as_noisy(self, level: float, state: JointState):
        source, drawn = sources(8, 48, state), slice(0, state.channels)
        found, _ = run(Denoiser(state, 10, level), source, state=state, level=level)
        network = Gaussian(state)
        sigma2 = float(vp_sigmas(ABAR, [round(1000 * level) - 1])[0]) ** 2
        share = network.variance / (network.variance + sigma2)
        mean = (share * source + (1 - share) * network.mean) / (network.mean / MEAN)
        variance = DEVIATION**2 * (kept(network, 10, level) - share**2)  # less that of the image
        moments(found[:, drawn], mean[:, drawn], variance[drawn])

    def test_distance_to_the_image_grows_with_the_level_and_at_level_1_it_is_ignored(self):
        def distance(level: float) -> float:
            found, _ = run(Denoiser(DATA, 10, level), sources(), level=level)
            return float((found - sources() / WEIGHTS).square().mean())

        distances = [distance(level) for level in (0.01, 0.02, 0.05, 0.1)]
        assert all(lower < higher for lower, higher in pairwise(distances))
        alone, _ = run(Denoiser(), torch.zeros_like(sources()))
        assert torch.equal(run(Denoiser(), sources())[0], alone)

    @pytest.mark.parametrize("level", [0.3, 1.0])
    def test_inversion_and_back_by_ddim_returns_the_image(self, level: float):
        source, settings = sources(), {"sampler": "euler", "inversion": True, "level": level}
        few, many = (
            (run(Denoiser(), source, steps=steps, seed=steps, **settings)[0] - source / WEIGHTS).abs().max()
            for steps in (100, 300)
        )
        assert many < 0.08 and 2 * many < few


class TestGuidance:
    def test_at_scale_0_the_class_and_the_classifier_change_nothing(self):
        settings = [{}, {"classifier": Tilt(DATA)}, {"labels": [1, 1]}]
        found = [run(Denoiser(), sources(), **options)[0] for options in settings]
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])

    @pytest.mark.parametrize("sampler", ["learned_variance", "dpmpp_2m"])
    def test_what_the_network_errs_does_not_drown_it_nor_leads_it_out_of_range(self, sampler: str):
        class Wild(Denoiser):
            def forward(self, network_input: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
                x, _, sigma = self.clean(network_input, t)
                return torch.cat([(x - 50) / sigma, torch.zeros_like(x)], dim=1)

        network = Wild()
        settings = {"classifier": Tilt(DATA), "guidance": 2.0, "steps": 2, "sampler": sampler}
        found, _ = run(network, sources(), **settings)
        expected = torch.stack([1 + 2 * sign * SHIFT for sign in (-1, 1)]).clamp(max=1)
        torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=2e-3)
        (start, _, _), (state, _, _) = network.given
        (kept, kept_next), x0 = ABAR[[999, 499]].float(), WEIGHTS * expected  # of a step of DDIM, eq. 12 of its paper
        moved = kept_next.sqrt() * x0 + ((1 - kept_next) / (1 - kept)).sqrt() * (start - kept.sqrt() * x0)
        assert sampler != "dpmpp_2m" or (state - moved).abs().max() < 1e-3, "in range at every step, not only the last"

    @STATES
    def test_masks_that_are_given_stay_and_both_networks_see_all_with_its_weights(self, state: JointState):
        size = (2, 1, 8, 8)
        radiograph, tibia, lesion = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)).round()
        source = torch.cat(state.pack(radiograph, tibia, lesion), dim=1)
        network, classifier = Denoiser(state, 1, 0.001), Tilt(state)
        settings = {"state": state, "classifier": classifier, "guidance": 1.0, "level": 0.001, "steps": 1}
        found, _ = run(network, source, **settings)
        for given, *_ in (*network.given, *classifier.given[:1]):
            expected = WEIGHTS * torch.cat([radiograph, 2 * tibia - 1, 2 * lesion - 1], dim=1)
            assert (given - expected).abs().max() < 0.05, "but for the noise of timestep 0"
            assert state is not GIVEN or torch.equal(given[:, 1:], expected[:, 1:])
        if state is GIVEN:
            assert torch.equal(found[:, 1:], torch.cat([2 * tibia - 1, 2 * lesion - 1], dim=1))


class TestNoise:
    @pytest.mark.parametrize("sampler", ["learned_variance", "ancestral", "dpmpp_2m"])
    @pytest.mark.parametrize("level", [0.5, 1.0])
    def test_a_sample_is_the_same_alone_and_in_any_batch_and_order(self, sampler: str, level: float):
        settings = {"classifier": Tilt(DATA), "guidance": 1.0, "sampler": sampler, "level": level}
        source, labels, keys = sources(5), [0, 1, 1, 0, 1], list("abcde")
        together, facts = run(Denoiser(), source, labels, keys, **settings)
        assert together[0].sub(together[1:]).abs().amax(dim=(1, 2, 3)).min() > 0.1
        order = [3, 0, 4, 2, 1]
        for size in (1, 2):
            reordered = [[values[n] for n in order] for values in (labels, keys)]
            found, told = run(Denoiser(), source[order], *reordered, batch_size=size, **settings)
            assert torch.equal(found, together[order]) and told == [facts[n] for n in order]
        assert torch.equal(run(Denoiser(), source[2:3], [1], ["c"], **settings)[0], together[2:3])
        for changed in (run(Denoiser(), source, labels, keys, seed=1, **settings)[0], together.roll(1, 0)):
            assert (changed - together).abs().amax(dim=(1, 2, 3)).min() > 0.1


class TestEvaluations:
    @pytest.mark.parametrize(("sampler", "evaluations"), [("learned_variance", 4), ("dpmpp_2m", 4), ("heun", 7)])
    @pytest.mark.parametrize("inversion", [False, True])
    @pytest.mark.parametrize("guidance", [0.0, 2.0])
    def test_counts(self, sampler: str, evaluations: int, inversion: bool, guidance: float):
        network, classifier = Denoiser(), Tilt(DATA)
        settings = {"level": 0.4, "sampler": sampler, "inversion": inversion, "guidance": guidance}
        _, facts = run(network, sources(3), steps=4, classifier=classifier, batch_size=2, **settings)
        counts = {
            "network_evaluations": evaluations + 4 * inversion,
            "classifier_evaluations": 1 + evaluations * (guidance > 0),
        }
        assert [{name: told[name] for name in counts} for told in facts] == 3 * [counts]
        for name, fake in (("network", network), ("classifier", classifier)):
            assert [len(x) for x, *_ in fake.given] == [n for n in (2, 1) for _ in range(counts[f"{name}_evaluations"])]
        assert [(told["class_label"], told["guidance"], told["level"]) for told in facts] == [
            (label, guidance, 0.4) for label in (0, 1, 0)
        ]

    def test_timesteps_go_down_evenly_from_the_level(self):
        network = Denoiser()
        run(network, sources(), steps=4, level=0.4)
        assert [t for _, t, _ in network.given] == [399, 299, 199, 99]

    def test_probability_is_that_of_the_wanted_class_given_the_sample_itself(self):
        class Bright(Gaussian):
            def forward(self, network_input: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
                assert not t.any()
                z = network_input.mean(dim=(1, 2, 3))
                return torch.stack([torch.zeros_like(z), z], dim=1)

        found, facts = run(Denoiser(), sources(), classifier=Bright(DATA))
        bright = torch.sigmoid((WEIGHTS * found).mean(dim=(1, 2, 3)))
        expected = [1 - float(bright[0]), float(bright[1])]
        assert [told["class_probability"] for told in facts] == pytest.approx(expected, abs=1e-5)
        assert [told["class_probability"] for told in run(Denoiser(), sources())[1]] == [None, None]

    def test_the_denoiser_alone_is_in_bfloat16(self):
        network, classifier = Denoiser(), Tilt(DATA)
        run(network, sources(), classifier=classifier, guidance=1.0, amp=True)
        assert all(autocast for *_, autocast in network.given)
        assert not any(autocast for *_, autocast in classifier.given)

    @pytest.mark.parametrize("sampler", ["learned_variance", "dpmpp_2m"])
    @STATES
    def test_real_networks_in_inference_mode(self, sampler: str, state: JointState):
        torch.manual_seed(0)
        shape = UNetShape(16, (1,), (), blocks=1)
        network = DiffusionUNet(3, 2 * state.channels, shape).eval()
        classifier = NoisyClassifier(3, 2, shape)
        settings = {"state": state, "classifier": classifier, "guidance": 3.0, "sampler": sampler, "steps": 3}
        expected, _ = run(network, sources(), **settings)
        assert not classifier.training
        with torch.inference_mode():
            found, _ = run(network, sources() + 0, **settings)
        torch.testing.assert_close(found, expected)
        assert found.abs().max() <= 1 and not torch.equal(found, run(network, sources(), [1, 0], **settings)[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "ddim"}, "sampler is one of .*learned_variance, got 'ddim'"),
        ({"guidance": 1.0}, "guidance is 1.0 and there is no classifier"),
        ({"level": 0.0}, "level is 0.0; choose"),
        ({"level": 1.1}, "level is 1.1; choose"),
        ({"level": 0.005}, "steps is 10; up to level 0.005 there are 5 timesteps"),
        ({"steps": 0}, "steps is 0; .* choose 1 or more"),
        ({"labels": [1]}, "1 classes and 2 keys"),
        ({"keys": ["a"]}, "2 classes and 1 keys"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        run(Denoiser(), sources(), **settings)


def test_inputs_have_three_channels():
    with pytest.raises(ValueError, match="inputs have the shape .2, 2, 8, 8.*give three channels"):
        run(Denoiser(), sources()[:, :2])
