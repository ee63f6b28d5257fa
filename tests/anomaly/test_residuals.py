"""Residuals: their signs, and contrast told apart from disease."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.anomaly.residuals import (
    ERRORS,
    ResidualRule,
    SmoothedResidual,
    fit_intensities,
    match_tissues,
    signed_residual,
    smooth_in_brain,
)


def test_signs():
    image, reconstruction = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 2.5, 2.0])
    assert signed_residual(image, reconstruction, "bright").tolist() == [2.0, -1.5, 0.0]
    assert signed_residual(image, reconstruction, "dark").tolist() == [-2.0, 1.5, 0.0]
    assert signed_residual(image, reconstruction, "dark", fluid_below=1.5).tolist() == [-2.0, 0.0, 0.0]
    assert signed_residual(image, reconstruction, "absolute").tolist() == [2.0, 1.5, 0.0]
    assert signed_residual(image, reconstruction, "absolute", fluid_below=1.5).tolist() == [2.0, 0.0, 0.0]


@pytest.mark.parametrize("error", ERRORS[1:])
def test_perfect_reconstruction_leaves_nothing(error: str):
    image = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert not signed_residual(image, image.clone(), error).any()


@pytest.mark.parametrize("error", ["squared", "both", ""])
def test_other_errors_are_refused(error: str):
    with pytest.raises(ValueError, match=f"one of bright, dark, absolute, got '{error}'"):
        signed_residual(torch.zeros(2), torch.zeros(2), error)


@pytest.mark.parametrize("error", ERRORS)
def test_a_rule_takes_every_error_and_no_other(error: str):
    assert ResidualRule(error).error == error and ResidualRule().error == "squared"
    with pytest.raises(ValueError, match=f"error is one of {', '.join(ERRORS)}, got 'both'"):
        ResidualRule("both")


class TestFitIntensities:
    @pytest.fixture
    def reconstruction(self) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 20, 20, 4))).float()

    @pytest.fixture
    def brain(self) -> torch.Tensor:
        mask = torch.zeros(1, 20, 20, 4)
        mask[:, 2:18, 3:18] = 1
        return mask

    @pytest.mark.parametrize("height", [6.0, -6.0])
    def test_affine_change_is_undone_exactly_despite_lesions_in_a_tenth(self, reconstruction, brain, height: float):
        image = 1.7 * reconstruction - 0.4
        lesion = torch.zeros_like(image)
        lesion[:, 4:12, 4:7] = height  # 96 of 960 voxels
        outside = 50 * (1 - brain)
        fitted = fit_intensities(reconstruction, image + lesion + outside, brain)
        torch.testing.assert_close(fitted, image, atol=1e-4, rtol=1e-4)

    def test_uniform_or_tiny_brains_are_left_alone(self, reconstruction, brain):
        uniform = torch.full_like(reconstruction, 2.0)
        assert fit_intensities(uniform, reconstruction, brain) is uniform
        tiny = torch.zeros_like(brain)
        tiny[:, :9, :11, 0] = 1  # 99 voxels
        assert fit_intensities(reconstruction, 2 * reconstruction, tiny) is reconstruction

    def test_image_of_one_value_gives_no_scale(self, reconstruction, brain):
        assert fit_intensities(reconstruction, torch.zeros_like(reconstruction), brain) is reconstruction

    def test_inversion_is_refused(self, reconstruction, brain):
        assert fit_intensities(reconstruction, 1 - 2 * reconstruction, brain) is reconstruction

    def test_where_only_one_value_fits_the_first_fit_stands(self):
        reconstruction = torch.zeros(1, 10, 100)
        reconstruction[:, 8:] = 1
        image = 1 + 2 * reconstruction
        image[:, 8], image[:, 9] = 2.0, 4.0  # misfits of equal size around 3
        fitted = fit_intensities(reconstruction, image, torch.ones_like(image))
        torch.testing.assert_close(fitted, 1 + 2 * reconstruction, atol=1e-5, rtol=0)


class TestMatchTissues:
    @pytest.fixture
    def reconstruction(self) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(0).uniform(-2, 3, (1, 1, 20, 20, 20))).float()

    def test_a_contrast_that_is_no_straight_line_is_met_despite_a_lesion(self, reconstruction):
        brain = torch.ones_like(reconstruction)
        image = 6 * ((reconstruction + 3) / 6) ** 1.5 - 3
        lesion = torch.zeros_like(image)
        lesion[..., 3:9, 3:12, 3:12] = -2.0  # 6 % of the brain
        matched = match_tissues(reconstruction, image + lesion, brain)
        assert (matched - image).abs().mean() < 0.1 and (matched - image).abs().max() < 0.4
        torch.testing.assert_close(match_tissues(image, image, brain), image, atol=1e-5, rtol=0)

    def test_it_never_inverts_and_looks_into_the_brain_only(self, reconstruction):
        brain = torch.zeros_like(reconstruction)
        brain[..., 2:18, 2:18, 2:18] = 1
        matched = match_tissues(reconstruction, torch.where(brain > 0, -reconstruction, 99.0), brain)
        order = reconstruction.flatten().argsort()
        assert (matched.flatten()[order].diff() >= -1e-5).all() and matched[brain > 0].max() < 6


class TestSmoothing:
    def test_a_constant_stays_up_to_the_border_of_the_brain(self):
        brain = torch.zeros(1, 1, 16, 16, 16)
        brain[..., 3:13, 4:12, 5:14] = 1
        torch.testing.assert_close(smooth_in_brain(2.5 * brain, brain, [2.0, 1.0, 1.5]), 2.5 * brain)
        assert torch.equal(smooth_in_brain(7 + brain, brain, [0.0] * 3), 8 * brain)

    def test_a_point_becomes_a_gaussian_of_the_width_in_mm(self):
        brain = torch.ones(1, 1, 33, 33, 33)
        image = torch.zeros_like(brain)
        image[..., 16, 16, 16] = -1.0
        smoothed = SmoothedResidual("dark", None, 4.0, (2.0, 2.0, 4.0))(image, torch.zeros_like(brain), brain)[0, 0]
        steps = torch.arange(-16, 17).float()
        assert smoothed.sum() == pytest.approx(1, abs=0.01)
        for axis, spacing in enumerate((2.0, 2.0, 4.0)):
            profile = smoothed.sum(dim=[a for a in range(3) if a != axis])
            assert (profile * (spacing * steps).square()).sum() == pytest.approx(16, rel=0.1)  # mm2

    def test_fluid_and_the_other_side_do_not_count(self):
        brain = torch.ones(1, 1, 8, 8, 8)
        residual = SmoothedResidual("bright", -0.5, 0.0, (2.0,) * 3)
        image = torch.full_like(brain, 1.0)
        image[..., 0] = -1.0  # fluid
        found = residual(image, torch.full_like(brain, 0.25), brain)
        assert (found[..., 0] == 0).all() and (found[..., 1:] == 0.75).all()
        assert (residual(image, torch.full_like(brain, 2.0), brain)[..., 1:] == -1).all()


@pytest.mark.parametrize(
    ("wrong", "said"), [({"error": "up"}, "bright, dark, absolute, got 'up'"), ({"smoothing_mm": -1}, "got -1")]
)
def test_a_smoothed_residual_refuses_wrong_options_before_it_is_used(wrong, said):
    with pytest.raises(ValueError, match=said):
        SmoothedResidual(**{"error": "dark", "fluid_below": None, "smoothing_mm": 0, "spacing": (2, 2, 2), **wrong})
