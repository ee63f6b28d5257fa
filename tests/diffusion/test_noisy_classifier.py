"""The noisy classifier: its layers, what it learns of a law that is known, its log-probability in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from shared.diffusion.denoisers import VPDenoiser
from shared.diffusion.noise_levels import linear_alphas_cumprod, vp_sigmas
from shared.diffusion.noisy_classifier import ClassLogProbability, NoisyClassifier
from shared.diffusion.unet import ResidualBlock, SelfAttention, UNetShape

ABAR = linear_alphas_cumprod()
SIGMAS = vp_sigmas(ABAR, range(999, -1, -1)).tolist()[-2::-1]  # by timestep
TIMESTEP = VPDenoiser(lambda x, t, condition: x, ABAR).timestep
MEAN, VARIANCE = 0.6, 0.04  # class 1 is N(MEAN, VARIANCE), class 0 its mirror image
TINY = UNetShape(width=16, multipliers=(1, 2), attention_levels=(1,), blocks=1)


def tiny(classes: int = 2, **changes: object) -> NoisyClassifier:
    """A small network in evaluation mode, none of whose layers is 0."""
    torch.manual_seed(0)
    network = NoisyClassifier(3, classes, replace(TINY, **changes)).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


class TestNetwork:
    def test_default_size(self):
        with torch.device("meta"):
            assert sum(p.numel() for p in NoisyClassifier(3).parameters()) == 1_063_458

    def test_levels_blocks_and_attention_are_those_asked_for(self):
        network = NoisyClassifier(1, shape=UNetShape(16, multipliers=(1, 2, 3), attention_levels=(1,), blocks=2))
        layers = [type(layer) for layer in network.down]
        block, attention = ResidualBlock, SelfAttention
        assert layers == [block] * 2 + [block] + [block, attention] * 2 + [block] + [block] * 2
        strides = [isinstance(layer.resample, nn.AvgPool2d) for layer in network.down if isinstance(layer, block)]
        assert strides == [False] * 2 + ([True] + [False] * 2) * 2
        assert [layer.conv_out.out_channels for layer in network.down if isinstance(layer, block)] == [
            *(16, 16),
            *(16, 32, 32),
            *(32, 48, 48),
        ]

    @pytest.mark.parametrize("patch", [1, 2])
    @pytest.mark.parametrize("batch_norm", [False, True])
    def test_a_state_of_any_size_does_not_depend_on_its_batch(self, patch: int, batch_norm: bool):
        network = tiny(patch=patch, batch_norm=batch_norm, classes=4)
        norms = {type(m) for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm))}
        assert norms == {nn.BatchNorm2d if batch_norm else nn.GroupNorm}
        for size in ((16, 24), (8, 8)):
            x, t = torch.randn(3, 3, *size), torch.tensor([3.0, 500.5, 900.0])
            together = network(x, t)
            assert together.shape == (3, 4) and together.std() > 0
            for n in range(3):
                torch.testing.assert_close(network(x[n : n + 1], t[n : n + 1])[0], together[n], atol=1e-5, rtol=1e-5)

    def test_depends_on_the_timestep_and_on_every_pixel_and_channel(self):
        network, x = tiny(), torch.randn(1, 3, 16, 16, requires_grad=True)
        low, again, high = network(x.expand(3, -1, -1, -1), torch.tensor([10, 10, 900]))
        torch.testing.assert_close(low, again)
        assert (low - high).abs().max() > 1e-3
        assert (torch.autograd.grad(low[1] - low[0], x)[0] != 0).all()

    def test_pools_by_the_mean(self):
        """Four copies of an image side by side have the logits of one, where no layer looks beyond a pixel."""
        network, x, t = tiny(multipliers=(1,), attention_levels=()), torch.randn(2, 3, 8, 8), torch.tensor([5.0, 700.0])
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                with torch.no_grad():
                    layer.weight[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
        assert (network(x, t) - network(x[:, :, :4], t)).abs().max() > 1e-3
        torch.testing.assert_close(network(x.tile(1, 1, 2, 2), t), network(x, t), atol=1e-5, rtol=1e-5)

    def test_dropout_acts_in_training_only(self):
        network, x, t = tiny(dropout=0.5), torch.randn(1, 3, 16, 16), torch.tensor([3])
        assert [m.dropout.p for m in network.modules() if isinstance(m, ResidualBlock)] == [0.5] * 3
        assert torch.equal(network(x, t), network(x, t))
        network.train()
        assert not torch.equal(network(x, t), network(x, t))

    def test_learns_the_class_posterior_at_every_noise_level(self):
        """Two classes, a known pattern and its negative: the least cross-entropy is that of the true log-odds."""
        generator = torch.Generator().manual_seed(0)
        pattern = 0.3 * torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]).expand(8, 8)

        def draw(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
            labels, t = (torch.randint(high, (size,), generator=generator) for high in (2, 1000))
            shown = ABAR[t].sqrt().float()[:, None, None] * pattern
            x = (2 * labels - 1)[:, None, None] * shown + torch.randn(size, 8, 8, generator=generator)
            return x[:, None], t, labels, 2 * (shown * x).sum(dim=(1, 2))

        torch.manual_seed(0)
        shape = UNetShape(16, multipliers=(1,), attention_levels=(), blocks=1, dropout=0, batch_norm=True)
        network = NoisyClassifier(1, shape=shape)
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
        for _ in range(100):
            x, t, labels, _ = draw(64)
            optimizer.zero_grad()
            functional.cross_entropy(network(x, t), labels).backward()
            optimizer.step()
        x, t, labels, log_odds = draw(4000)
        with torch.no_grad():
            learned = functional.cross_entropy(network.eval()(x, t), labels)
        best = functional.binary_cross_entropy_with_logits(log_odds, labels.float())
        assert 0.35 < best < 0.45 and best < learned < best + 0.06


def bayes(x_vp: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Logits of the exact classifier of the two classes, from the variance-preserving state."""
    abar = ABAR[t.long()].reshape(-1, *(1,) * (x_vp.dim() - 1))
    half = abar.sqrt() * MEAN * x_vp / (abar * VARIANCE + 1 - abar)
    half = half.flatten(1).sum(dim=1)
    return torch.stack([-half, half], dim=1)


