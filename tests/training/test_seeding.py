"""Randomness that depends on (seed, epoch, index) and on nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.transforms import Compose, Lambdad, RandGaussianNoised, RandShiftIntensityd

from shared.methods.itermask3d.training_masks import RandTrainingMaskd
from shared.training.seeding import EpochKeyedDataset, EpochKeyedSampler, IterationSeed

CASES = 6


def dataset(seed: int = 0) -> EpochKeyedDataset:
    """Small brains that go through the masking of IterMask3D."""
    cases = [{"index": i, "brain_mask": np.ones((1, 12, 12, 12), dtype=np.float32)} for i in range(CASES)]
    detail = np.random.default_rng(0).standard_normal((1, 12, 12, 12)).astype(np.float32)
    transform = Compose(
        [
            Lambdad("brain_mask", lambda brain: torch.from_numpy(brain)),
            lambda case: {**case, "high_pass": torch.from_numpy(detail)},
            RandTrainingMaskd(whole_brain=0.0, scattered=1.0),
        ]
    )
    return EpochKeyedDataset(cases, transform, seed=seed, progress=False)


def epochs(workers: int, batch_size: int = 2, count: int = 3) -> dict[tuple[int, int], torch.Tensor]:
    """Masks by (epoch, index), as a training loop sees them."""
    data = dataset()
    sampler = EpochKeyedSampler(data)
    loader = DataLoader(data, sampler=sampler, batch_size=batch_size, num_workers=workers)
    masks = {}
    for epoch in range(1, count + 1):
        sampler.set_epoch(epoch)
        for batch in loader:
            masks.update({(epoch, int(i)): mask for i, mask in zip(batch["index"], batch["mask"], strict=True)})
    return masks


def test_item_depends_on_epoch_and_index_only():
    data = dataset()
    first = data[(3, 1)]["mask"].clone()
    for other in ((0, 1), (3, 2), (7, 0)):
        assert not torch.equal(data[other]["mask"], first)
    np.random.seed(5)
    torch.manual_seed(5)
    again = data[(3, 1)]
    assert torch.equal(again["mask"], first)
    assert torch.equal(dataset()[(3, 1)]["noise"], again["noise"])
    assert not torch.equal(dataset(seed=1)[(3, 1)]["mask"], first)


def test_plain_index_means_epoch_zero():
    data = dataset()
    assert torch.equal(data[2]["mask"], data[(0, 2)]["mask"])
    assert torch.equal(data[2]["mask"], data[2]["mask"])


def test_only_the_checked_cases_are_read():
    """MONAI Label puts its own list into ``data``, of which the door lets some pass."""
    listed = [{"x": float(n)} for n in range(4)]
    kept = EpochKeyedDataset(listed, Compose([]), progress=False, checked=listed[1:3])
    assert [kept[n]["x"] for n in range(len(kept))] == [1, 2]
    assert len(EpochKeyedDataset(listed, Compose([]), progress=False)) == 4
    assert len(EpochKeyedDataset(listed, Compose([]), progress=False, checked=[])) == 0


def test_every_random_transform_is_seeded():
    noisy = Compose([RandShiftIntensityd("x", offsets=5.0, prob=1.0), RandGaussianNoised("x", prob=1.0, std=1.0)])
    data = EpochKeyedDataset([{"x": torch.zeros(1, 4, 4)}] * 2, noisy, progress=False)
    one, two = data[(1, 0)]["x"], data[(1, 0)]["x"]
    assert torch.equal(one, two)
    assert not torch.equal(one, data[(1, 1)]["x"]) and not torch.equal(one, data[(2, 0)]["x"])


def test_sampler_visits_each_case_once_in_a_new_order():
    sampler = EpochKeyedSampler(dataset())
    orders = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert {e for e, _ in keys} == {epoch}
        assert sorted(i for _, i in keys) == list(range(CASES))
        assert keys == list(sampler)
        orders.append(tuple(i for _, i in keys))
    assert len(set(orders)) == 4
    assert len(sampler) == CASES


def test_processes_share_the_cases():
    data = dataset()
    parts = [list(EpochKeyedSampler(data, num_replicas=2, rank=rank)) for rank in range(2)]
    assert sorted(index for part in parts for _, index in part) == list(range(CASES))


def test_masks_are_new_each_epoch_and_the_same_for_any_number_of_workers():
    # The released code re-seeds its workers each epoch, so that a case gets the same mask for ever, and another one
    # with another number of workers.
    alone = epochs(workers=0)
    assert len(alone) == 3 * CASES
    assert len({mask.numpy().tobytes() for mask in alone.values()}) == 3 * CASES
    for workers, batch_size in ((2, 2), (0, 3)):
        others = epochs(workers, batch_size)
        assert others.keys() == alone.keys()
        assert all(torch.equal(others[key], alone[key]) for key in alone)


def test_trainer_of_monai_sets_the_epoch():
    data = dataset()
    seen: list[tuple[int, int]] = []
    getitem = EpochKeyedDataset.__getitem__

    class Recording(EpochKeyedDataset):
        def __getitem__(self, key: Any) -> dict:
            seen.append(key)
            return getitem(self, key)

    data.__class__ = Recording
    network = torch.nn.Conv3d(1, 1, 1)
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=3,
        train_data_loader=DataLoader(data, sampler=EpochKeyedSampler(data), batch_size=4, drop_last=True),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=torch.nn.MSELoss(),
        prepare_batch=lambda batch, *args, **kwargs: (batch["mask"], batch["noise"]),
    ).run()
    assert [epoch for epoch, _ in seen] == [1] * 4 + [2] * 4 + [3] * 4


@pytest.mark.parametrize(("start", "rank"), [(0, 0), (3, 0), (0, 1)])
def test_dropout_depends_on_the_iteration(start: int, rank: int):
    def run(first: int, process: int, disturb: int) -> dict[int, torch.Tensor]:
        drawn: dict[int, torch.Tensor] = {}

        def step(engine: Engine, batch: int) -> None:
            drawn[engine.state.iteration] = torch.nn.functional.dropout(torch.ones(64), 0.5)

        engine = Engine(step)
        IterationSeed(seed=7, rank=process).attach(engine)
        if first:
            engine.load_state_dict({"iteration": first, "max_epochs": 2, "epoch_length": 3})
        torch.manual_seed(disturb)
        engine.run(range(3), max_epochs=2)
        return drawn

    whole, part = run(0, 0, disturb=1), run(start, rank, disturb=2)
    assert sorted(part) == list(range(start + 1, 7))
    assert len({mask.numpy().tobytes() for mask in whole.values()}) == 6
    assert all(torch.equal(part[i], whole[i]) == (rank == 0) for i in part)
