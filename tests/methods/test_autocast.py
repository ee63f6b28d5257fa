"""The network computes in bfloat16 only where it is asked to, and what it returns is float32."""

from __future__ import annotations

import pytest
import torch

from shared.methods.autocast import AutocastInferer
from shared.runs.errors import NonFiniteOutputError


class Product(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor, scale: torch.Tensor, offset: float = 0.0) -> torch.Tensor:
        y = self.layer(x)
        self.dtype = y.dtype
        return y * scale + offset


@pytest.mark.parametrize(("enabled", "inside"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision_and_arguments(enabled: bool, inside: torch.dtype):
    torch.manual_seed(0)
    network, x, scale = Product(), torch.randn(3, 16), torch.tensor(2.0)
    expected = network(x, scale, offset=1.0)
    out = AutocastInferer(enabled)(x, network, scale, offset=1.0)
    assert network.dtype == inside and out.dtype == torch.float32
    assert torch.equal(out, expected) is not enabled
    torch.testing.assert_close(out, expected, atol=0.05, rtol=0)


def test_values_that_are_not_finite_are_named_with_their_noise_level_in_inference_only():
    network, x, sigma = Product(), torch.ones(1, 16), torch.tensor(1e39, dtype=torch.float64).float()
    assert AutocastInferer(False)(x, network, sigma).isinf().all()
    with (
        torch.inference_mode(),
        pytest.raises(NonFiniteOutputError, match="4 values of 4 .* timestep inf.*--amp False"),
    ):
        AutocastInferer(False)(x, network, sigma)
    with (
        torch.inference_mode(),
        pytest.raises(NonFiniteOutputError, match="4 values of 4 that are NaN or infinite. Compute"),
    ):
        AutocastInferer(False)(x, lambda x: x[:, :4] * torch.nan)
