"""From healthy counterparts to one map: counterparts that are known, among them the empty one of intensities alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from shared.brains.shading import ShadingRemoval
from shared.brains.units import BACKGROUND
from shared.brains.whole_head import WHOLE_HEAD
from shared.methods.tsgm.inferer import TSGMInferer
from shared.methods.tsgm.pseudo_healthy import IntensityFusionInferer, PseudoHealthyInferer
from tests.helpers.facts import facts_of_batch
from tests.helpers.tsgm_patients import (
    BRAIN,
    BRIGHT,
    FAST,
    LESION,
    NUMBERS,
    SEQUENCES,
    TISSUE,
    UNITS,
    WEIGHTS,
    close,
    patient,
    share,
)

LINEAR = {"t1": "dark", "t1ce": "absolute", "flair": "bright"}


class Known(PseudoHealthyInferer):
    """The counterpart is the tissue without its lesion; of two samples one is it, the other is ``spread`` brighter."""

    spread = 0.1

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: torch.nn.Module
    ) -> tuple[Tensor, Tensor]:
        self.seen = (slices, list(numbers), list(present))
        self.evaluations += 7
        healthy = TISSUE.expand_as(slices)
        return healthy, torch.stack([healthy, healthy + self.spread])


def known(absent: tuple[str, ...] = ()) -> tuple[Known, Tensor]:
    """The inferer after a call, and what it returned for the patient's volume."""
    inferer = Known(SEQUENCES, BRIGHT, WEIGHTS, amp=False)
    return inferer, inferer(patient(0.4, absent)[None], torch.nn.Identity())[0]


@pytest.mark.parametrize("absent", [(), ("t1",), ("t1", "flair")])
def test_residuals_are_weighted_in_the_units_of_the_input(absent):
    """The weights of the sequences that are there make 1; 0.4 half medians are so many units of the input."""
    _, found = known(absent)
    names = [name for name in SEQUENCES if name not in absent]
    height = sum(weight * float(UNITS[SEQUENCES.index(name)]) for name, weight in share(*names).items())
    close(found[0], 0.4 * height * LESION)
    close(found[-1], 0.05 * height * (BRAIN > 0).float())  # of two values 0.1 apart
    for n, name in enumerate(SEQUENCES):
        close(found[1 + n], patient(absent=absent)[n] if name in names else torch.full_like(BRAIN, torch.nan))


def test_the_drawing_sees_the_slices_with_brain_in_units_of_their_half_median():
    inferer, _ = known(absent=("t1ce",))
    slices, numbers, present = inferer.seen
    assert (numbers, present) == (NUMBERS, [0, 2]) and slices.shape == (3, 2, *BRAIN.shape[:2])
    expected = (TISSUE[..., None] + 0.4 * LESION) * BRAIN
    close(slices, expected[..., NUMBERS].permute(2, 0, 1)[:, None].expand_as(slices))


def test_what_was_evaluated_is_told_of_each_volume():
    inferer = Known(SEQUENCES, BRIGHT, WEIGHTS, amp=False)
    result = inferer(torch.stack([patient(), patient(absent=("t1",))]), torch.nn.Identity())
    told = {"slices": 3, "samples": 2, "network_evaluations": 7}
    assert facts_of_batch(result) == [{"sequences": "t1 t1ce flair", **told}, {"sequences": "t1ce flair", **told}]


@pytest.mark.parametrize("errors", [{**BRIGHT, "flair": "squared"}, {"t1": "bright", "t1ce": "bright"}])
@pytest.mark.parametrize("kind", [TSGMInferer, IntensityFusionInferer])
def test_a_missing_or_unknown_error_is_refused(kind, errors):
    options = FAST if kind is TSGMInferer else {"sequences": SEQUENCES, "fusion_weights": WEIGHTS}
    with pytest.raises(ValueError, match="errors needs one of bright, dark, absolute for flair, got"):
        kind(**{**options, "errors": errors})


@pytest.mark.parametrize(
    ("absent", "of_t1", "of_flair"),
    [((), -0.4 / 1.4, 1 / 1.4), (("t1ce",), -0.4 / 1.4, 1 / 1.4), (("t1",), 0.0, 1.0), (("flair",), -1.0, 0.0)],
)
def test_intensities_alone_are_flair_less_a_share_of_t1(absent: tuple[str, ...], of_t1: float, of_flair: float):
    inferer = IntensityFusionInferer(SEQUENCES, LINEAR, {"t1": 0.4, "t1ce": 0.0, "flair": 1.0})
    volume = patient(0.4)
    result = inferer(patient(0.4, absent)[None], torch.nn.Identity())
    found = result[0]
    close(found[0], of_t1 * (volume[0] + 3) + of_flair * (volume[2] + 3))
    present = [n for n, name in enumerate(SEQUENCES) if name not in absent]
    assert (found[1:4][present] == BACKGROUND).all() and not found[4].any()
    assert facts_of_batch(result)[0]["network_evaluations"] == 0


class Follows(PseudoHealthyInferer):
    """The counterpart is the patient's own slice, as that of a network is where it sees no lesion."""

    def _draw(
        self, slices: Tensor, numbers: Sequence[int], present: Sequence[int], network: torch.nn.Module
    ) -> tuple[Tensor, Tensor]:
        self.seen = slices
        return slices, slices[None]


def test_shading_of_a_whole_head_is_removed_before_the_drawing_and_given_back_to_the_counterparts():
    brain = torch.ones(24, 24, 4)
    gains = torch.exp(torch.linspace(-0.3, 0.3, 24))[:, None, None] * brain, brain
    images = torch.stack([5 * gains[0], torch.full_like(brain, torch.nan), 5 * gains[1]]) + BACKGROUND
    batch = torch.stack([torch.cat([images, brain[None]])] * 2)
    heads = MetaTensor(batch, meta={WHOLE_HEAD: torch.tensor([False, True])})
    inferer = Follows(SEQUENCES, BRIGHT, WEIGHTS, shading=ShadingRemoval(degree=2, heads_only=True), amp=False)
    results = inferer(heads, torch.nn.Identity())
    close(inferer.seen, torch.full_like(inferer.seen, 0.5), atol=1e-3)  # of the head, the last one
    for found in results:
        close(found[1:4], images, atol=1e-4)
    prepared, head = facts_of_batch(results)
    assert "shading_t1" not in prepared
    assert head["shading_t1"] == pytest.approx(float(gains[0].log().std()), rel=0.01)
    assert head["shading_flair"] == pytest.approx(0, abs=1e-3)
    assert head["notes"] == [
        "t1: the scan is shaded: its brightness varies by 18 % across the brain (standard deviation); "
        "this was removed before the comparison"
    ]
