"""Epochs of one length with all classes in equal number, however many cases there are and of which class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ..runs.seeds import derive_seed
from .seeding import EpochKeyedSampler


class BalancedSampler(EpochKeyedSampler):
    """An EpochKeyedSampler that draws ``samples_per_epoch`` cases, the classes in equal number and mixed.

    Within an epoch no case comes again before all of its class have come. The order depends on (seed, epoch) only.

    Args:
        labels: the class of each item of the dataset.
        samples_per_epoch: over all processes; a multiple of the number of classes.
        seed: of the run.
        num_replicas, rank: number of processes, and which one this is.

    Raises:
        ValueError: there are fewer than two classes, or ``samples_per_epoch`` is no multiple of their number.
    """

    def __init__(
        self, labels: Sequence[int], samples_per_epoch: int, seed: int = 0, num_replicas: int = 1, rank: int = 0
    ) -> None:
        classes = sorted(set(labels))
        if len(classes) < 2:
            raise ValueError(f"there is nothing to balance: all labels are of {classes}; add cases of another class")
        if samples_per_epoch < 1 or samples_per_epoch % len(classes):
            raise ValueError(f"samples_per_epoch must be a multiple of {len(classes)} classes, got {samples_per_epoch}")
        super().__init__(range(samples_per_epoch), seed=seed, num_replicas=num_replicas, rank=rank)
        self.members = [[i for i, label in enumerate(labels) if label == wanted] for wanted in classes]
        self.each = samples_per_epoch // len(classes)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        drawn = [index for members in self.members for index in _dealt(members, self.each, generator)]
        return ((epoch, drawn[position]) for epoch, position in super().__iter__())


def _dealt(members: Sequence[int], count: int, generator: torch.Generator) -> list[int]:
    """The first ``count`` of as many random orders of ``members``, one after the other, as it takes."""
    rounds = -(-count // len(members))
    orders = torch.cat([torch.randperm(len(members), generator=generator) for _ in range(rounds)])
    return [members[i] for i in orders[:count].tolist()]
