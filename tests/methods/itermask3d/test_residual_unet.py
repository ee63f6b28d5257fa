"""The network of IterMask3D: size, cost, and the exactness of the fused upsampling."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from shared.methods.itermask3d.residual_unet import AvgPoolResidualUNet, upsample_convolve


def flops(function, *args: torch.Tensor) -> int:  # noqa: ANN001
    with FlopCounterMode(display=False) as counter:
        function(*args)
    return counter.get_total_flops()


def pair(dtype: torch.dtype) -> tuple[AvgPoolResidualUNet, AvgPoolResidualUNet]:
    """A fused and an unfused network of the same weights, with batch statistics that are not the initial ones."""
    torch.manual_seed(0)
    fused = AvgPoolResidualUNet(width=4, fused=True).to(dtype)
    for name, buffer in fused.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    unfused = AvgPoolResidualUNet(width=4, fused=False).to(dtype)
    unfused.load_state_dict(fused.state_dict())
    return fused, unfused


def test_parameters_of_the_paper():
    assert sum(p.numel() for p in AvgPoolResidualUNet().parameters()) == 8_902_626


def test_first_layers_and_shortcut_by_hand():
    network = AvgPoolResidualUNet(width=4).eval()
    x = torch.randn(1, 2, 32, 16, 16)
    unit = network.down[0]
    y = unit(x)
    assert y.shape == (1, 4, 16, 8, 8)
    expected = unit.conv(x)
    expected[:, :2] += functional.avg_pool3d(x, 3, stride=2, padding=1)
    torch.testing.assert_close(y, expected)
    deepest = network.down[4]
    z = torch.randn(1, 32, 2, 1, 1)
    torch.testing.assert_close(deepest(z)[:, :32], deepest.conv(z)[:, :32] + z)
    order = [type(module).__name__ for module in unit.conv[0].modules() if not list(module.children())]
    assert order == ["Conv3d", "BatchNorm3d", "Dropout", "PReLU"]


def test_dropout_is_elementwise_and_the_last_convolution_bare():
    network = AvgPoolResidualUNet(width=4)
    dropouts = [m for m in network.modules() if isinstance(m, torch.nn.modules.dropout._DropoutNd)]
    assert {(type(m), m.p) for m in dropouts} == {(torch.nn.Dropout, 0.2)}
    assert [type(m) for m in network.up[-1].reduce.children()] == [torch.nn.Conv3d]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_upsample_convolve_equals_interpolation_and_convolution(dtype: torch.dtype, tolerance: float):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 3, 5, 4, 6), torch.randn(7, 3, 3, 3, 3), torch.randn(7)
    x, weight, bias = (t.to(dtype).requires_grad_() for t in (x, weight, bias))
    fused = upsample_convolve(x, weight, bias)
    plain = functional.conv3d(functional.interpolate(x, scale_factor=2), weight, bias, padding=1)
    torch.testing.assert_close(fused, plain, atol=10 * tolerance, rtol=tolerance)
    direction = torch.randn_like(plain)
    for ours, theirs in zip(
        torch.autograd.grad(fused, (x, weight, bias), direction),
        torch.autograd.grad(plain, (x, weight, bias), direction),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=100 * tolerance, rtol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("train", [False, True])
def test_fused_network_equals_the_unfused(dtype: torch.dtype, tolerance: float, train: bool):
    x = torch.randn(2, 2, 32, 32, 48, generator=torch.Generator().manual_seed(1)).to(dtype)
    outputs, gradients, states = [], [], []
    for network in pair(dtype):
        network.train(train)
        torch.manual_seed(2)  # the same dropout
        output = network(x)
        output.square().mean().backward()
        outputs.append(output.detach())
        gradients.append({name: p.grad for name, p in network.named_parameters()})
        states.append(network.state_dict())
    assert outputs[0].shape == (2, 1, 32, 32, 48)
    torch.testing.assert_close(outputs[0], outputs[1], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(states[0], states[1], atol=tolerance, rtol=tolerance)
    largest = max(float(g.abs().max()) for g in gradients[1].values())
    for name, gradient in gradients[0].items():
        assert (gradient - gradients[1][name]).abs().max() < 10 * tolerance * max(1.0, largest), name


@pytest.mark.parametrize("shape", [(24, 32, 32), (32, 100, 32), (32, 32, 8)])
def test_sizes_must_be_multiples_of_16(shape: tuple[int, int, int]):
    with pytest.raises(ValueError, match="multiples of 16"):
        AvgPoolResidualUNet(width=2)(torch.zeros(1, 2, *shape))


def test_smallest_size_is_computed_or_refused():
    # The average pools of PyTorch refuse inputs smaller than their kernel: 16 voxels are 2 at the last of them.
    try:
        output = AvgPoolResidualUNet(width=2).eval()(torch.zeros(1, 2, 32, 16, 32))
    except ValueError:
        return
    assert output.shape == (1, 1, 32, 16, 32)


def test_fused_layer_needs_3_4_times_fewer_operations():
    x, weight, bias = torch.randn(1, 4, 6, 6, 6), torch.randn(4, 4, 3, 3, 3), torch.randn(4)
    plain = flops(lambda t: functional.conv3d(functional.interpolate(t, scale_factor=2), weight, bias, padding=1), x)
    # 8 outputs of 27 taps against 64 taps per input voxel. Merging the kernel costs a little, whatever the size of x.
    merging = flops(upsample_convolve, x, weight, bias) - 2 * 6**3 * 64 * 16
    assert plain == 2 * 12**3 * 27 * 16
    assert 0 <= merging <= 2 * 16 * 3 * (36 + 48 + 64)
    assert plain / (2 * 6**3 * 64 * 16) == 27 / 8


def test_operations_of_the_paper_volume():
    x = torch.empty(1, 2, 192, 192, 192, device="meta")
    unfused, fused = (flops(AvgPoolResidualUNet(fused=f).to("meta").eval(), x) / 1e9 for f in (False, True))
    assert unfused == pytest.approx(937.9, abs=0.05)
    assert fused == pytest.approx(378.5, rel=0.01)
