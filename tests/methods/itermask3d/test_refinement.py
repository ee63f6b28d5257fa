"""Sweep and refinement with reconstructions whose errors are known exactly."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
import torch

from shared.methods.itermask3d.errors import Error, SquaredError
from shared.methods.itermask3d.refinement import StopRule, refine, threshold_curve

SHAPE = (1, 1, 12, 12, 12)


def brain_mask() -> torch.Tensor:
    """1000 brain voxels, a cube of 10 in a field of 12."""
    brain = torch.zeros(SHAPE)
    brain[..., 1:11, 1:11, 1:11] = 1
    return brain


def ranked_errors(brain: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """A reconstruction of the image 0 whose squared errors in the brain are all different; large outside."""
    reconstruction = torch.full(brain.shape, 99.0)
    count = int(brain.sum())
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).float()
    reconstruction[brain > 0] = 0.001 * (order + 1)
    return reconstruction


class Recorder:
    """A reconstruction that remembers the masks it was asked for."""

    def __init__(self, answer) -> None:  # noqa: ANN001
        self.answer, self.masks = answer, []

    def __call__(self, mask: torch.Tensor) -> torch.Tensor:
        self.masks.append(mask.clone())
        return self.answer(mask)


def squared(reconstruction: torch.Tensor) -> torch.Tensor:
    """The paper's error of a reconstruction of the image 0."""
    return error_of(torch.zeros(SHAPE))(reconstruction)


def error_of(image: torch.Tensor) -> Error:
    return SquaredError().of_case(image, brain_mask())[0]


def test_curve_is_the_order_statistics_of_the_brain():
    brain = brain_mask()
    reconstruct = Recorder(lambda mask: ranked_errors(brain))
    taus = threshold_curve(reconstruct, squared, brain, range(100))
    error = squared(ranked_errors(brain))
    assert [int((error > tau).sum()) for tau in taus] == [1000 - 10 * t for t in range(1, 101)]
    assert taus == sorted(error[brain > 0].tolist())[9::10]
    assert [int(mask.sum()) for mask in reconstruct.masks] == [1000 - 10 * s for s in range(100)]
    assert torch.equal(reconstruct.masks[0], brain)
    for s, mask in enumerate(reconstruct.masks[1:], start=1):
        assert torch.equal(mask, (error > taus[s - 1]).float())


def test_sparse_sweep_reads_the_same_curve_with_fewer_evaluations():
    brain = brain_mask()
    percents = [0, 10, 35, 90, 99]
    reconstruct = Recorder(lambda mask: ranked_errors(brain))
    taus = threshold_curve(reconstruct, squared, brain, percents)
    dense = threshold_curve(lambda mask: ranked_errors(brain), squared, brain, range(100))
    assert taus == [dense[s] for s in percents]
    assert [int(mask.sum()) for mask in reconstruct.masks] == [1000 - 10 * s for s in percents]


def test_masks_come_from_the_latest_errors_and_the_curve_may_dip():
    brain = brain_mask()

    def half_as_wrong_with_less_hidden(mask: torch.Tensor) -> torch.Tensor:
        hidden = int(mask.sum())
        return ranked_errors(brain, seed=hidden) * (1.0 if hidden > 500 else 0.5)

    reconstruct = Recorder(half_as_wrong_with_less_hidden)
    taus = threshold_curve(reconstruct, squared, brain, range(100))
    expected = [(0.01 * t * (1.0 if t <= 50 else 0.5)) ** 2 for t in range(1, 101)]
    assert taus == pytest.approx(expected, rel=1e-5)
    assert taus[50] < taus[49]
    assert [int(mask.sum()) for mask in reconstruct.masks] == [1000 - 10 * s for s in range(100)]
    nested = [bool((after <= before).all()) for before, after in pairwise(reconstruct.masks[1:])]
    assert not any(nested)


@pytest.mark.parametrize("count", [40, 50, 150, 333])
def test_curve_of_brains_that_do_not_divide_by_a_hundred(count: int):
    brain = torch.zeros(SHAPE)
    brain.view(-1)[:count] = 1
    squared_there, _ = SquaredError().of_case(torch.zeros(SHAPE), brain)
    taus = threshold_curve(lambda mask: ranked_errors(brain), squared_there, brain, range(100))
    error = squared_there(ranked_errors(brain))
    for t, tau in enumerate(taus, start=1):
        assert abs(int((error > tau).sum()) - count * (1 - t / 100)) <= 1, t
    assert taus == sorted(taus)


