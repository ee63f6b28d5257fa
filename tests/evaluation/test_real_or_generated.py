"""The discriminant of real and generated features against normal laws, for which its AUC is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from shared.evaluation.real_or_generated import real_or_generated_auc


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_normals_of_one_covariance_have_the_closed_form_auc():
    """Scores w . x of two normals d apart: AUC = Phi(w . d / sqrt(2 w S w)), w = (0.9 S + 0.1 tr(S) / 3)^-1 d.

    The sets differ mostly where their variance is small, so that the covariance matters: without it, w = d.
    """
    mix = np.array([[1.0, 0.95, 0.0], [0.0, 0.2, 0.0], [0.0, 0.0, 0.4]])
    covariance, shift = mix.T @ mix, np.array([-0.15, 0.1, 0.3])
    shrunken = np.linalg.solve(0.9 * covariance + 0.1 * np.trace(covariance) / 3 * np.eye(3), shift)
    full, naive = np.linalg.solve(covariance, shift), shift
    expected, other, least = (norm.cdf(w @ shift / np.sqrt(2 * w @ covariance @ w)) for w in (shrunken, full, naive))
    found = [
        real_or_generated_auc(normal(n, 1500, 3) @ mix, normal(50 + n, 1000, 3) @ mix + shift, permutations=1)[0]
        for n in range(40)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(expected, abs=3 * error)
    assert other - expected > 5 * error and expected - least > 5 * error


@pytest.mark.parametrize("width", [3, 60])
def test_sets_of_one_law_are_within_chance_as_often_as_promised(width: int):
    """Also with more features than images, where the discriminant is perfect on those it was made from."""
    pairs = ((normal(n, 22, width), normal(500 + n, 12, width)) for n in range(50))
    found = [real_or_generated_auc(*pair, confidence=0.8, permutations=20) for pair in pairs]
    aucs = np.array([auc for auc, _ in found])
    assert aucs.mean() == pytest.approx(0.5, abs=3 * aucs.std() / np.sqrt(aucs.size))
    chance = np.array([interval for _, interval in found])
    assert chance[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    # 0.8 within 3 standard errors of sqrt(0.8 * 0.2 / 50), 0.17.
    assert 0.63 < ((chance[:, 1] <= aucs) & (aucs <= chance[:, 2])).mean() < 0.97


def test_separated_sets_are_told_apart_with_fewer_images_than_features():
    auc, chance = real_or_generated_auc(normal(0, 23, 50), normal(1, 17, 50) + 3)
    assert auc == 1 > chance.high > chance.estimate > chance.low > 0


def test_scale_and_offset_of_the_features_do_not_matter_and_the_seed_decides():
    real, generated = normal(0, 40, 5), normal(1, 30, 5) + 0.4
    auc, chance = real_or_generated_auc(real, generated, permutations=20)
    assert 0.55 < auc < 0.95
    scaled = real_or_generated_auc(1000 * real - 7, 1000 * generated - 7, permutations=20)
    assert (scaled[0], *scaled[1]) == pytest.approx((auc, *chance))
    assert real_or_generated_auc(real, generated, permutations=20, seed=1) != (auc, chance)
    narrow = real_or_generated_auc(real, generated, confidence=0.5, permutations=20)[1]
    assert chance.low < narrow.low < narrow.high < chance.high


def test_input_that_does_not_fit_is_refused():
    good = normal(0, 6, 3)
    for bad in (good[0], good[:, :2], good[:4]):
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(ValueError, match="matrices of one width, of 5 or more rows"):
                real_or_generated_auc(*pair)
    with pytest.raises(ValueError, match="must be finite"):
        real_or_generated_auc(good, good * np.nan)
