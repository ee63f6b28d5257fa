"""Training data whose randomness comes from (seed, epoch, index): the same for any worker count, exact on resume."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset
from monai.transforms import Compose
from monai.transforms.traits import RandomizableTrait
from torch.utils.data.distributed import DistributedSampler

from ..runs.seeds import derive_seed


class EpochKeyedSampler(DistributedSampler):
    """A DistributedSampler (of one process by default) that yields ``(epoch, index)`` in place of ``index``."""

    def __init__(self, dataset: Sized, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]  # torch: its length is all that is read

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in super().__iter__())


class EpochKeyedDataset(CacheDataset):
    """A CacheDataset whose random transforms depend on ``(seed, epoch, index)`` only.

    Index it with the ``(epoch, index)`` of ``EpochKeyedSampler``; a plain index means epoch 0, fixed for validation.

    Args:
        data: cases; MONAI Label puts its own here.
        transform: of a case; what precedes its first random step is cached.
        seed: of the run.
        progress: show a bar while the cache is filled.
        checked: those of ``data`` that passed the check at the door; None: all of them.
    """

    def __init__(
        self,
        data: list,
        transform: Compose,
        seed: int = 0,
        progress: bool = True,
        checked: list | None = None,
    ) -> None:
        self.seed = seed
        self.random = transform.get_index_of_first(lambda step: isinstance(step, RandomizableTrait)) is not None
        super().__init__(data if checked is None else checked, transform, progress=progress)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:  # type: ignore[override]
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if self.random:  # it takes longer than collating a cached case
            self.transform.set_random_state(seed=derive_seed(self.seed, epoch, index))
        return super().__getitem__(index)


class IterationSeed:
    """Handler: seed torch before each iteration by its number, so that dropout is the same after a resume.

    Args:
        seed: of the run.
        rank: of the process; dropout differs between ranks.
    """

    def __init__(self, seed: int = 0, rank: int = 0) -> None:
        self.seed, self.rank = seed, rank

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        torch.manual_seed(derive_seed(self.seed, self.rank, engine.state.iteration))
