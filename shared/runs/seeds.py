"""Seeds and noise keyed by what they are for: the same in every batch, order and run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def derive_seed(*keys: int | str) -> int:
    """Mix integers and strings into one seed in [0, 2^32); equal keys give equal seeds on every machine."""
    return int.from_bytes(hashlib.sha256(repr(keys).encode()).digest()[:4], "little")


def keyed_noise(keys: Sequence[tuple[int | str, ...]], shape: Sequence[int], device: torch.device | str) -> Tensor:
    """Standard normal noise of which each item depends on its own key only.

    Args:
        keys: one for each item of the batch, as :func:`derive_seed` takes them.
        shape: of one item, ``*S``.
        device: where the result goes; it is drawn on the CPU, so that all devices give the same.

    Returns:
        ``B *S`` float32.
    """
    generators = (torch.Generator().manual_seed(derive_seed(*key)) for key in keys)
    return torch.stack([torch.randn(*shape, generator=generator) for generator in generators]).to(device)
