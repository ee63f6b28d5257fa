"""Brains of three sequences in closed form, and denoisers whose answers on them are known.

The brains are 2 ``UNITS`` times an image whose median is 0.5 in each slice.
"""

from __future__ import annotations

from typing import Any

import torch

from shared.diffusion.noise_levels import geometric_sigmas
from shared.methods.tsgm.inferer import TSGMInferer

SEQUENCES = ["t1", "t1ce", "flair"]
UNITS = torch.tensor([1.25, 0.8, 2.0])
SIZE = 16
X, Y = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
TISSUE = torch.tensor([0.25, 0.5, 0.75, 0.5])[(X + 2 * Y) % 4]  # its median is 0.5, also with a small lesion
BRAIN = torch.zeros(SIZE, SIZE, 4)  # slice 1 is empty
BRAIN[2:14, 1:15, 0] = BRAIN[3:13, 2:14, 2] = BRAIN[4:12, 2:14, 3] = 1
NUMBERS = [0, 2, 3]
LESION = torch.zeros(SIZE, SIZE, 4)
LESION[6:9, 5:8, 2] = 1
SIGMA_MIN, SIGMA_MAX = 0.01, 80.0
BRIGHT = dict.fromkeys(SEQUENCES, "bright")
WEIGHTS = {"t1": 1.0, "t1ce": 3.0, "flair": 6.0}
FLAIR = {"fusion_weights": {"t1": 0.0, "t1ce": 0.0, "flair": 1.0}}
ONE_STEP = torch.tensor([SIGMA_MAX, 0.0])
FAST = {
    "sequences": SEQUENCES,
    "errors": BRIGHT,
    "fusion_weights": WEIGHTS,
    "sigmas": geometric_sigmas(3, SIGMA_MIN, SIGMA_MAX),
    "amp": False,
}


class Denoiser:
    """In place of the network: draws ``channels`` sequences together, each by :meth:`clean`."""

    def __init__(self, channels: int = 3) -> None:
        self.channels, self.calls = channels, []

    def __call__(self, x, sigma, condition, present=None):
        self.calls.append((x.clone(), float(sigma)))
        assert x.shape[1] == self.channels
        full = torch.full_like(x, 1e9)  # of absent sequences it means nothing
        shown = list(range(self.channels)) if present is None else present[0].nonzero()[:, 0].tolist()
        full[:, shown] = self.clean(x[:, shown], float(sigma), condition[:, shown], shown)
        return full

    def clean(self, x: torch.Tensor, sigma: float, condition: torch.Tensor, shown: list[int]) -> torch.Tensor:
        raise NotImplementedError


class Healthy(Denoiser):
    """Knows the healthy brain by heart."""

    def clean(self, x, sigma, condition, shown):
        return TISSUE.expand_as(x)


class Unchanged(Denoiser):
    def clean(self, x, sigma, condition, shown):
        return condition


class Mixing(Denoiser):
    """Depends on all it is given, and on its neighbours in the slice."""

    def clean(self, x, sigma, condition, shown):
        return torch.tanh(0.3 * x + 0.5 * condition.roll(1, -1) + x.roll(2, -2) * condition) + 0.01 * sigma


class SampleBySample(Denoiser):
    """The healthy brain and so much more, another amount in each call; every second sample is drawn mirrored."""

    def __init__(self, more: list[float]) -> None:
        super().__init__()
        self.more = more

    def clean(self, x, sigma, condition, shown):
        call = len(self.calls) - 1
        return ((TISSUE.flip(0) if call % 2 else TISSUE) + self.more[call]).expand_as(x)


class OneSided(Denoiser):
    """Takes 0.1 off the first half of the rows, whatever is there."""

    def clean(self, x, sigma, condition, shown):
        return condition - 0.1 * (torch.arange(x.shape[2]) < x.shape[2] // 2).float()[:, None]


class LinearGaussian(Denoiser):
    """Exact for healthy images N(M, C), each pixel by itself, seen in the patient's as these plus N(0, R)."""

    M = torch.tensor([0.4, 0.5, 0.6])
    C = torch.tensor([[0.06, 0.02, -0.01], [0.02, 0.04, 0.0], [-0.01, 0.0, 0.08]])
    R = torch.diag(torch.tensor([0.02, 0.05, 0.04]))

    def posterior(self, condition: torch.Tensor, shown: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean ``B P X Y`` and covariance ``P P``."""
        mean, prior, noise = self.M[shown], self.C[shown][:, shown], self.R[shown][:, shown]
        gain = prior @ torch.linalg.inv(prior + noise)
        centred = condition - mean[:, None, None]
        return mean[:, None, None] + torch.einsum("pq,bqxy->bpxy", gain, centred), prior - gain @ prior

    def clean(self, x, sigma, condition, shown):
        mean, covariance = self.posterior(condition, shown)
        kept = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(len(shown)))
        return mean + torch.einsum("pq,bqxy->bpxy", kept, x - mean)


def patient(change: float = 0.0, absent: tuple[str, ...] = (), brain: torch.Tensor = BRAIN) -> torch.Tensor:
    """``4 X Y Z``: all sequences, changed in the lesion by so much in half-median units, and the brain mask."""
    images = [unit * (TISSUE[..., None] + change * LESION) * brain - 3 for unit in UNITS]
    images = [image * torch.nan if name in absent else image for name, image in zip(SEQUENCES, images, strict=True)]
    return torch.stack([*images, brain])


def close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5, equal_nan=True)


def share(*names: str) -> dict[str, float]:
    return {name: WEIGHTS[name] / sum(WEIGHTS[n] for n in names) for name in names}


def start_of(network: Denoiser) -> torch.Tensor:
    return torch.cat([x for x, sigma in network.calls if sigma == SIGMA_MAX])


def run(network: Any, volume: torch.Tensor, **settings: Any) -> torch.Tensor:
    """``5 X Y Z``: map, healthy t1, t1ce and flair, standard deviation."""
    return TSGMInferer(**{**FAST, **settings})(volume[None], network)[0]
