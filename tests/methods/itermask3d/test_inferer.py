"""IterMask3D as a whole, with networks whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.brains.shading import ShadingRemoval
from shared.methods.autocast import AutocastInferer
from shared.methods.itermask3d.high_pass import high_pass
from shared.methods.itermask3d.inferer import IterativeMaskInferer, centred_noise, hide_by_noise, prepare_batch
from shared.methods.itermask3d.lesion_free_loss import LesionFreeMSELoss
from shared.methods.itermask3d.refinement import Iteration, StopRule
from shared.methods.itermask3d.residual_unet import AvgPoolResidualUNet
from shared.methods.itermask3d.subject_threshold import ThresholdCurve
from tests.helpers.facts import facts_of_batch

SIZE = 16


class Answer(torch.nn.Module):
    """A network that answers by a function of its input and remembers what it was asked."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.answer, self.asked = answer, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked.append(x.clone())
        return self.answer(x)


def brain_mask() -> torch.Tensor:
    """``1 1 X Y Z`` with 1000 voxels."""
    brain = torch.zeros(1, 1, SIZE, SIZE, SIZE)
    brain[..., 3:13, 3:13, 3:13] = 1
    return brain


def brain_image(seed: int = 0) -> torch.Tensor:
    """Random tissue on a background of -3."""
    tissue = torch.rand(1, 1, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 4 - 1
    return torch.where(brain_mask() > 0, tissue, -3.0)


def small_network() -> AvgPoolResidualUNet:
    torch.manual_seed(0)
    return AvgPoolResidualUNet(width=2).eval()


def real_volumes(count: int) -> torch.Tensor:
    """``B 2 32 32 32``, brains of different size and content."""
    volumes = []
    for seed in range(count):
        random = torch.Generator().manual_seed(seed)
        brain = torch.zeros(1, 32, 32, 32)
        brain[:, 4 : 28 - 2 * seed, 5:27, 3 + seed : 29] = 1
        tissue = torch.rand(1, 32, 32, 32, generator=random) * 4 - 1
        volumes.append(torch.cat([torch.where(brain > 0, tissue, -3.0), brain]))
    return torch.stack(volumes)


def same_facts(one: dict, other: dict) -> bool:
    return repr(sorted(one.items())) == repr(sorted(other.items()))  # NaN equals NaN


def test_hide_puts_noise_into_the_mask_only():
    image, mask, noise = brain_image(), brain_mask(), torch.randn(1, 1, SIZE, SIZE, SIZE)
    hidden = hide_by_noise(image, mask, noise)
    assert torch.equal(hidden[mask > 0], noise[mask > 0])
    assert torch.equal(hidden[mask == 0], image[mask == 0])
    assert torch.equal(hidden, (1 - mask) * image + mask * noise)
    nowhere = torch.zeros_like(mask)
    assert torch.equal(hide_by_noise(image, nowhere, torch.full_like(noise, inf)), image)


def test_noise_is_standard_normal_and_a_larger_box_has_the_same_in_its_middle():
    small, large = centred_noise((1, 1, 32, 48, 32), 7), centred_noise((1, 1, 64, 48, 48), 7)
    assert torch.equal(large[:, :, 16:48, :, 8:40], small)
    assert small.shape == (1, 1, 32, 48, 32) and centred_noise((1, 1, 8, 160, 8), 7).shape == (1, 1, 8, 160, 8)
    assert abs(float(small.mean())) < 0.02 and float(small.std()) == pytest.approx(1, abs=0.02)
    assert torch.equal(small, centred_noise((1, 1, 32, 48, 32), 7))
    assert not torch.equal(small, centred_noise((1, 1, 32, 48, 32), 8))


def prepared() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """A batch whose first volume has a lesion in voxel (1, 1, 1), and its input and target."""
    keys = ("image", "high_pass", "mask", "noise", "target")
    batch = {key: torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(i)) for i, key in enumerate(keys)}
    batch["mask"] = (batch["mask"] > 0).float()
    batch["image"] = MetaTensor(batch["image"])
    batch["brain_mask"] = torch.zeros(2, 1, 4, 4, 4)
    batch["brain_mask"][..., 1:3, 1:3, 1:3] = 1
    batch["lesion_free"] = batch["brain_mask"].clone()
    batch["lesion_free"][0, 0, 1, 1, 1] = 0
    batch["brain_mask"][0, 0, 2, 2, 2] = 0  # eroded by the augmentation
    return batch, *prepare_batch(batch, torch.device("cpu"))


