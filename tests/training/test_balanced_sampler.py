"""Epochs of one length in which both classes are drawn equally often and no case more than its share."""

from __future__ import annotations

from collections import Counter

import pytest
from torch.utils.data.distributed import DistributedSampler

from shared.training.balanced_sampler import BalancedSampler

LABELS = [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]  # nine normals, three fractures at 2, 6 and 10
EACH = 8


def drawn(epoch: int = 1, seed: int = 0, **ranks: int) -> list[tuple[int, int]]:
    sampler = BalancedSampler(LABELS, 2 * EACH, seed, **ranks)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("epoch", range(5))
def test_classes_come_equally_often_and_no_case_before_its_turn(epoch):
    keys = drawn(epoch)
    assert {e for e, _ in keys} == {epoch}
    counts = {label: Counter(i for _, i in keys if LABELS[i] == label) for label in (0, 1)}
    assert sum(counts[0].values()) == sum(counts[1].values()) == EACH
    assert sorted(counts[0].values()) == [1] * 8, "eight of nine, none twice"
    assert sorted(counts[1].values()) == [2, 3, 3] and set(counts[1]) == {2, 6, 10}


def test_every_case_comes_in_the_long_run():
    assert {i for epoch in range(20) for _, i in drawn(epoch)} == set(range(len(LABELS)))


def test_classes_are_mixed():
    halves = [sum(LABELS[i] for _, i in drawn(epoch)[:EACH]) for epoch in range(20)]
    assert 3 < sum(halves) / 20 < 5 and 0 < min(halves) and max(halves) < EACH


def test_order_depends_on_seed_and_epoch_only():
    sampler = BalancedSampler(LABELS, 2 * EACH)
    sampler.set_epoch(7)
    list(sampler)
    sampler.set_epoch(3)
    assert list(sampler) == list(sampler) == drawn(3)
    orders = {tuple(i for _, i in drawn(epoch, seed)) for epoch in range(4) for seed in (0, 10, 20)}
    assert len(orders) == 12
    drawn_normals = {frozenset(i for _, i in drawn(epoch) if LABELS[i] == 0) for epoch in range(10)}
    assert len(drawn_normals) > 3, "who is left out changes"


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_what_one_would_draw(processes):
    parts = [drawn(4, num_replicas=processes, rank=rank) for rank in range(processes)]
    assert {len(part) for part in parts} == {2 * EACH // processes}
    assert sorted(key for part in parts for key in part) == sorted(drawn(4))


@pytest.mark.parametrize("labels", [[0, 1], [0] * 500 + [1] * 3])
def test_length_is_the_same_for_any_data(labels):
    sampler = BalancedSampler(labels, 64)
    assert len(sampler) == len(list(sampler)) == 64


def test_trainers_of_monai_set_its_epoch():
    assert isinstance(BalancedSampler(LABELS, 4), DistributedSampler)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(ValueError, match=r"all labels are of \[1\]; add cases of another class"):
        BalancedSampler([1, 1], 4)
    for samples in (5, 0, -2):
        with pytest.raises(ValueError, match=f"multiple of 2 classes, got {samples}"):
            BalancedSampler(LABELS, samples)
