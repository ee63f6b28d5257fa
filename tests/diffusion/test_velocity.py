"""The velocity: epsilon of a network that knows v is exact, in every form of the joint state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shared.diffusion.hybrid_loss import HybridLoss, hybrid_target
from shared.diffusion.noise_levels import linear_alphas_cumprod
from shared.diffusion.velocity import VelocityNetwork

ABAR = linear_alphas_cumprod()


class Known(nn.Module):
    """Returns what it was given, and remembers what it was asked."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        self.asked = (x, timesteps)
        return self.output


def noisy(t: torch.Tensor, channels: int = 2) -> tuple[torch.Tensor, ...]:
    x0, noise = torch.randn(2, len(t), channels, 4, 4, generator=torch.Generator().manual_seed(0))
    abar = ABAR[t].float()[:, None, None, None]
    x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
    return x_t, noise, abar.sqrt() * noise - (1 - abar).sqrt() * x0


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.25)])
def test_epsilon_of_the_true_velocity_is_the_noise(weights):
    t = torch.tensor([0, 1, 500, 998, 999])
    x_t, noise, velocity = noisy(t)
    others, condition = torch.rand(len(t), 3, 4, 4), torch.rand(len(t), 1, 4, 4)
    inner = Known(torch.cat([velocity, others], dim=1))
    given = torch.cat([x_t * torch.tensor(weights)[:, None, None], condition], dim=1)
    output = VelocityNetwork(inner, ABAR, weights)(given, t)
    assert torch.allclose(output[:, :2], noise, atol=2e-6)
    assert torch.equal(output[:, 2:], others)
    assert inner.asked[0] is given and inner.asked[1] is t


def test_between_timesteps_abar_is_interpolated_in_its_logarithm():
    x = torch.ones(1, 1, 1, 1)
    network = VelocityNetwork(Known(torch.zeros(1, 1, 1, 1)), ABAR, [1.0])
    between = (ABAR[600] * ABAR[601]).sqrt()
    assert float(network(x, torch.tensor([600.5]))) == pytest.approx(float((1 - between).sqrt()), rel=1e-6)
    assert float(network(x, torch.tensor([999.0]))) == pytest.approx(float((1 - ABAR[999]).sqrt()), rel=1e-6)


def test_a_low_precision_network_leaves_the_noise_exact():
    t = torch.tensor([999])
    x_t, noise, velocity = noisy(t)
    output = VelocityNetwork(Known(velocity.bfloat16()), ABAR, (1.0, 1.0))(x_t, t)
    assert output.dtype == torch.float32
    assert (output - noise).abs().max() < 1e-4  # bfloat16 of epsilon itself would be 4e-3 off


def test_the_weights_are_those_of_the_network_alone():
    network = VelocityNetwork(nn.Conv2d(1, 2, 1), ABAR, [1.0])
    assert list(network.state_dict()) == ["network.weight", "network.bias"]


def test_the_loss_is_the_squared_error_of_the_velocity():
    t = torch.tensor([10, 700, 999])
    x_t, noise, velocity = noisy(t)
    guess = velocity + torch.tensor([0.1, 0.2, 0.3])[:, None, None, None]
    output = VelocityNetwork(Known(torch.cat([guess, 0 * guess], dim=1)), ABAR, (1.0, 1.0))(x_t, t)
    target = hybrid_target(noise, torch.zeros_like(noise), t)
    loss = HybridLoss(ABAR, [(-1, 1), (-1, 1)], vlb_weight=0.0, velocity=True)(output, target)
    assert float(loss) == pytest.approx((0.01 + 0.04 + 0.09) / 3, rel=1e-3)