def test_prepared_batch_is_the_input_and_target_of_the_paper():
    batch, inputs, target = prepared()
    assert not isinstance(inputs, MetaTensor) and not isinstance(target, MetaTensor)
    image = batch["image"].as_tensor()
    assert torch.equal(inputs[:, :1], hide_by_noise(image, batch["mask"], batch["noise"]))
    assert torch.equal(inputs[:, 1:], batch["high_pass"])
    assert torch.equal(target[:, :1], batch["target"]) and not torch.equal(target[:, :1], image)


def test_labelled_voxels_are_left_out_of_the_loss_and_all_others_count():
    _, _, target = prepared()
    assert target[:, 1].sum() == 2 * 64 - 1 and target[0, 1, 1, 1, 1] == 0
    output = torch.randn(2, 1, 4, 4, 4)
    loss = LesionFreeMSELoss()(output, target)
    squares = (output - target[:, :1]).square()
    torch.testing.assert_close(loss, (squares.sum() - squares[0, 0, 1, 1, 1]) / 127)
    output[0, 0, 1, 1, 1] = 1e3
    assert torch.equal(LesionFreeMSELoss()(output, target), loss)
    no_lesion = torch.cat([target[:, :1], torch.ones_like(target[:, 1:])], dim=1)
    torch.testing.assert_close(LesionFreeMSELoss()(output, no_lesion), torch.nn.MSELoss()(output, target[:, :1]))


@pytest.mark.parametrize("enabled", [False, True])
def test_autocast_returns_float32(enabled: bool):
    layer = torch.nn.Conv3d(2, 1, 1)
    used = []
    network = Answer(lambda x: used.append(layer(x).dtype) or layer(x))
    x = torch.randn(1, 2, 4, 4, 4)
    output = AutocastInferer(enabled)(x, network)
    assert output.dtype == torch.float32
    assert used == [torch.bfloat16 if enabled else torch.float32]
    torch.testing.assert_close(output, layer(x), atol=0.03 if enabled else 1e-6, rtol=0.03 if enabled else 0)


def test_network_sees_the_hidden_brain_and_the_edges_of_the_whole_image():
    image, brain = brain_image(), brain_mask()
    network = Answer(lambda x: image)
    inferer = IterativeMaskInferer(iteration=Iteration(ThresholdCurve((0, 50, 99))), spacing=(3, 3, 3), amp=False)
    inferer(torch.cat([image, brain], 1), network)
    first = network.asked[0]
    assert torch.equal(first[:, :1][brain == 0], image[brain == 0])
    noise = first[:, :1][brain > 0]
    assert abs(float(noise.mean())) < 0.15 and abs(float(noise.std()) - 1) < 0.1
    for x in network.asked:
        assert torch.equal(x[:, 1:], high_pass(image, (3, 3, 3)))
        changed = x[:, :1] != image
        assert not (changed & (brain == 0)).any()
        assert torch.equal(x[:, :1][changed], first[:, :1][changed])  # one noise field per volume


def test_perfect_reconstruction_means_no_anomaly():
    image, brain = brain_image(), brain_mask()
    network, inferer = Answer(lambda x: image), IterativeMaskInferer()
    result = inferer(torch.cat([image, brain], 1), network)
    assert result.shape == (1, 2, SIZE, SIZE, SIZE)
    assert result[:, 0].abs().max() == 0
    assert torch.equal(result[:, 1:], image)
    (facts,) = facts_of_batch(result)
    assert facts["threshold_rule"] == "no crossing" and facts["subject_threshold"] == inf
    assert facts["hidden_shares"] == [1.0, 0.0]
    assert facts["network_evaluations"] == len(network.asked) == 101


