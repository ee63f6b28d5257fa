"""An iteration of CycleGAN, repeated by hand: which networks move, by what, and what the discriminators get to see."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import distributed, nn

from shared.methods.tsgm.cyclegan import DOMAINS, CycleGAN
from shared.methods.tsgm.cyclegan_update import CycleGANUpdate, constant_then_linear
from shared.methods.tsgm.image_pool import ImagePool

RATES = {"generators": 0.02, "discriminators": 0.05}
NO_POOLS = {domain: ImagePool(0) for domain in DOMAINS}


@pytest.fixture
def model() -> CycleGAN:
    torch.manual_seed(0)
    model = CycleGAN(in_channels=2, width=4, blocks=1, cycle=3.0, identity=2.0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def batches() -> list[dict[str, torch.Tensor]]:
    """Two of slices in [0, 1]."""
    generator = torch.Generator().manual_seed(1)
    return [{d: torch.rand(2, 2, 32, 40, generator=generator) for d in DOMAINS} for _ in range(2)]


def run(
    model: CycleGAN,
    batches: list[dict[str, torch.Tensor]],
    pools: Any = NO_POOLS,
    network: nn.Module | None = None,
    amp: bool = False,
    **rates: float,
) -> list[dict[str, float]]:
    """Train on the batches in order, with plain gradient descent; what each iteration returns."""
    of_generators, of_discriminators = (
        torch.optim.SGD(getattr(model, part).parameters(), rate) for part, rate in (RATES | rates).items()
    )
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=batches,
        network=network or model,
        optimizer=of_generators,
        loss_function=None,
        iteration_update=CycleGANUpdate(of_discriminators, pools, amp),
        decollate=False,
    )
    outputs: list[dict[str, float]] = []
    trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: outputs.append(engine.state.output))
    trainer.run()
    return outputs


def descend(network: nn.Module, loss: torch.Tensor, rate: float) -> None:
    """One step of gradient descent."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= rate * gradient


def by_hand(model: CycleGAN, batch: dict[str, torch.Tensor], judged: dict[str, torch.Tensor] | None = None) -> None:
    """The iteration as it is meant; the discriminators see the fakes before the generators' step, or those given."""
    images = {domain: 2 * image - 1 for domain, image in batch.items()}
    losses = model.generator_loss(images)
    descend(model.generators, losses.total, RATES["generators"])
    descend(model.discriminators, model.discriminator_loss(images, judged or losses.fakes), RATES["discriminators"])


def moved(model: nn.Module, start: nn.Module) -> bool:
    """Whether all weights are others; False when none is."""
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    equal = {torch.equal(a, b) for a, b in pairs if a.ndim > 1}  # biases before a norm have no gradient
    assert len(equal) == 1
    return not equal.pop()


def test_two_iterations_are_those_by_hand(model, batches):
    """Both optimizers forget the gradients of the iteration before, and of each other's loss."""
    expected, start = copy.deepcopy(model), copy.deepcopy(model)
    run(model, batches)
    for batch in batches:
        by_hand(expected, batch)
    assert moved(model.generators, start.generators) and moved(model.discriminators, start.discriminators)
    torch.testing.assert_close(model.state_dict(), expected.state_dict())


@pytest.mark.parametrize(("still", "moving"), [("generators", "discriminators"), ("discriminators", "generators")])
def test_each_step_moves_its_own_networks_alone(model, batches, still, moving):
    start = copy.deepcopy(model)
    run(model, batches, **{still: 0.0})
    assert moved(getattr(model, moving), getattr(start, moving))
    assert not moved(getattr(model, still), getattr(start, still))


def test_discriminators_judge_what_their_pools_return(model, batches):
    """Each pool gets the fakes of its domain, before the generators' step and without gradient."""
    given: dict[str, torch.Tensor] = {}
    exchanged = {domain: torch.full((2, 2, 32, 40), value) for domain, value in (("healthy", 0.3), ("tumor", -0.4))}

    def pool(domain: str) -> Any:
        return lambda fakes: given.update({domain: fakes}) or exchanged[domain]

    expected = copy.deepcopy(model)
    run(model, batches[:1], pools={domain: pool(domain) for domain in DOMAINS})
    with torch.no_grad():
        for domain, source in DOMAINS.items():
            fakes = expected.generators[domain](2 * batches[0][source] - 1)
            torch.testing.assert_close(given[domain], fakes)
            assert not given[domain].requires_grad
    by_hand(expected, batches[0], judged=exchanged)
    torch.testing.assert_close(model.state_dict(), expected.state_dict())


def test_an_iteration_returns_its_losses_as_numbers(model, batches):
    images = {domain: 2 * image - 1 for domain, image in batches[0].items()}
    losses = model.generator_loss(images)
    judged = model.discriminator_loss(images, losses.fakes)
    output = run(model, batches[:1])[0]
    assert all(type(value) is float for value in output.values())
    expected = {"loss": losses.total, "adversarial": losses.adversarial, "cycle": losses.cycle}
    expected |= {"identity": losses.identity, "discriminator": judged}
    assert output == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-5)
    parts = output["adversarial"] + 3 * output["cycle"] + 2 * output["identity"]
    assert output["loss"] == pytest.approx(parts, rel=1e-5)


def test_bfloat16_is_near_and_leaves_weights_and_pools_in_single_precision(model, batches):
    pools = {domain: ImagePool(4) for domain in DOMAINS}
    start = copy.deepcopy(model)
    fast = run(model, batches[:1], pools=pools, amp=True)[0]
    exact = run(start, batches[:1])[0]
    assert fast != exact and fast == pytest.approx(exact, rel=0.05)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {image.dtype for pool in pools.values() for image in pool.images} == {torch.float32}


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """Of this process alone."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_several_processes_can_share_it(model, batches, process_group):
    """Each step leaves half of the networks unused, which DistributedDataParallel has to be told."""
    expected = copy.deepcopy(model)
    outputs = run(expected, batches)
    wrapped, calls = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True), []
    wrapped.register_forward_pre_hook(lambda *inputs: calls.append(inputs))
    for output, alone in zip(run(model, batches, network=wrapped), outputs, strict=True):
        assert output == pytest.approx(alone)
    assert len(calls) == 2 * len(batches), "gradients are shared where the wrapper is called"
    torch.testing.assert_close(model.state_dict(), expected.state_dict())


def test_learning_rate_is_constant_for_half_of_the_epochs_then_falls_linearly_to_0():
    assert [constant_then_linear(epoch, 200) for epoch in (0, 1, 99, 100)] == [1, 1, 1, 1]
    assert [constant_then_linear(epoch, 200) for epoch in (101, 150, 199, 200)] == pytest.approx([0.99, 0.5, 0.01, 0])
    assert [constant_then_linear(epoch, 5) for epoch in range(6)] == pytest.approx([1, 1, 1, 0.8, 0.4, 0])
    assert constant_then_linear(0, 1) == 1
