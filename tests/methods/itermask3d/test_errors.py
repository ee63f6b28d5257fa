"""Errors of a reconstruction whose residual is known, with statistics that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.anomaly.healthy_statistics import HealthyStatistics
from shared.anomaly.residuals import SmoothedResidual
from shared.brains.template_registration import RasGrid
from shared.methods.itermask3d.errors import SquaredError, StandardisedError

SPACING = (4.0, 4.0, 4.0)


def brain_mask(size: int = 24) -> torch.Tensor:
    """An ellipsoid in a field of ``1 1 size^3``."""
    x, y, z = torch.meshgrid(*[torch.linspace(-1.2, 1.2, size)] * 3, indexing="ij")
    return ((x / 0.8) ** 2 + y**2 + (z / 0.7) ** 2 < 1).float()[None, None]


def anatomy(brain: torch.Tensor) -> torch.Tensor:
    """A normalised image with structure, background -3."""
    waves = torch.sin(torch.arange(brain[0, 0].numel()).reshape(brain.shape) / 37.0)
    return torch.where(brain > 0, 1.5 + waves, -3.0)


def test_squared_error_is_that_of_the_paper_and_0_outside():
    brain = brain_mask()
    error, facts = SquaredError().of_case(torch.full_like(brain, 3.0), brain)
    assert torch.equal(error(torch.ones_like(brain)), 4 * brain) and facts == {}


def test_smoothed_errors_cancel_where_they_alternate_and_stay_where_they_agree():
    brain = torch.ones(1, 1, 24, 24, 24)
    alternating = (torch.arange(24) % 2 * 2.0 - 1).reshape(1, 1, 24, 1, 1).expand_as(brain)
    smooth = SquaredError([1.5] * 3)
    assert smooth.of_case(alternating, brain)[0](torch.zeros_like(brain))[..., 6:-6, 6:-6, 6:-6].max() < 1e-3
    torch.testing.assert_close(smooth.of_case(brain * 2, brain)[0](torch.zeros_like(brain)), brain * 4)


def statistics_of(brain: torch.Tensor, mean: float, sd: torch.Tensor) -> HealthyStatistics:
    """The template is the case itself, so that each place is known."""
    template = (anatomy(brain) + 3)[0, 0]
    constant = torch.full_like(template, mean)
    volumes = torch.stack([template, brain[0, 0], constant, sd, constant, sd])
    return HealthyStatistics(volumes, RasGrid(SPACING), {"weights_sha256": "", "settings": {}, "cases": []})


@pytest.mark.parametrize(("lesions", "sign"), [("dark", -1), ("bright", 1)])
def test_standardised_error_is_the_known_residual_less_its_mean_over_its_spread(lesions: str, sign: int):
    brain = brain_mask()
    reconstruction, lesion = anatomy(brain), torch.zeros_like(brain)
    lesion[..., 9:13, 9:13, 9:13] = 1
    sd = 0.2 + 0.1 * torch.arange(24.0).reshape(24, 1, 1).expand(24, 24, 24) / 24
    statistics = statistics_of(brain, 0.05, sd)
    residual = SmoothedResidual(lesions, None, 0.0, SPACING)
    error_of, facts = StandardisedError(residual, statistics).of_case(reconstruction, brain)
    assert facts == {"registered": True, "notes": []}
    assert error_of(reconstruction).abs().max() == 0  # nothing departs, and the mean is above 0
    image = reconstruction + sign * 0.6 * lesion
    error_of, _ = StandardisedError(residual, statistics).of_case(image, brain)
    expected = (0.6 - 0.05) / sd[9:13, 9:13, 9:13]
    torch.testing.assert_close(error_of(reconstruction)[0, 0, 9:13, 9:13, 9:13], expected, rtol=0.05, atol=0.05)
    assert error_of(reconstruction)[lesion == 0].max() < 0.3
    other_side, _ = StandardisedError(residual, statistics).of_case(reconstruction - sign * 0.6 * lesion, brain)
    assert other_side(reconstruction)[lesion > 0].max() < 0.3


def test_other_contrast_of_the_scanner_is_no_error():
    brain = brain_mask()
    reconstruction = anatomy(brain)
    image = torch.where(brain > 0, 3 * ((reconstruction + 3) / 6) ** 1.4 * 2 - 3, -3.0)
    error = StandardisedError(
        SmoothedResidual("dark", None, 0.0, SPACING), statistics_of(brain, 0.0, brain[0, 0] + 0.2)
    )
    error_of, _ = error.of_case(image, brain)
    assert error_of(error.matched(reconstruction, image, brain)).max() < 0.15
    assert torch.equal(SquaredError().matched(reconstruction, image, brain), reconstruction)


def test_brain_that_cannot_be_registered_is_held_against_the_average_and_the_report_says_so():
    brain = brain_mask()
    sd = torch.full((24, 24, 24), 0.5)
    statistics = statistics_of(brain, 0.0, sd)
    random = torch.from_numpy(np.random.default_rng(0).normal(size=brain.shape).astype(np.float32))
    image = random * 2  # noise without a brain's outline
    error_of, facts = StandardisedError(SmoothedResidual("dark", None, 0.0, SPACING), statistics).of_case(
        image, torch.ones_like(brain)
    )
    assert not facts["registered"] and "registered" in facts["notes"][0]
    assert error_of(image).abs().max() == 0 and error_of(image + 1).isfinite().all()