@pytest.mark.parametrize("percents", [tuple(range(100)), (*range(0, 95, 5), 95, 97, 99)])
def test_lesion_that_is_not_reconstructed_is_what_exceeds_the_threshold(percents: tuple[int, ...]):
    healthy, brain = brain_image(), brain_mask()
    lesion = torch.zeros_like(brain)
    lesion[..., 5:9, 6:11, 4:8] = 1  # 8 percent of the brain
    image = healthy + 2.5 * lesion
    inferer = IterativeMaskInferer(iteration=Iteration(ThresholdCurve(percents)))
    network = Answer(lambda x: healthy)
    result = inferer(torch.cat([image, brain], 1), network)
    (facts,) = facts_of_batch(result)
    assert facts["threshold_rule"] != "no crossing"
    assert torch.equal((result[:, :1] > facts["subject_threshold"]).float(), lesion)
    assert torch.allclose(result[:, :1], 6.25 * lesion, atol=1e-5)
    assert torch.equal(result[:, 1:], healthy)
    # The first pass leaves the lesion, the second finds no less.
    assert facts["hidden_shares"] == pytest.approx([1, 0.08])
    assert facts["hidden_share"] == pytest.approx(0.08)
    assert facts["mean_error"] == pytest.approx(6.25 * 0.08, rel=1e-4)
    assert facts["network_evaluations"] == len(network.asked) == len(percents) + 1


def test_errors_along_a_tangent_are_cut_at_the_analytic_percent():
    # Squared errors whose sorted values are a tan(b t): steeper than gamma beyond cos(b t) = sqrt(a b / gamma).
    a, b, gamma = 0.1, 0.015, 0.006
    percent = int(np.ceil(np.arccos(np.sqrt(a * b / gamma)) / b))
    image, brain = brain_image(), brain_mask()
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(3)) + 1
    difference = torch.zeros_like(image, dtype=torch.float64)
    difference[brain > 0] = (a * torch.tan(b * order.double() / 10)).sqrt()
    inferer = IterativeMaskInferer(iteration=Iteration(ThresholdCurve(gamma=gamma, y_limit=1e6)))
    result = inferer(torch.cat([image, brain], 1), Answer(lambda x: (image - difference).float()))
    (facts,) = facts_of_batch(result)
    assert facts["threshold_rule"] == "tangent fit" and facts["r_squared"] > 0.999
    assert facts["subject_threshold"] == pytest.approx(a * np.tan(b * percent), rel=1e-4)
    above = (result[:, 0] > facts["subject_threshold"]).sum()
    assert abs(int(above) - (1000 - 10 * percent)) <= 1
    assert facts["hidden_shares"] == pytest.approx([1, 1 - percent / 100], abs=0.002)


def test_error_outside_of_the_brain_does_not_count():
    image, brain = brain_image(), brain_mask()
    result = IterativeMaskInferer()(torch.cat([image, brain], 1), Answer(lambda x: image + 50 * (1 - brain)))
    assert result[:, 0].max() == 0


def test_single_pass_costs_one_evaluation():
    image, brain = brain_image(), brain_mask()
    network, inferer = Answer(lambda x: image + 2), IterativeMaskInferer(iteration=None, amp=False)
    result = inferer(torch.cat([image, brain], 1), network)
    assert len(network.asked) == 1
    hidden = network.asked[0][:, :1] != image
    assert torch.equal(hidden, brain > 0)
    assert torch.allclose(result[:, :1], 4 * brain, atol=1e-5)
    (facts,) = facts_of_batch(result)
    assert facts["mean_error"] == pytest.approx(4) and facts["network_evaluations"] == 1
    assert "subject_threshold" not in facts and "hidden_share" not in facts


@pytest.mark.parametrize(
    "iteration", [None, Iteration(ThresholdCurve((0, 20, 40, 60, 80, 95), gamma=0.02), StopRule(passes=3))]
)
def test_batch_equals_single_in_any_order(iteration: Iteration | None):
    volumes, network = real_volumes(3), small_network()
    inferer = IterativeMaskInferer(iteration=iteration, draws=2, amp=False)
    alone, alone_facts = [], []
    for volume in volumes:
        result = inferer(volume[None], network)
        alone.append(result[0])
        (facts,) = facts_of_batch(result)
        alone_facts.append(facts)
    order = [2, 0, 1]
    together = inferer(volumes[order], network)
    assert together.shape == volumes.shape
    facts = facts_of_batch(together)
    assert len(facts) == 3
    for place, case in enumerate(order):
        assert torch.equal(together[place], alone[case])
        assert same_facts(facts[place], alone_facts[case])
    assert not torch.equal(alone[0], alone[1])


