"""A training stops at what is not finite, and says where, before it is learnt from or written."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer

from shared.methods.tsgm.cyclegan import CycleGAN
from shared.methods.tsgm.cyclegan_update import CycleGANUpdate
from shared.methods.tsgm.image_pool import ImagePool
from shared.runs.errors import NonFiniteLossError
from shared.training.finite_training import FiniteTraining


class Scale(torch.nn.Module):
    """One weight, which multiplies the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x


def train(cases: list[dict[str, Any]], lr: float = 0.1, **more: Any) -> tuple[SupervisedTrainer, list[int]]:
    """Learn to give 0, two cases a step, two epochs; the epochs that came to their end are returned as well."""
    network, ended = Scale(), []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=DataLoader(Dataset([{**case, "label": torch.zeros(1)} for case in cases]), batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=lr),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[FiniteTraining()],
        **more,
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: ended.append(trainer.state.epoch))
    return trainer, ended


def case(name: str, value: float) -> dict[str, Any]:
    return {"case_id": name, "image": torch.tensor([value])}


@pytest.mark.parametrize("value, said", [(float("nan"), "nan"), (float("inf"), "inf"), (1e30, "inf")])
@pytest.mark.parametrize("decollate", [True, False])
def test_step_learning_rate_and_cases_are_named_and_nothing_is_learnt(value, said, decollate):
    trainer, ended = train([case(c, 1.0) for c in "abcd"] + [case("e", value), case("f", 1.0)], decollate=decollate)
    learnt = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: learnt.append(trainer.network.weight.item()))
    expected = f"loss is {said} at step 3 (epoch 1), learning rate 0.1, cases e, f. Look at these cases"
    with pytest.raises(NonFiniteLossError, match=f"^{re.escape(expected)}"):
        trainer.run()
    assert ended == [] and trainer.network.weight.item() == learnt[-1] and len(learnt) == 2


def test_weights_that_the_last_step_of_an_epoch_spoils_stop_it_before_they_are_written():
    trainer, ended = train([case("a", 1e15), case("b", 1e15)], lr=1e30)
    with pytest.raises(
        NonFiniteLossError, match=r"1 of the network's weights, such as weight, .* at step 1 \(epoch 1\)"
    ):
        trainer.run()
    assert ended == []


def test_a_finite_training_goes_on_and_cases_may_be_unnamed():
    assert train([case("a", 1.0), case("b", 0.5)])[1] == []
    trainer, ended = train([case("a", 1.0), case("b", 0.5)])
    trainer.run()
    assert ended == [1, 2]
    trainer, _ = train([{"image": torch.tensor([float("nan")])}])
    with pytest.raises(NonFiniteLossError, match="cases unnamed"):
        trainer.run()


@pytest.mark.parametrize("part", ["generators", "discriminators"])
def test_neither_side_of_a_cyclegan_learns_from_a_loss_that_is_not_finite(part):
    """A discriminator judges images, so that its weights spoil the loss of the generators as well."""
    torch.manual_seed(0)
    network = CycleGAN(1, width=4, blocks=1)
    pair = {domain: torch.rand(1, 32, 32) for domain in ("healthy", "tumor")}
    names = {"healthy_case_id": "left", "tumor_case_id": "right"}
    pools = {domain: ImagePool(2) for domain in ("healthy", "tumor")}
    optimizers = [torch.optim.SGD(side.parameters(), lr=0.1) for side in (network.generators, network.discriminators)]
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(Dataset([{**pair, **names}] * 2), batch_size=1),
        network=network,
        optimizer=optimizers[0],
        loss_function=None,
        iteration_update=CycleGANUpdate(optimizers[1], pools),
        decollate=False,
        train_handlers=[FiniteTraining()],
    )

    def spoil() -> None:
        if part == "generators":
            trainer.state.batch["healthy"] *= float("nan")
        else:  # what the pool gives the discriminators to judge
            pools["healthy"].images[:] = [image * float("nan") for image in pools["healthy"].images]
            pools["healthy"].size = len(pools["healthy"].images)

    before: dict[str, torch.Tensor] = {}

    @trainer.on(Events.ITERATION_STARTED(once=2))
    def remember() -> None:
        spoil()
        before.update({name: value.clone() for name, value in network.state_dict().items()})

    with pytest.raises(NonFiniteLossError) as raised:
        trainer.run()
    loss = "loss is nan" if part == "generators" else "discriminator is nan"
    assert loss in str(raised.value) and "at step 2 (epoch 1)" in str(raised.value)
    assert "cases left, right" in str(raised.value)
    same = {name: torch.equal(value, before[name]) for name, value in network.state_dict().items()}
    assert all(same[name] for name in same if part == "generators" or name.startswith("discriminators"))
