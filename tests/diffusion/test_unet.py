"""The U-Net against the paper's figures and formulas written out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from shared.diffusion.unet import DiffusionUNet, ResidualBlock, SelfAttention, UNetShape, timestep_embedding

TINY = UNetShape(width=16, multipliers=(1, 2), attention_levels=(1,), blocks=1)


def tiny(out_channels: int = 1, timed: bool = True, **changes: object) -> DiffusionUNet:
    """A small network in evaluation mode, none of whose layers is 0."""
    torch.manual_seed(0)
    network = DiffusionUNet(2, out_channels, replace(TINY, **changes), timed).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def gflop(network: nn.Module, *arguments: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        network(*arguments)
    return counter.get_total_flops() / 1e9


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


class TestPaperForm:
    def test_parameters_and_flop(self):
        with torch.device("meta"):
            network = DiffusionUNet(in_channels=2)
            assert parameters(network) == 6_600_257
            assert gflop(network, torch.zeros(1, 2, 128, 128), torch.zeros(1)) == pytest.approx(10.90, abs=0.005)

    def test_patch_of_2_is_about_four_times_cheaper(self):
        image = torch.zeros(1, 2, 128, 128, device="meta")
        shapes = [UNetShape(attention_levels=(), patch=patch) for patch in (1, 2)]
        whole, folded = (gflop(DiffusionUNet(2, shape=shape, timed=False).to("meta"), image) for shape in shapes)
        assert whole / folded == pytest.approx(4, rel=0.02)

    def test_untimed_network_lacks_the_embedding_only(self):
        with torch.device("meta"):
            timed, untimed = DiffusionUNet(2), DiffusionUNet(2, timed=False)
        without = {k: v.shape for k, v in timed.state_dict().items() if not k.startswith("embed.") and "film" not in k}
        assert {k: v.shape for k, v in untimed.state_dict().items()} == without
        assert parameters(untimed) < parameters(timed)


class TestForward:
    def test_starts_as_zero(self):
        out = DiffusionUNet(2, shape=TINY)(torch.randn(2, 2, 16, 16), torch.tensor([3, 900]))
        assert out.shape == (2, 1, 16, 16) and not out.any()

    @pytest.mark.parametrize("patch", [1, 2])
    @pytest.mark.parametrize("batch_norm", [False, True])
    def test_shapes_of_all_variants(self, patch: int, batch_norm: bool):
        network = tiny(patch=patch, batch_norm=batch_norm, out_channels=3)
        out = network(torch.randn(2, 2, 16, 24), torch.tensor([3, 900]))
        assert out.shape == (2, 3, 16, 24) and out.isfinite().all()
        norms = {type(m) for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm))}
        assert norms == {nn.BatchNorm2d if batch_norm else nn.GroupNorm}

    def test_output_depends_on_the_timestep(self):
        network, x = tiny(), torch.randn(1, 2, 16, 16)
        low, again, high = network(x.expand(3, -1, -1, -1), torch.tensor([10, 10, 900]))
        torch.testing.assert_close(low, again)
        assert (low - high).abs().max() > 1e-3

    def test_untimed_network_ignores_timesteps(self):
        network, x = tiny(timed=False), torch.randn(2, 2, 16, 16)
        assert torch.equal(network(x), network(x, torch.tensor([3, 900])))
        assert network(x).any()

    @pytest.mark.parametrize("batch_norm", [False, True])
    def test_evaluation_of_a_slice_does_not_depend_on_its_batch(self, batch_norm: bool):
        network, x, t = tiny(batch_norm=batch_norm), torch.randn(3, 2, 16, 16), torch.tensor([3, 500, 900])
        together = network(x, t)
        for n in range(3):
            torch.testing.assert_close(network(x[n : n + 1], t[n : n + 1])[0], together[n], atol=1e-5, rtol=1e-5)

    def test_dropout_acts_in_training_only(self):
        network, x, t = tiny(dropout=0.5), torch.randn(1, 2, 16, 16), torch.tensor([3])
        assert torch.equal(network(x, t), network(x, t))
        network.train()
        assert not torch.equal(network(x, t), network(x, t))


def test_film_scales_then_shifts():
    """A scale of -1 leaves only the shift of what the first convolution made of the image."""
    torch.manual_seed(0)
    block, x, embedding = ResidualBlock(16, 16, 8, 0.0, batch_norm=False), torch.randn(2, 16, 4, 4), torch.randn(2, 8)
    nn.init.normal_(block.conv_out.weight)
    nn.init.zeros_(block.film.weight)
    with torch.no_grad():
        block.film.bias.copy_(torch.cat([torch.full((16,), -1.0), torch.linspace(-1, 1, 16)]))
        added = block(x, embedding) - x
        shifts = nn.functional.silu(torch.linspace(-1, 1, 16))[None, :, None, None].expand(2, -1, 4, 4)
        torch.testing.assert_close(added, block.conv_out(shifts), atol=1e-5, rtol=1e-5)


def test_self_attention_equals_softmax_written_out():
    torch.manual_seed(0)
    layer = SelfAttention(16, batch_norm=False).double()
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    assert torch.equal(layer(x, None), x), "starts as its skip"
    nn.init.normal_(layer.out.weight)
    nn.init.normal_(layer.out.bias)

    query, key, value = layer.qkv(layer.norm(x)).reshape(2, 48, 12).split(16, dim=1)  # B C XY
    weights = torch.einsum("bcq,bck->bqk", query, key).div(math.sqrt(16)).softmax(dim=-1)
    attended = torch.einsum("bqk,bck->bcq", weights, value)
    expected = x + (torch.einsum("oc,bcq->boq", layer.out.weight[:, :, 0, 0], attended)).reshape(x.shape)
    torch.testing.assert_close(layer(x, None), expected + layer.out.bias[:, None, None])


def test_timestep_embedding_is_its_formula():
    embedding = timestep_embedding(torch.tensor([0, 7, 999]), 6)
    for row, t in zip(embedding, (0, 7, 999), strict=True):
        angles = [t / 10000 ** (i / 3) for i in range(3)]
        expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
        torch.testing.assert_close(row, torch.tensor(expected), atol=1e-4, rtol=0)
