"""The intensity baseline: its values follow from the normalisation ``6 x / p90 - 3``."""

from __future__ import annotations

import pytest
import torch

from shared.anomaly.baselines import IntensityInferer

NETWORK = torch.nn.Identity()


def inputs(intensities: list[float], brain: list[float]) -> torch.Tensor:
    """``1 2 N 1 1``: intensities in units of the 90th percentile, normalised, and the brain mask."""
    normalised = [6 * x - 3 for x in intensities]
    return torch.tensor([[normalised, brain]])[..., None, None]


@pytest.mark.parametrize(
    ("bright", "expected"),
    # Distance from the 90th percentile (6 units) when lesions are dark, from 0 when they are bright; never below 0.
    [(False, [6.0, 3.0, 0.0, 0.0, 0.0]), (True, [0.0, 3.0, 6.0, 9.0, 0.0])],
)
def test_values(bright: bool, expected: list[float]):
    given = inputs([0, 0.5, 1, 1.5, 0.5], [1, 1, 1, 1, 0])
    out = IntensityInferer(bright)(given, NETWORK)
    assert out.shape == given.shape
    torch.testing.assert_close(out[0, 0, :, 0, 0], torch.tensor(expected))
    assert torch.equal(out[:, 1], given[:, 0]), "the pseudo-healthy brain is the image: nothing is learnt"


def test_negative_intensities_are_dark_and_not_bright():
    given = inputs([-0.5], [1])
    assert IntensityInferer(False)(given, NETWORK)[0, 0].item() == 9
    assert IntensityInferer(True)(given, NETWORK)[0, 0].item() == 0


@pytest.mark.parametrize("bright", [False, True])
def test_batch_is_its_single_cases(bright: bool):
    generator = torch.Generator().manual_seed(0)
    image = 4 * torch.rand(3, 1, 6, 5, 4, generator=generator) - 3
    batch = torch.cat([image, (torch.rand(image.shape, generator=generator) > 0.5).float()], dim=1)
    inferer = IntensityInferer(bright)
    together = inferer(batch, NETWORK)
    assert len(inferer.history) == 3 and all(entry == {"network_evaluations": 0} for entry in inferer.history)
    for number in range(3):
        assert torch.equal(inferer(batch[number : number + 1], NETWORK)[0], together[number])
        assert len(inferer.history) == 1


def test_network_is_not_asked_and_input_is_left_alone():
    def network(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("no network is needed")

    given = inputs([0, 1], [1, 1])
    before = given.clone()
    IntensityInferer()(given, network)
    assert torch.equal(given, before)
