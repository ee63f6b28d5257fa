"""The generator is the paper's network, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from shared.methods.tsgm.generator import ResnetGenerator


def small(**options) -> ResnetGenerator:
    torch.manual_seed(0)
    return ResnetGenerator(width=4, blocks=2, **options).double()


def from_the_paper(generator: ResnetGenerator, x: torch.Tensor) -> torch.Tensor:
    """The network before its last activation, written out with the generator's convolutions in their order.

    In the residual form each pixel is repeated and then convolved where the paper has a transposed convolution.
    """
    layers = [m for m in generator.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    first, down, blocks, up, last = layers[0], layers[1:3], layers[3:-3], layers[-3:-1], layers[-1]

    def reflected(x: torch.Tensor, layer: nn.Module, border: int) -> torch.Tensor:
        return functional.conv2d(functional.pad(x, (border,) * 4, mode="reflect"), layer.weight, layer.bias)

    def normalised(x: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = normalised(reflected(x, first, 3)).relu()
    for layer in down:
        x = normalised(functional.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)).relu()
    for one, two in zip(blocks[::2], blocks[1::2], strict=True):
        x = x + normalised(reflected(normalised(reflected(x, one, 1)).relu(), two, 1))
    for layer in up:
        if generator.residual:
            repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = functional.conv2d(repeated, layer.weight, layer.bias, padding=1)
        else:
            x = functional.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1, output_padding=1)
        x = normalised(x).relu()
    return reflected(x, last, 3)


def test_the_default_has_the_size_of_the_paper():
    assert sum(p.numel() for p in ResnetGenerator().parameters()) == 11_365_633
    assert sum(p.numel() for p in ResnetGenerator(channels=3).parameters()) == 11_378_179


def test_the_residual_form_has_the_same_size():
    assert sum(p.numel() for p in ResnetGenerator(residual=True).parameters()) == 11_365_633
    convolutions = [type(m) for m in small(residual=True).modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert set(convolutions) == {nn.Conv2d}


def test_it_computes_what_the_paper_writes():
    generator, x = small(), torch.randn(2, 1, 16, 12, dtype=torch.float64)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3)  # biases too
    torch.testing.assert_close(generator(x), from_the_paper(generator, x).tanh())


def test_the_residual_form_adds_its_output_to_the_image():
    generator, x = small(residual=True), 5 * torch.randn(2, 1, 16, 12, dtype=torch.float64)
    nn.init.normal_(generator.last.weight)
    torch.testing.assert_close(generator(x), x + from_the_paper(generator, x))


def test_the_residual_form_starts_at_the_identity_and_learns():
    generator, x = small(residual=True, channels=3), 5 * torch.randn(2, 3, 16, 12, dtype=torch.float64)
    assert torch.equal(generator(x), x)
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
    for _ in range(2):  # the first step moves the last convolution alone
        optimizer.zero_grad()
        generator(x).square().mean().backward()
        optimizer.step()
    assert all(p.grad.any() for name, p in generator.named_parameters() if name.endswith("weight"))


def without_norm(generator: ResnetGenerator) -> ResnetGenerator:
    """Instance norms, which see the whole image, replaced; all weights and biases drawn anew."""
    for module in list(generator.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.1)
    return generator


@pytest.mark.parametrize("residual", [True, False])
def test_only_the_paper_s_form_leaves_a_checkerboard(residual):
    """In a constant image, away from its border, the residual form changes all pixels alike."""
    generator = without_norm(small(residual=residual))
    x = torch.full((1, 1, 96, 96), 0.5, dtype=torch.float64)
    with torch.no_grad():
        change = (generator(x) - x)[0, 0, 40:56, 40:56]
    torch.testing.assert_close(change[4:], change[:-4])  # at most periodic with the strides
    alternating = (-1.0) ** torch.arange(16, dtype=torch.float64)
    checkerboard = (change * alternating).mean().abs() + (change * alternating[:, None]).mean().abs()
    if residual:
        assert checkerboard < 1e-12 and change.std() < 1e-12 and change.abs().min() > 1e-3
    else:
        assert checkerboard > 1e-3


def test_weights_start_small_and_biases_at_zero():
    torch.manual_seed(0)
    parameters = dict(ResnetGenerator(width=16, blocks=1).named_parameters())
    weights = torch.cat([p.detach().flatten() for name, p in parameters.items() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02) and abs(weights.mean().item()) < 2e-4
    assert not any(p.any() for name, p in parameters.items() if name.endswith("bias"))


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (64, 48)])
def test_the_size_of_the_image_is_kept(size):
    assert small()(torch.zeros(1, 1, *size, dtype=torch.float64)).shape == (1, 1, *size)


def test_it_works_the_same_in_training_and_evaluation_and_alone_or_in_a_batch():
    generator, x = small(), torch.randn(3, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(generator.train()(x)[1:2], generator.eval()(x[1:2]))
