"""TSGM end to end on a toy: learn to take discs off ellipses, from pairs that a known generator makes; slow."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from shared.diffusion.noise_levels import geometric_sigmas
from shared.diffusion.unet import UNetShape
from shared.methods.tsgm.conditional import ConditionalDenoiser, WeightedSquaredError
from shared.methods.tsgm.inferer import TSGMInferer
from shared.methods.tsgm.pseudo_lesions import uniform
from shared.methods.tsgm.training import PseudoPairPrepareBatch, TrainingLevels

SIZE, UNIT, STEPS = 24, 2.0, 150
SEQUENCES = ["t1", "flair"]
CONTRAST = torch.tensor([-0.4, 0.4]).reshape(2, 1, 1)  # of a disc
X, Y = torch.meshgrid(*(torch.arange(SIZE, dtype=torch.float32) for _ in range(2)), indexing="ij")
SIGMA_MIN, SIGMA_MAX = 0.01, 80.0
SIGMA_DIFFERENCE = 0.08  # of a slice with a disc to that without


def brains(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ellipses ``count 2 X Y`` of smooth tissue whose median is 0.5, with dark ventricles, and their mask."""
    made, masks = [], []
    for _ in range(count):
        centre, radii = uniform(11, 13, 2), uniform(8, 11, 2)
        away = (((X - centre[0]) / radii[0]) ** 2 + ((Y - centre[1]) / radii[1]) ** 2).sqrt()
        mask = (away < 1).float()
        tissue = 0.5 + 0.05 * interpolate(torch.randn(1, 2, 5, 5), (SIZE, SIZE), mode="bicubic")[0]
        tissue = torch.where(away < uniform(0.15, 0.3), 0.3, tissue)
        tissue = tissue * 0.5 / tissue[:, mask > 0].median(dim=1).values[:, None, None]
        made.append(tissue * mask)
        masks.append(mask[None])
    return torch.stack(made), torch.stack(masks)


def discs(brain: torch.Tensor) -> torch.Tensor:
    """A disc in each brain ``B 1 X Y``, of the same shape, 0/1."""
    made = []
    for mask in brain[:, 0]:
        inside = mask.nonzero().float()
        centre, radius = inside[torch.randint(len(inside), ())], uniform(2, 4)
        made.append(mask * (((X - centre[0]) ** 2 + (Y - centre[1]) ** 2) < radius**2))
    return torch.stack(made)[:, None]


class Oracle(nn.Module):
    """The perfect generator of the domain "tumor": adds a disc, in the units of -1 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + 2 * CONTRAST * discs((images[:, :1] > -1).float())


def volume_of(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The toys as the slices of one volume ``1 3 X Y Z``."""
    return torch.cat([images * UNIT - 3, mask], dim=1).permute(1, 2, 3, 0)[None]


@pytest.fixture(scope="module")
def trained() -> ConditionalDenoiser:
    torch.manual_seed(0)
    unet = UNetShape(width=16, multipliers=(1, 2), attention_levels=(), blocks=1, dropout=0.0)
    network = ConditionalDenoiser(2, unet, 0.2, 0.25, SIGMA_DIFFERENCE, (SIGMA_MIN, SIGMA_MAX))
    prepare = PseudoPairPrepareBatch(
        SEQUENCES,
        nn.ModuleDict({"tumor": Oracle()}),
        {"generated": 0.8, "identical": 0.2},
        TrainingLevels((SIGMA_MIN, SIGMA_MAX), SIGMA_DIFFERENCE),
        drop_sequences=0.5,
    )
    pool, masks = brains(256)
    loss = WeightedSquaredError()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        drawn = torch.randint(len(pool), (16,))
        images, mask = pool[drawn], masks[drawn]
        batch = {"healthy": images, "healthy_brain_mask": mask, "healthy_lesion_free": mask}
        noisy, target, given, _ = prepare({**batch, "tumor": images, "tumor_brain_mask": mask})
        optimizer.zero_grad()
        error = loss(network(noisy, *given), target)
        error.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@pytest.fixture(scope="module")
def toys() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Held out: images, brain and disc."""
    torch.manual_seed(100)
    images, mask = brains(10)
    return images, mask, discs(mask)


def change_of(images: torch.Tensor, mask: torch.Tensor, network: ConditionalDenoiser, *, absent: str) -> torch.Tensor:
    """``N X Y``: what was taken off, in units of the contrast of a disc."""
    volume = volume_of(images, mask)
    for channel, name in enumerate(SEQUENCES):
        volume[0, channel] += torch.nan if name == absent else 0
    inferer = TSGMInferer(
        sequences=SEQUENCES,
        errors={"t1": "dark", "flair": "bright"},
        fusion_weights={"t1": 0.5, "flair": 1.0},
        sigmas=geometric_sigmas(5, SIGMA_MIN, SIGMA_MAX),
        samples=4,
        amp=False,
    )
    return inferer(volume, network)[0, 0].permute(2, 0, 1) / UNIT / CONTRAST[1]


@pytest.mark.slow
@pytest.mark.parametrize("absent", ["", "t1"])
class TestToy:
    def test_discs_are_found(self, trained, toys, absent: str):
        images, mask, lesions = toys
        found = change_of(images + CONTRAST * lesions, mask, trained, absent=absent) > 0.5
        lesion = lesions[:, 0] > 0
        assert 2 * float((found & lesion).sum()) / float(found.sum() + lesion.sum()) > 0.8

    def test_healthy_brains_stay_as_they_are(self, trained, toys, absent: str):
        images, mask, _ = toys
        change = change_of(images, mask, trained, absent=absent)[mask[:, 0] > 0]
        assert change.abs().mean() < 0.1
        assert (change > 0.5).float().mean() < 0.002
