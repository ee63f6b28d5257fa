"""The losses of CycleGAN are their formulas, and each reaches the networks that it trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shared.methods.tsgm.cyclegan import DOMAINS, CycleGAN


@pytest.fixture
def model() -> CycleGAN:
    """Small networks with the paper's weights of the losses, none of whose layers is 0."""
    torch.manual_seed(0)
    model = CycleGAN(width=4, blocks=1).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def images() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {d: torch.rand(2, 1, 32, 40, generator=generator, dtype=torch.float64) * 2 - 1 for d in DOMAINS}


def reached(model: CycleGAN, loss: torch.Tensor) -> set[str]:
    """Networks ("generators.tumor") with a gradient from the loss; the whole of each, but biases before a norm."""
    model.zero_grad()
    loss.backward()
    names = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    networks = {".".join(name.split(".")[:2]) for name in names}
    weights = [name for name, p in model.named_parameters() if p.ndim > 1]
    assert {name for name in weights if ".".join(name.split(".")[:2]) in networks} <= names
    return networks


def constant_logit(model: CycleGAN, value: float) -> None:
    """Make the discriminators answer ``value`` everywhere."""
    for judge in model.discriminators.values():
        for parameter in judge.parameters():
            nn.init.zeros_(parameter)
        nn.init.constant_(judge.final_conv.conv.bias, value)


def test_discriminators_are_the_70_pixel_patch_gan_of_the_paper():
    judge = CycleGAN(blocks=0).discriminators["tumor"]
    assert sum(p.numel() for p in judge.parameters()) == 2_762_689
    with torch.no_grad():
        assert judge(torch.zeros(1, 1, 256, 256))[-1].shape == (1, 1, 30, 30)


def test_a_logit_sees_70_pixels(model):
    judge = model.discriminators["healthy"]
    for layer in judge.modules():
        if isinstance(layer, nn.Sequential) and hasattr(layer, "N"):
            layer.N = nn.Identity()  # the instance norm sees the whole image
    image = torch.zeros(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    logits = judge(image)[-1]
    (gradient,) = torch.autograd.grad(logits[0, 0, 7, 7], image)
    rows, columns = gradient[0, 0].nonzero().unbind(dim=1)
    assert rows.max() - rows.min() + 1 == 70 and columns.max() - columns.min() + 1 == 70


def test_generators_have_the_size_of_the_paper():
    assert sum(p.numel() for p in CycleGAN().generators.parameters()) == 2 * 11_365_633


def test_generator_loss_is_its_formula(model, images):
    losses = model.generator_loss(images)
    with torch.no_grad():
        to_tumor, to_healthy = model.generators["tumor"], model.generators["healthy"]
        healthy, tumor = images["healthy"], images["tumor"]
        fake_tumor, fake_healthy = to_tumor(healthy), to_healthy(tumor)
        judged_tumor = model.discriminators["tumor"](fake_tumor)[-1].numpy()
        judged_healthy = model.discriminators["healthy"](fake_healthy)[-1].numpy()
        healthy_again, tumor_again = to_healthy(fake_tumor).numpy(), to_tumor(fake_healthy).numpy()
        same_tumor, same_healthy = to_tumor(tumor).numpy(), to_healthy(healthy).numpy()
    healthy, tumor = healthy.numpy(), tumor.numpy()
    adversarial = np.mean((judged_tumor - 1) ** 2) + np.mean((judged_healthy - 1) ** 2)
    cycle = np.mean(np.abs(healthy_again - healthy)) + np.mean(np.abs(tumor_again - tumor))
    identity = np.mean(np.abs(same_tumor - tumor)) + np.mean(np.abs(same_healthy - healthy))
    assert (judged_tumor < 0).any()  # where MONAI's activation would have changed the loss
    assert losses.adversarial.item() == pytest.approx(adversarial, rel=1e-9)
    assert losses.cycle.item() == pytest.approx(cycle, rel=1e-9)
    assert losses.identity.item() == pytest.approx(identity, rel=1e-9)
    assert losses.total.item() == pytest.approx(adversarial + 10 * cycle + 5 * identity, rel=1e-9)
    torch.testing.assert_close(losses.fakes, {"healthy": fake_healthy, "tumor": fake_tumor})


def test_discriminator_loss_is_its_formula(model, images):
    fakes = {domain: image.flip(0, 2) * 0.7 for domain, image in images.items()}
    expected = 0.0
    for domain in ("healthy", "tumor"):
        with torch.no_grad():
            real = model.discriminators[domain](images[domain])[-1].numpy()
            fake = model.discriminators[domain](fakes[domain])[-1].numpy()
        expected += 0.5 * (np.mean((real - 1) ** 2) + np.mean(fake**2))
    assert model.discriminator_loss(images, fakes).item() == pytest.approx(expected, rel=1e-9)


def test_losses_where_the_discriminators_know_nothing(model, images):
    constant_logit(model, 0.5)
    assert model.generator_loss(images).adversarial.item() == pytest.approx(2 * 0.25)
    assert model.discriminator_loss(images, images).item() == pytest.approx(2 * 0.25)


def test_with_generators_at_the_identity_only_the_adversarial_loss_remains(images):
    torch.manual_seed(0)
    model = CycleGAN(width=4, blocks=1, residual=True).double()
    losses = model.generator_loss(images)
    assert losses.cycle == 0 and losses.identity == 0 and losses.total == losses.adversarial > 0


def test_the_generators_loss_trains_both_generators_alone(model, images):
    assert reached(model, model.generator_loss(images).total) == {"generators.healthy", "generators.tumor"}
    assert all(p.requires_grad for p in model.parameters())


def test_the_discriminators_loss_trains_both_discriminators_alone(model, images):
    fakes = {domain: model.generators[domain](images[source]) for domain, source in DOMAINS.items()}
    assert all(fake.requires_grad for fake in fakes.values())
    networks = reached(model, model.discriminator_loss(images, fakes))
    assert networks == {"discriminators.healthy", "discriminators.tumor"}


def test_the_adversarial_loss_passes_through_the_discriminators_to_the_generators(model, images):
    model.cycle = model.identity = 0.0
    assert reached(model, model.generator_loss(images).total) == {"generators.healthy", "generators.tumor"}


def test_what_is_reported_holds_no_graph(model, images):
    losses = model.generator_loss(images)
    reported = [losses.adversarial, losses.cycle, losses.identity, *losses.fakes.values()]
    assert losses.total.requires_grad and not any(tensor.requires_grad for tensor in reported)


def test_weights_of_the_losses_can_be_chosen(images):
    model = CycleGAN(width=4, blocks=1, cycle=15.0, identity=10.0).double()
    losses = model.generator_loss(images)
    weighted = losses.adversarial + 15 * losses.cycle + 10 * losses.identity
    assert losses.total.item() == pytest.approx(weighted.item())


def test_domains_and_numbers_of_images_may_differ(model, images):
    images["tumor"] = images["tumor"][:1, :, :, :32]
    losses = model.generator_loss(images)
    assert losses.fakes["healthy"].shape == (1, 1, 32, 32) and losses.fakes["tumor"].shape == (2, 1, 32, 40)
    assert model.discriminator_loss(images, losses.fakes).isfinite()
