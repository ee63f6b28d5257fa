"""CycleGAN between slices without and with a tumour, the first stage of TSGM (arXiv 2311.03074, equations 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from torch import nn
from torch.func import functional_call
from torch.nn.functional import l1_loss

from .generator import ResnetGenerator

# Each domain and the one that its images are translated from.
DOMAINS = {"healthy": "tumor", "tumor": "healthy"}


class GeneratorLosses(NamedTuple):
    """Losses of the generators in one iteration, each the sum over the two domains, and the images they drew.

    ``total`` is the weighted sum to minimise. All else is without gradient: the losses before weighting, for
    monitoring, and ``fakes``, ``B C X Y`` for each domain, for the image pools.
    """

    total: torch.Tensor
    adversarial: torch.Tensor
    cycle: torch.Tensor
    identity: torch.Tensor
    fakes: dict[str, torch.Tensor]


class CycleGAN(nn.Module):
    """Two generators and two discriminators, both by the domain ("healthy", "tumor") they draw or judge.

    The adversarial loss is least-squares as in the authors' code, where the paper prints logarithms. The identity
    loss, which the paper does not mention, is the authors' default too. With the defaults a generator has 11,365,633
    and a discriminator (70 x 70 PatchGAN) 2,762,689 parameters.

    Args:
        in_channels: of the images.
        width: of the first layer of all networks.
        blocks: residual blocks of a generator.
        residual: generators that learn the change of the image, see :class:`~.generator.ResnetGenerator`.
        cycle: weight of the mean absolute error after a cycle.
        identity: weight of the mean absolute error of a generator on images that are of its domain already.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 64,
        blocks: int = 9,
        residual: bool = False,
        cycle: float = 10.0,
        identity: float = 5.0,
    ) -> None:
        super().__init__()
        self.cycle, self.identity = cycle, identity
        self.generators = nn.ModuleDict({d: ResnetGenerator(in_channels, width, blocks, residual) for d in DOMAINS})
        self.discriminators = nn.ModuleDict(
            {d: PatchDiscriminator(2, width, in_channels, num_layers_d=3, norm="INSTANCE", bias=True) for d in DOMAINS}
        )
        # MONAI's default passes the logits through a leaky ReLU before the square, which is not least-squares GAN.
        self.adversarial = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)

    def forward(
        self, images: Mapping[str, torch.Tensor], fakes: Mapping[str, torch.Tensor] | None = None
    ) -> GeneratorLosses | torch.Tensor:
        """:meth:`generator_loss`, or :meth:`discriminator_loss` where fakes are given; what several GPUs call."""
        return self.generator_loss(images) if fakes is None else self.discriminator_loss(images, fakes)

    def generator_loss(self, images: Mapping[str, torch.Tensor]) -> GeneratorLosses:
        """Losses on unpaired images of both domains, ``B C X Y`` each; no gradient reaches the discriminators."""
        fakes = {domain: self.generators[domain](images[source]) for domain, source in DOMAINS.items()}
        adversarial = reduce(torch.add, (self._realness(domain, fakes[domain]) for domain in DOMAINS))
        cycles = (l1_loss(self.generators[source](fakes[d]), images[source]) for d, source in DOMAINS.items())
        identities = (l1_loss(self.generators[domain](images[domain]), images[domain]) for domain in DOMAINS)
        cycle, identity = reduce(torch.add, cycles), reduce(torch.add, identities)
        total = adversarial + self.cycle * cycle + self.identity * identity
        drawn = {domain: fake.detach() for domain, fake in fakes.items()}
        return GeneratorLosses(total, adversarial.detach(), cycle.detach(), identity.detach(), drawn)

    def discriminator_loss(self, images: Mapping[str, torch.Tensor], fakes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the domains of the mean of both errors, real as 1 and fake as 0; no gradient reaches the fakes.

        Args:
            images: real ones of both domains, ``B C X Y`` each.
            fakes: of both domains, as their :class:`~.image_pool.ImagePool` returns them.
        """
        losses = []
        for domain, judge in self.discriminators.items():
            for image, is_real in ((images[domain], True), (fakes[domain].detach(), False)):
                losses.append(self.adversarial(judge(image)[-1], target_is_real=is_real, for_discriminator=True))
        return torch.stack(losses).sum() / 2

    def _realness(self, domain: str, fake: torch.Tensor) -> torch.Tensor:
        """How far the discriminator, held constant, is from taking a fake for real."""
        judge = self.discriminators[domain]
        constants = {name: parameter.detach() for name, parameter in judge.named_parameters()}
        logits = functional_call(judge, constants, (fake,))[-1]
        return self.adversarial(logits, target_is_real=True, for_discriminator=False)
