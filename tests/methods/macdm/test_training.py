"""What a training step of MaC-DM is given: the joint state with the noise of its timestep; and that it trains."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer

from shared.diffusion.hybrid_loss import HybridLoss
from shared.diffusion.noise_levels import linear_alphas_cumprod
from shared.diffusion.noisy_classifier import NoisyClassifier
from shared.diffusion.unet import DiffusionUNet, UNetShape
from shared.methods.autocast import AutocastInferer
from shared.methods.macdm.joint_state import JointState
from shared.methods.macdm.training import ClassifierPrepareBatch, JointPrepareBatch

ABAR = linear_alphas_cumprod()
WEIGHTS = (1.0, 0.5, 0.25)
VARIANTS = [("data", False), ("data", True), ("input", False), ("input", True)]
COUNT, SIZE = 64, 16
CPU = torch.device("cpu")


def batch(count: int = COUNT) -> dict[str, torch.Tensor]:
    """A tibia in the upper half, and in that of every second case a lesion, dark in the radiograph."""
    generator = torch.Generator().manual_seed(0)
    tibia, lesion = torch.zeros(2, count, 1, SIZE, SIZE)
    tibia[:, :, : SIZE // 2] = 1
    lesion[1::2, :, 2:6, 2:12] = 1
    texture = 0.1 * torch.randn(count, 1, SIZE, SIZE, generator=generator)
    radiograph = (0.5 * tibia - 1.2 * lesion + texture).clamp(-1, 1)
    label = torch.arange(count) % 2
    return {"radiograph": radiograph, "tibia_mask": tibia, "lesion_mask": lesion, "class_label": label}


def weighted(given: dict[str, torch.Tensor]) -> torch.Tensor:
    """concat(w1 x, w2 b, w3 c) of the paper, masks as -1 and 1."""
    return torch.cat(
        [
            WEIGHTS[0] * given["radiograph"],
            WEIGHTS[1] * (2 * given["tibia_mask"] - 1),
            WEIGHTS[2] * (2 * given["lesion_mask"] - 1),
        ],
        dim=1,
    )


def coefficients(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    kept = ABAR[t][:, None, None, None]
    return kept.sqrt().float(), (1 - kept).sqrt().float()


class TestJoint:
    @pytest.mark.parametrize(("mode", "masks_given"), VARIANTS)
    def test_input_is_the_clean_state_and_the_noise_of_the_target(self, mode: str, masks_given: bool):
        state = JointState(WEIGHTS, mode, masks_given)
        given = batch()
        inputs, target, (t,), keywords = JointPrepareBatch(state, ABAR)(given, CPU)
        noised = 1 if masks_given else 3
        assert keywords == {} and inputs.shape == (COUNT, 3, SIZE, SIZE) and inputs.dtype == target.dtype
        noise, x0, timestep = target.split([noised, noised, 1], dim=1)

        signal, deviation = coefficients(t)
        clean, scale = weighted(given), torch.tensor(WEIGHTS)[:noised, None, None]
        seen = noise if mode == "data" else scale * noise
        torch.testing.assert_close(inputs[:, :noised], signal * clean[:, :noised] + deviation * seen)
        torch.testing.assert_close(inputs[:, noised:], clean[:, noised:], msg="a condition has no noise")
        torch.testing.assert_close(x0, clean[:, :noised] if mode == "data" else clean[:, :noised] / scale)
        assert torch.equal(timestep, t.float()[:, None, None, None].expand_as(timestep))

    def test_timesteps_are_uniform_and_noise_is_normal_and_every_channel_has_its_own(self):
        torch.manual_seed(0)
        _, target, (t,), _ = JointPrepareBatch(JointState(WEIGHTS), ABAR)(batch(2000), CPU)
        assert t.dtype == torch.int64 and t.min() >= 0 and 990 < t.max() <= 999
        assert (torch.histc(t.float(), 10, 0, 1000) - 200).abs().max() < 5 * math.sqrt(200)
        noise = target[:, :3].transpose(0, 1).flatten(1)
        assert (torch.cov(noise) - torch.eye(3)).abs().max() < 5 * math.sqrt(2 / noise.shape[1])
        assert noise.mean(dim=1).abs().max() < 5 / math.sqrt(noise.shape[1])

    def test_draws_from_the_generator_of_torch(self):
        def draw(seed: int) -> torch.Tensor:
            torch.manual_seed(seed)
            return JointPrepareBatch(JointState(WEIGHTS), ABAR)(batch(), CPU)[0]

        assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))

    def test_nothing_of_meta_tensors_is_left(self):
        given = {key: MetaTensor(value) for key, value in batch().items()}
        for prepare in (JointPrepareBatch, ClassifierPrepareBatch):
            inputs, target, (t,), _ = prepare(JointState(WEIGHTS), ABAR)(given, CPU)
            assert not any(isinstance(part, MetaTensor) for part in (inputs, target, t))

    def test_everything_goes_to_the_device(self):
        for prepare in (JointPrepareBatch, ClassifierPrepareBatch):
            inputs, target, (t,), _ = prepare(JointState(WEIGHTS), ABAR)(batch(), torch.device("meta"))
            assert {part.device.type for part in (inputs, target, t)} == {"meta"}


class TestClassifier:
    @pytest.mark.parametrize(("mode", "masks_given"), VARIANTS)
    def test_sees_what_the_denoiser_sees_and_its_target_is_the_class(self, mode: str, masks_given: bool):
        state, found = JointState(WEIGHTS, mode, masks_given), []
        for prepare in (JointPrepareBatch, ClassifierPrepareBatch):
            torch.manual_seed(0)
            found.append(prepare(state, ABAR)(batch(), CPU))
        assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][2][0], found[1][2][0])
        assert torch.equal(found[1][1], torch.arange(COUNT) % 2) and found[1][1].dtype == torch.int64


def losses(network: torch.nn.Module, prepare: Any, loss: Any, steps: int, amp: bool) -> torch.Tensor:
    """Of each step of MONAI's trainer."""
    found = []
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=1,
        train_data_loader=[batch(16)] * steps,
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), 1e-2),
        loss_function=loss,
        inferer=AutocastInferer(enabled=amp),
        prepare_batch=prepare,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found.append(engine.state.output[0]["loss"]))
    trainer.run()
    return torch.tensor(found)


@pytest.mark.parametrize(("masks_given", "amp"), [(False, True), (True, False)])
def test_a_denoiser_trains(masks_given: bool, amp: bool):
    torch.manual_seed(0)
    state = JointState(WEIGHTS, masks_given=masks_given)
    network = DiffusionUNet(3, 2 * state.channels, UNetShape(16, (1,), (), blocks=1, dropout=0.0, patch=2))
    found = losses(network, JointPrepareBatch(state, ABAR), HybridLoss(ABAR, state.limits), 20, amp)
    assert found[0] > 1, "the network starts with epsilon 0, whose squared error is 1"
    assert found[-10:].mean() < 0.6 * found[0]


def test_a_classifier_trains():
    torch.manual_seed(0)
    network = NoisyClassifier(3, 2, UNetShape(16, (1, 2), (), blocks=1, dropout=0.0))
    found = losses(network, ClassifierPrepareBatch(JointState(WEIGHTS), ABAR), torch.nn.CrossEntropyLoss(), 40, False)
    assert found[:3].mean() > 0.6
    assert found[-20:].mean() < 0.8 * found[:3].mean()
