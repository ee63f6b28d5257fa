"""The cycle's networks are independent, and its loss is its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shared.diffusion.unet import UNetShape
from shared.methods.mmccd.modality_cycle import ModalityCycles, TranslationLoss

PAIRS = [["flair", "t1"], ["t1", "flair"], ["flair", "t2"], ["t2", "flair"], ["dwi", "t1"]]
UNET = UNetShape(width=4, multipliers=(1,), attention_levels=(), blocks=1, batch_norm=True)


@pytest.fixture
def network() -> ModalityCycles:
    """Tiny networks, in evaluation mode, none of whose layers is 0."""
    torch.manual_seed(0)
    cycles = ModalityCycles(PAIRS, UNET).eval()
    for parameter in cycles.parameters():
        nn.init.normal_(parameter, std=0.3)
    return cycles


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 3 * len(PAIRS), 6, 4), torch.randint(1000, (2, len(PAIRS)))


class TestModalityCycles:
    def test_forward_is_draw_and_translate_of_each_pair(self, network, batch):
        inputs, timesteps = batch
        estimates = network(inputs, timesteps)
        assert estimates.shape == (2, 2 * len(PAIRS), 6, 4)
        for n, (source, target) in enumerate(PAIRS):
            noisy, masked, clean = (inputs[:, i : i + 1] for i in range(3 * n, 3 * n + 3))
            drawn = network.draw(source, target, noisy, timesteps[:, n], masked)
            torch.testing.assert_close(estimates[:, 2 * n : 2 * n + 1], drawn)
            torch.testing.assert_close(estimates[:, 2 * n + 1 : 2 * n + 2], network.translate(source, target, clean))

    def test_each_network_is_trained_by_its_own_output_alone(self, network, batch):
        estimates = network(*batch)
        names = [f"{kind}.{a}_to_{b}." for a, b in PAIRS for kind in ("diffusion", "translation")]
        for output, name in zip(estimates.unbind(dim=1), names, strict=True):
            gradients = torch.autograd.grad(
                output.square().sum(), list(network.parameters()), retain_graph=True, allow_unused=True
            )
            reached = {k for (k, _), g in zip(network.named_parameters(), gradients) if g is not None and g.any()}
            assert reached and all(k.startswith(name) for k in reached)

    @pytest.mark.parametrize(("channel", "output"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3)])
    def test_each_input_reaches_its_own_network_alone(self, network, batch, channel: int, output: int):
        inputs, timesteps = batch
        changed = inputs.clone()
        changed[:, channel] += 1
        difference = (network(changed, timesteps) - network(inputs, timesteps)).abs().amax(dim=(0, 2, 3))
        assert difference.nonzero()[:, 0].tolist() == [output]

    def test_only_the_diffusion_knows_the_timestep(self, network, batch):
        inputs, timesteps = batch
        difference = (network(inputs, 999 - timesteps) - network(inputs, timesteps)).abs().amax(dim=(0, 2, 3))
        assert difference.nonzero()[:, 0].tolist() == [0, 2, 4, 6, 8]

    def test_intermediates_are_those_trained_both_ways(self, network):
        assert network.intermediates("flair") == ["t1", "t2"]
        assert network.intermediates("t1") == ["flair"]
        for sequence in ("dwi", "pd"):
            with pytest.raises(ValueError, match=f"no cycle for the sequence '{sequence}'.*flair"):
                network.intermediates(sequence)


class TestTranslationLoss:
    @pytest.fixture
    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        weight = (torch.rand(3, 1, 5, 4) > 0.6).float()
        weight[2] = 0
        return torch.randn(3, 4, 5, 4), torch.cat([torch.randn(3, 2, 5, 4), weight], dim=1)

    @pytest.mark.parametrize(("networks", "outputs"), [("fg", [0, 1, 2, 3]), ("f", [0, 2]), ("g", [1, 3])])
    def test_sum_of_mean_squares_where_weighted(self, data, networks: str, outputs: list[int]):
        estimates, targets = (part.numpy().astype(np.float64) for part in data)
        weighted = targets[:, -1] > 0
        expected = sum(np.mean((estimates[:, k] - targets[:, k // 2])[weighted] ** 2) for k in outputs)
        assert TranslationLoss(networks)(*data).item() == pytest.approx(expected, rel=1e-5)

    def test_what_has_no_weight_changes_nothing(self, data):
        estimates, targets = data
        elsewhere = estimates + 100 * (targets[:, -1:] == 0)
        assert torch.equal(TranslationLoss()(elsewhere, targets), TranslationLoss()(estimates, targets))

    def test_without_any_weight_the_loss_is_zero(self, data):
        estimates, targets = data
        targets[:, -1] = 0
        assert TranslationLoss()(estimates, targets) == 0