class TestLogProbability:
    @pytest.mark.parametrize("t", [0, 300, 999])
    @pytest.mark.parametrize("shape", [(2, 1, 3), (4, 2, 2, 3)])
    def test_value_and_gradient_are_those_of_the_variance_exploding_state(self, t: int, shape: tuple[int, ...]):
        sigma, labels = SIGMAS[t], torch.arange(shape[0]) % 2
        x = math.hypot(sigma, 1) * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x.requires_grad_()
        value = ClassLogProbability(bayes, labels, TIMESTEP)(x, sigma)
        sign = (2 * labels - 1).double()
        slope = 2 * MEAN / (VARIANCE + sigma**2)  # of the log-odds, per element
        log_odds = sign * slope * x.detach().flatten(1).sum(dim=1)
        torch.testing.assert_close(value, functional.logsigmoid(log_odds), rtol=1e-9, atol=1e-12)
        expected = (sign * slope * torch.sigmoid(-log_odds)).reshape(-1, *(1,) * (x.dim() - 1)).expand(shape)
        torch.testing.assert_close(torch.autograd.grad(value.sum(), x)[0], expected, rtol=1e-7, atol=1e-12)

    def test_the_network_sees_the_timestep_of_the_noise_level(self):
        seen = []
        network = lambda x, t: seen.append(t) or torch.zeros(2, 3)  # noqa: E731
        sigma = math.sqrt(SIGMAS[400] * SIGMAS[401])
        value = ClassLogProbability(network, torch.tensor([0, 2]), TIMESTEP)(torch.zeros(2, 1, 4), torch.tensor(sigma))
        torch.testing.assert_close(value, torch.full((2,), -math.log(3)))
        torch.testing.assert_close(seen[0], torch.full((2,), 400.5), atol=1e-3, rtol=0)
        with pytest.raises(ValueError, match="trained at 0.01"):
            ClassLogProbability(network, torch.tensor([0, 2]), TIMESTEP)(torch.zeros(2, 1, 4), 0.0)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_keeps_the_dtype_of_the_state_and_its_precision(self, dtype: torch.dtype):
        """Of two classes 20 nats apart, the less likely one, which bfloat16 would round to 20.0."""
        network = lambda x, t: torch.tensor([[20.0, 0.125]], dtype=torch.bfloat16)  # noqa: E731
        value = ClassLogProbability(network, torch.tensor([1]), TIMESTEP)(torch.zeros(1, 1, 4, dtype=dtype), 1.0)
        assert value.dtype == dtype and value.item() == pytest.approx(-19.875, rel=1e-6)

    def test_labels_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match="3 labels for 2 states"):
            ClassLogProbability(bayes, torch.tensor([0, 1, 1]), TIMESTEP)(torch.zeros(2, 1, 4), 1.0)
        for labels in (torch.tensor([0.0, 1.0]), torch.tensor([[0, 1]])):
            with pytest.raises(ValueError, match=r"one int64 class per state"):
                ClassLogProbability(bayes, labels, TIMESTEP)