def lesion_in_brain() -> tuple[torch.Tensor, torch.Tensor]:
    """A healthy brain of 1 with errors up to 0.1 to come, and the place of a lesion."""
    lesion = torch.zeros(SHAPE)
    lesion[..., 4:7, 3:6, 5:8] = 1
    return brain_mask(), lesion


def test_refinement_ends_at_the_lesion():
    brain, lesion = lesion_in_brain()
    image = brain + 2 * lesion

    def healthier_with_less_hidden(mask: torch.Tensor) -> torch.Tensor:
        # The healthy brain, and near the lesion an error that fades as the mask gets smaller.
        halo = torch.nn.functional.max_pool3d(lesion, 3, stride=1, padding=1) - lesion
        return brain + halo * (0.8 if mask.sum() > 500 else 0.1)

    reconstruct = Recorder(healthier_with_less_hidden)
    refined = refine(reconstruct, error_of(image), brain, threshold=0.25)
    assert torch.equal(refined.mask, lesion)
    assert torch.equal(refined.reconstruction, healthier_with_less_hidden(lesion))
    # Hidden: all, then lesion and halo (5^3 voxels), then the lesion (3^3); the fourth reconstruction changes nothing.
    assert refined.hidden_shares == pytest.approx([1, 0.125, 0.027])
    assert [int(mask.sum()) for mask in reconstruct.masks] == [1000, 125, 27]


def test_everything_wrong_means_one_pass():
    brain = brain_mask()
    reconstruct = Recorder(lambda mask: torch.full(SHAPE, 5.0))
    refined = refine(reconstruct, squared, brain, threshold=1.0)
    assert len(reconstruct.masks) == 1
    assert torch.equal(refined.mask, brain)
    assert refined.hidden_shares == [1.0]


@pytest.mark.parametrize(("lost", "passes"), [(9, 1), (10, 2), (11, 2)])
def test_stop_ratio_is_a_share_of_the_mask(lost: int, passes: int):
    brain = brain_mask()
    answer = torch.full(SHAPE, 5.0)
    answer.view(-1)[brain.view(-1).nonzero()[:lost, 0]] = 0
    refined = refine(lambda mask: answer, squared, brain, threshold=1.0, stop=StopRule(ratio=0.01))
    assert len(refined.hidden_shares) == passes
    assert int(refined.mask.sum()) == 1000 - lost


def test_growth_stops():
    brain, lesion = lesion_in_brain()
    answers = iter([lesion, brain])
    refined = refine(lambda mask: 2 * next(answers), squared, brain, threshold=1.0)
    assert torch.equal(refined.mask, brain)
    assert refined.hidden_shares == pytest.approx([1, 0.027])


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_passes_are_limited(limit: int):
    brain = brain_mask()

    def two_percent_fewer_each_time(mask: torch.Tensor) -> torch.Tensor:
        hidden = mask.view(-1).nonzero()[:, 0]
        answer = torch.zeros(SHAPE)
        answer.view(-1)[hidden[: int(0.98 * len(hidden))]] = 2
        return answer

    reconstruct = Recorder(two_percent_fewer_each_time)
    refined = refine(reconstruct, squared, brain, threshold=1.0, stop=StopRule(passes=limit))
    assert len(reconstruct.masks) == len(refined.hidden_shares) == limit


def test_oscillating_reconstruction_ends():
    brain, lesion = lesion_in_brain()
    reconstruct = Recorder(lambda mask: 2 * (lesion if torch.equal(mask, brain) else brain))
    refined = refine(reconstruct, squared, brain, threshold=1.0, stop=StopRule(passes=7))
    assert len(reconstruct.masks) <= 7
    assert not (refined.mask > brain).any()


def test_infinite_threshold_leaves_nothing():
    refined = refine(lambda mask: ranked_errors(brain_mask()), squared, brain_mask(), threshold=inf)
    assert refined.mask.sum() == 0
    assert refined.hidden_shares == [1.0, 0.0]


def test_masks_stay_in_the_brain():
    brain = brain_mask()
    reconstruct = Recorder(lambda mask: ranked_errors(brain, seed=int(mask.sum())))
    threshold_curve(reconstruct, squared, brain, range(0, 100, 5))
    for threshold in (0.0, 0.1, 0.9):
        reconstruct.masks.append(refine(reconstruct, squared, brain, threshold).mask)
    assert not any((mask > brain).any() for mask in reconstruct.masks)