def test_two_calls_are_equal_and_the_seed_matters():
    volumes, network = real_volumes(1), small_network()
    inferer = IterativeMaskInferer(iteration=None, amp=False)
    first = inferer(volumes, network)
    torch.manual_seed(17)
    torch.randn(5)
    assert torch.equal(inferer(volumes, network), first)
    assert torch.equal(IterativeMaskInferer(iteration=None, amp=False)(volumes, network), first)
    assert not torch.equal(IterativeMaskInferer(iteration=None, amp=False, seed=1)(volumes, network), first)


def test_state_of_the_random_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    IterativeMaskInferer(iteration=None)(torch.cat([brain_image(), brain_mask()], 1), Answer(lambda x: x[:, :1]))
    assert torch.equal(torch.get_rng_state(), before)


def test_passes_are_limited():
    image, brain = brain_image(), brain_mask()

    def most_of_what_is_hidden(x: torch.Tensor) -> torch.Tensor:
        changed = (x[:, :1] != image).flatten().nonzero()[:, 0]
        answer = image.clone()
        wrong = changed[: round(0.98 * len(changed))]
        answer.view(-1)[wrong] += 2 + wrong / image.numel()
        return answer

    # The sweep finds 98 percent of what it hides wrong by 4 or more, and so a threshold below 4: each pass hides 2
    # percent less than the one before.
    network = Answer(most_of_what_is_hidden)
    inferer = IterativeMaskInferer(iteration=Iteration(ThresholdCurve(range(0, 100, 10)), StopRule(passes=4)))
    result = inferer(torch.cat([image, brain], 1), network)
    (facts,) = facts_of_batch(result)
    assert facts["threshold_rule"] != "no crossing"
    assert facts["hidden_shares"] == pytest.approx([1, 0.98, 0.96, 0.941], abs=1e-6)
    assert facts["network_evaluations"] == len(network.asked) == 13


def test_meta_tensors_are_taken():
    inputs = torch.cat([brain_image(), brain_mask()], 1)
    network = small_network()
    padded = torch.nn.functional.pad(inputs, (8,) * 6)
    inferer = IterativeMaskInferer(iteration=None, amp=False)
    assert torch.equal(torch.as_tensor(inferer(MetaTensor(padded), network)), inferer(padded, network))


def test_reconstruction_is_the_mean_over_fields_of_noise_of_consecutive_seeds():
    volumes, network = real_volumes(1), small_network()
    drawn = [IterativeMaskInferer(iteration=None, amp=False, seed=seed)(volumes, network)[:, 1] for seed in (3, 4, 5)]
    result = IterativeMaskInferer(iteration=None, amp=False, draws=3, seed=3)(volumes, network)
    torch.testing.assert_close(result[:, 1].as_tensor(), sum(r.as_tensor() for r in drawn) / 3)
    (facts,) = facts_of_batch(result)
    assert facts["network_evaluations"] == 3


def test_shading_is_removed_first_and_given_back_to_the_pseudo_healthy_brain():
    size = 40
    brain = torch.zeros(1, 1, size, size, size)
    brain[..., 3:37, 3:37, 3:37] = 1
    random = torch.Generator().manual_seed(0)
    foreground = brain * (4 + 2 * torch.rand(brain.shape, generator=random))
    field = torch.exp(torch.linspace(-0.4, 0.4, size))[:, None, None]
    shaded = 6 * foreground * field / np.percentile((foreground * field)[brain > 0], 90) - 3
    healthy = 6 * foreground / np.percentile(foreground[brain > 0], 90) - 3
    network = Answer(lambda x: healthy)
    inferer = IterativeMaskInferer(iteration=None, shading=ShadingRemoval(), amp=False)
    result = inferer(torch.cat([shaded, brain], dim=1), network)
    error, pseudo_healthy = result[0].as_tensor()
    assert error.max() < 0.01, "of a difference of up to 2.9, squared, without the removal"
    torch.testing.assert_close(pseudo_healthy, shaded[0, 0], atol=0.05, rtol=0)
    (facts,) = facts_of_batch(result)
    assert facts["shading"] == pytest.approx(float(field[3:37].log().std()), rel=0.02)
    assert facts["notes"] == [note for note in facts["notes"] if "the scan is shaded" in note] != []
    assert facts["network_evaluations"] == len(network.asked) == 3  # one finds it, one sees that it is gone, the map


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="draws is 0; at least 1"):
        IterativeMaskInferer(draws=0)
