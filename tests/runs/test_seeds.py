"""Seeds and noise that depend on their keys and on nothing else."""

from __future__ import annotations

import torch

from shared.runs.seeds import derive_seed, keyed_noise


def test_derived_seeds_are_stable():
    assert derive_seed(0, 1, 2) == 1827725546
    assert derive_seed("a") == 85954669


def test_derived_seeds_are_distinct_and_in_range():
    seeds = [derive_seed(seed, epoch, index) for seed in range(5) for epoch in range(20) for index in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert 0 <= min(seeds) and max(seeds) < 2**32
    assert len({derive_seed(*keys) for keys in [(1, 23), (12, 3), (123,), ("123",), ("1", 23)]}) == 5


def test_noise_of_an_item_depends_on_its_key_only_and_is_standard_normal():
    keys = [(0, "start", name) for name in "abc"]
    noise = keyed_noise(keys, (1, 80, 80), "cpu")
    assert noise.dtype == torch.float32 and noise.shape == (3, 1, 80, 80)
    assert torch.equal(noise.flip(0), keyed_noise(keys[::-1], (1, 80, 80), "cpu"))
    assert torch.equal(noise[1:2], keyed_noise([keys[1]], (1, 80, 80), "cpu"))
    assert abs(float(noise.mean())) < 0.03 and abs(float(noise.std()) - 1) < 0.03
    alike = torch.corrcoef(noise.flatten(1)) - torch.eye(3)
    assert float(alike.abs().max()) < 0.05
