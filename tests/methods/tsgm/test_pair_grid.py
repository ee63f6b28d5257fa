"""Rows of the grid are slices, what known generators make of them, and the change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shared.methods.tsgm.cyclegan import DOMAINS, CycleGAN
from shared.methods.tsgm.pair_grid import PairGrid


class Change(nn.Module):
    """Adds a constant."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.tensor(change))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.change


class Pairs:
    """Item n has the constants ``n / 10 + channel / 100``, 0.5 more with a tumour; the fourth must not be asked for."""

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        assert n < 3
        healthy = torch.full((2, 4, 6), n / 10) + torch.tensor([0.0, 0.01])[:, None, None]
        return {"healthy": healthy, "tumor": healthy + 0.5, "healthy_brain_mask": torch.ones(1, 4, 6)}


@pytest.fixture
def network() -> CycleGAN:
    """In [-1, 1], the generators add 0.4 and take 0.6 away."""
    network = CycleGAN(in_channels=2, width=4, blocks=0)
    network.generators = nn.ModuleDict({"tumor": Change(0.4), "healthy": Change(-0.6)})
    return network


def test_a_row_is_a_sequence_of_a_pair_its_fakes_and_their_changes(network):
    rows = PairGrid(network, Pairs(), 3)()
    assert len(rows) == 3 * 2
    for number, row in enumerate(rows):
        healthy = number // 2 / 10 + number % 2 / 100
        tumor = healthy + 0.5
        expected = [healthy, healthy + 0.2, 0.5 + 0.2, tumor, tumor - 0.3, 0.5 - 0.3]
        assert len(row) == 6
        for image, value in zip(row, expected):
            assert image.shape == (4, 6) and not image.requires_grad
            torch.testing.assert_close(image, torch.full((4, 6), value))


def test_the_network_as_it_is_now_is_shown(network):
    grid = PairGrid(network, Pairs(), 1)
    before = grid()
    network.generators["healthy"].change.data.zero_()
    after = grid()
    assert torch.equal(after[0][1], before[0][1])
    torch.testing.assert_close(after[0][5], torch.full((4, 6), 0.5))


def test_training_goes_on_as_if_nothing_had_been_drawn():
    torch.manual_seed(0)
    network = CycleGAN(in_channels=2, width=4, blocks=1).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pairs = [{d: torch.rand(2, 8, 12) for d in DOMAINS}]
    random = torch.get_rng_state()
    PairGrid(network, pairs, 1)()
    assert torch.equal(torch.get_rng_state(), random) and all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
