"""Noise levels against sums written out, the spacing's definition and the numbers of the literature."""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.noise_levels import (
    even_timesteps,
    geometric_sigmas,
    linear_alphas_cumprod,
    vp_sigmas,
)


def test_linear_schedule_equals_the_product_written_out():
    abar = linear_alphas_cumprod()
    betas = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    assert abar.shape == (1000,) and abar.dtype == torch.float64
    for t in (0, 1, 500, 990, 999):
        assert float(abar[t]) == pytest.approx(math.exp(math.fsum(math.log1p(-b) for b in betas[: t + 1])), rel=1e-12)
    assert float(abar[990]) == pytest.approx(4.8e-5, abs=0.05e-5)


def test_linear_schedule_of_other_lengths_and_ends():
    abar = linear_alphas_cumprod(2, 0.1, 0.5)
    torch.testing.assert_close(abar, torch.tensor([0.9, 0.45], dtype=torch.float64), rtol=1e-15, atol=0)


def test_trailing_timesteps_known_by_hand():
    assert even_timesteps(1) == [999]
    assert even_timesteps(10) == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert even_timesteps(7) == [999, 856, 713, 570, 428, 285, 142]  # 1000 - i * 142.86, rounded, less 1
    assert even_timesteps(1000) == list(range(999, -1, -1))
    assert even_timesteps(3, 4) == [3, 2, 0]


@pytest.mark.parametrize("train_steps", [1, 2, 37, 1000])
def test_any_number_of_timesteps_is_even_and_strictly_descending(train_steps: int):
    for steps in range(1, train_steps + 1):
        chosen = even_timesteps(steps, train_steps)
        gaps = [before - after for before, after in zip(chosen, [*chosen[1:], -1])]
        assert len(chosen) == steps and chosen[0] == train_steps - 1
        # Two roundings of at most 1/2 each, so that a gap is less than 1 from the even one (or the even one itself).
        assert min(gaps) >= 1 and max(abs(gap - train_steps / steps) for gap in gaps) <= 1


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_timesteps_are_refused(steps: int):
    with pytest.raises(ValueError, match=f"steps is {steps}; choose 1 to 1000"):
        even_timesteps(steps)


def test_sigma_is_the_ratio_of_noise_to_signal_and_ends_at_0():
    abar = torch.tensor([0.9, 0.5, 0.2, 0.1])
    expected = torch.tensor([3.0, 2.0, 1 / 3, 0.0], dtype=torch.float64)  # sqrt(0.9 / 0.1), sqrt(0.8 / 0.2), ...
    sigmas = vp_sigmas(abar, [3, 2, 0])
    assert sigmas.dtype == torch.float64
    torch.testing.assert_close(sigmas, expected, rtol=1e-6, atol=0)  # abar was float32
    abar = linear_alphas_cumprod()
    sigmas = vp_sigmas(abar, even_timesteps(100))
    torch.testing.assert_close(1 / (1 + sigmas[:-1] ** 2), abar[even_timesteps(100)], rtol=1e-12, atol=0)
    assert float(vp_sigmas(abar, [999])[0]) == pytest.approx(157.4, abs=0.05)
    assert sigmas[-1] == 0 and bool((sigmas.diff() < 0).all())


@pytest.mark.parametrize(
    ("timesteps", "why"),
    [
        ([], "one or more"),
        ([1000, 0], "999 down to 0"),
        ([5, -1], "999 down to 0"),
        ([0, 5], "descend"),
        ([5, 5], "descend"),
    ],
)
def test_timesteps_out_of_range_or_order_are_refused(timesteps: list[int], why: str):
    with pytest.raises(ValueError, match=why):
        vp_sigmas(linear_alphas_cumprod(), timesteps)


def test_geometric_levels_have_one_ratio_and_the_ends_asked_for():
    sigmas = geometric_sigmas(1000, 0.01, 348)
    assert sigmas.shape == (1001,) and sigmas.dtype == torch.float64 and sigmas[-1] == 0
    assert float(sigmas[0]) == pytest.approx(348, rel=1e-12) and float(sigmas[-2]) == pytest.approx(0.01, rel=1e-12)
    ratios = sigmas[:-2] / sigmas[1:-1]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 34800 ** (1 / 999)), rtol=1e-12, atol=0)
    assert float(ratios[0]) == pytest.approx(1.01052, abs=5e-6)  # TSGM's levels


def test_one_level_is_the_highest_and_impossible_ones_are_refused():
    assert geometric_sigmas(1, 0.01, 80).tolist() == pytest.approx([80, 0], rel=1e-12)
    with pytest.raises(ValueError, match="steps is 0; choose 1 or more"):
        geometric_sigmas(0, 0.01, 80)
    for low, high in ((0, 80), (-1, 80), (80, 0.01), (2, 2), (0.1, math.inf), (math.nan, 80)):
        with pytest.raises(ValueError, match=f"sigmas are {low} to {high}; the lower must be above 0"):
            geometric_sigmas(5, low, high)
