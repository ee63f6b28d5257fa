"""Preprocessing against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientationd

from shared.brains.transforms import BrainMaskd, BrainNormalized, CutSpikesd, Spacingd
from tests.helpers.known_volumes import cube, volume


def at_spacing(values: np.ndarray, before: tuple[float, float, float], after: tuple[float, float, float]) -> np.ndarray:
    data = Spacingd("image", pixdim=after, mode="bilinear")({"image": volume(values, before)})
    assert tuple(np.asarray(data["image"].pixdim)) == pytest.approx(after)
    return np.asarray(data["image"][0])


class TestCutSpikesd:
    def test_one_hot_or_cold_voxel_comes_down_to_ten_times_the_90th_percentile(self):
        image = 7 * cube(10, 2, 8)
        image[4, 4, 4], image[5, 5, 5] = 1e6, -1e6
        cut = CutSpikesd("image")({"image": volume(image, (1, 2, 3))})["image"]
        expected = np.clip(image, -70, 70)
        np.testing.assert_array_equal(np.asarray(cut[0]), expected)
        assert torch.equal(cut.affine, volume(image, (1, 2, 3)).affine) and image.max() == 1e6

    def test_channels_are_cut_each_by_itself_and_an_empty_one_stays(self):
        image = torch.stack([torch.full((4, 4, 4), level) for level in (1.0, 100.0, 0.0)])
        image[:, 0, 0, 0] = torch.tensor([50.0, 500.0, 0.0])
        cut = CutSpikesd("image")({"image": image})["image"]
        assert cut[:, 0, 0, 0].tolist() == [10, 500, 0] and torch.equal(cut[:, 1:], image[:, 1:])

    def test_brains_as_they_are_stay_the_same_object(self):
        image = volume(np.random.default_rng(0).gamma(4, 90, (9, 9, 9)))
        assert CutSpikesd("image")({"image": image})["image"] is image


class TestBrainMaskd:
    def test_mask_is_made_of_nonzero_voxels_with_holes_filled(self):
        image = 5 * cube(10, 2, 8)
        image[4:6, 4:6, 4:6] = 0  # a ventricle
        image[3, 3, 3] = -2  # negative values occur in real brains
        data = BrainMaskd("image")({"image": volume(image, (1, 2, 3))})
        assert torch.equal(data["brain_mask"].as_tensor()[0], torch.from_numpy(cube(10, 2, 8)))
        assert data["brain_mask"].dtype == torch.float32
        np.testing.assert_array_equal(np.asarray(data["image"][0]), image)
        assert torch.equal(data["brain_mask"].affine, data["image"].affine)

    @pytest.mark.parametrize("value", [0.2, 1, 255])
    def test_given_mask_is_binarised_and_applied(self, value: float):
        mask = value * cube(10, 3, 7)
        mask[0, 0, 0] = -1
        data = BrainMaskd("image")({"image": volume(np.full((10, 10, 10), -4.0)), "brain_mask": volume(mask)})
        np.testing.assert_array_equal(np.asarray(data["brain_mask"][0]), cube(10, 3, 7))
        np.testing.assert_array_equal(np.asarray(data["image"][0]), -4 * cube(10, 3, 7))

    def test_input_is_left_alone(self):
        image, mask = volume(np.ones((4, 4, 4))), volume(255 * cube(4, 1, 3))
        BrainMaskd("image")({"image": image, "brain_mask": mask})
        assert image.min() == 1 and mask.max() == 255

    def test_a_given_mask_has_the_affine_and_file_of_its_image(self):
        image, mask = volume(cube(8, 2, 6), (1, 2, 3)), volume(cube(8, 2, 6), (1, 2, 3.01))
        image.meta["filename_or_obj"], mask.meta["filename_or_obj"] = "scan.nii.gz", "mask.nii.gz"
        data = BrainMaskd("image")({"image": image, "brain_mask": mask})
        assert torch.equal(data["brain_mask"].affine, image.affine)
        assert data["brain_mask"].meta["filename_or_obj"] == "scan.nii.gz"

    def test_made_mask_follows_the_image_through_space(self):
        values = cube(10, 2, 8)
        values[2, 2, 2] = 7
        image = volume(values, (2, 2, 4))
        image.affine = torch.diag(torch.tensor([-2.0, 2.0, -4.0, 1.0], dtype=torch.float64))
        data = BrainMaskd("image")({"image": image})
        data = Orientationd(["image", "brain_mask"], axcodes="RAS", labels=None)(data)
        data = Spacingd(["image", "brain_mask"], pixdim=(2, 2, 2), mode=["nearest", "nearest"])(data)
        assert data["image"].shape == data["brain_mask"].shape == (1, 10, 10, 19)
        assert torch.equal(data["image"].affine, data["brain_mask"].affine)
        assert torch.equal(data["image"] != 0, data["brain_mask"] > 0)


class TestSpacingd:
    def test_entries_that_were_not_named_stay(self):
        data = {
            "image": volume(cube(8, 2, 6)),
            "image_path": "/data/one.nii.gz",
            "image_meta_dict": {"filename_or_obj": "one.nii.gz"},
            "other": volume(cube(8, 2, 6)),
            "case_id": "one",
            "score": 3.5,
        }
        result = Spacingd("image", pixdim=(2, 2, 2), mode="bilinear")(data)
        assert set(result) == set(data)
        assert result["image_path"] == "/data/one.nii.gz" and result["case_id"] == "one" and result["score"] == 3.5
        assert result["other"] is data["other"]
        assert result["image"].shape == (1, 4, 4, 4)
        assert data["image"].shape == (1, 8, 8, 8)

    @pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 1, 2)])
    def test_finest_pattern_goes_to_its_mean(self, axes: tuple[int, ...]):
        index = np.indices((24, 24, 24))
        board = 10.0 + 6 * (-1) ** sum(index[axis] for axis in axes)
        after = tuple(2.0 if axis in axes else 1.0 for axis in range(3))
        inside = at_spacing(board, (1, 1, 1), after)[tuple(slice(3, 9 if axis in axes else 21) for axis in range(3))]
        # Plain linear interpolation would pick every second voxel: 16 or 4. A Gaussian of sigma 0.42 sqrt(3) voxels,
        # integrated over each, leaves 2 exp(-(pi sigma)^2 / 2) 2 / pi = 9.4 % of the amplitude per axis.
        assert np.abs(inside - 10).max() == pytest.approx(6 * 0.0938 ** len(axes), rel=0.02)

    def test_constant_stays(self):
        inside = at_spacing(np.full((24, 20, 22), 7.0), (1, 1, 1), (2, 2, 2))[3:-3, 3:-3, 3:-3]
        np.testing.assert_allclose(inside, 7, rtol=1e-3)

    def test_noise_falls_as_if_voxels_were_averaged(self):
        noise = np.random.default_rng(0).standard_normal((40, 40, 40))
        inside = at_spacing(noise, (1, 1, 1), (2, 2, 2))[2:-2, 2:-2, 2:-2]
        # The mean of 8 voxels has a standard deviation of 0.35, a Gaussian of sigma 0.73 voxels one of about 0.25.
        assert 0.15 < inside.std() < 0.4

    def test_only_axes_that_get_coarser_are_smoothed(self):
        noise = np.random.default_rng(0).standard_normal((8, 8, 32))
        result = at_spacing(noise, (2, 2, 1), (2, 2, 2))
        assert np.isfinite(result).all()
        one_line = np.zeros((8, 8, 32))
        one_line[4, 4] = noise[4, 4]
        lonely = at_spacing(one_line, (2, 2, 1), (2, 2, 2))
        np.testing.assert_allclose(lonely[4, 4], result[4, 4], atol=1e-5)
        assert np.abs(lonely).sum() == pytest.approx(np.abs(lonely[4, 4]).sum(), rel=1e-5)

    def test_no_smoothing_on_the_same_or_a_finer_grid(self):
        noise = np.random.default_rng(0).standard_normal((10, 10, 10))
        np.testing.assert_allclose(at_spacing(noise, (2, 2, 2), (2, 2, 2)), noise, atol=1e-5)
        np.testing.assert_allclose(at_spacing(noise, (2, 2, 2), (1, 1, 1))[::2, ::2, ::2], noise, atol=1e-5)

    def test_masks_are_not_smoothed(self):
        index = np.indices((16, 16, 16)).sum(axis=0) % 2
        data = {"image": volume(index), "brain_mask": volume(index)}
        result = Spacingd(["image", "brain_mask"], pixdim=(2, 2, 2), mode=["bilinear", "nearest"])(data)
        assert set(np.unique(np.asarray(result["brain_mask"]))) <= {0.0, 1.0}
        assert result["brain_mask"].shape == result["image"].shape == (1, 8, 8, 8)
        np.testing.assert_array_equal(np.asarray(result["brain_mask"][0]), index[::2, ::2, ::2])

    def test_inverse_returns_to_the_grid(self):
        transform = Spacingd("image", pixdim=(2, 2, 2), mode="bilinear")
        image = volume(np.full((15, 16, 17), 3.0), (1, 1.5, 2.5))
        back = transform.inverse(transform({"image": image, "image_path": "a"}))
        assert back["image"].shape == image.shape
        assert torch.allclose(back["image"].affine, image.affine)


class TestBrainNormalized:
    def test_formula(self):
        random = np.random.default_rng(0)
        brain = cube(12, 2, 10)
        image = random.uniform(10, 200, brain.shape) * brain
        data = BrainNormalized("image")({"image": volume(image), "brain_mask": volume(brain)})
        p90 = np.percentile(image[brain > 0].astype(np.float32), 90)
        np.testing.assert_allclose(np.asarray(data["image"][0]), 6 * image / p90 - 3, atol=1e-5)
        assert (np.asarray(data["image"][0])[brain == 0] == -3).all()
        assert data["intensity_scale"] == pytest.approx(p90 / 6)
        assert np.percentile(np.asarray(data["image"][0])[brain > 0], 90) == pytest.approx(3, abs=1e-5)

    def test_intensities_come_back_by_the_scale(self):
        brain = cube(12, 2, 10)
        image = np.random.default_rng(1).uniform(0, 900, brain.shape) * brain
        data = BrainNormalized("image")({"image": volume(image), "brain_mask": volume(brain)})
        np.testing.assert_allclose((np.asarray(data["image"][0]) + 3) * data["intensity_scale"], image, atol=1e-3)

    def test_unit_of_intensity_does_not_matter(self):
        brain = cube(12, 2, 10)
        image = np.random.default_rng(1).uniform(0, 1, brain.shape) * brain
        results = [
            np.asarray(BrainNormalized("image")({"image": volume(k * image), "brain_mask": volume(brain)})["image"])
            for k in (0.01, 1, 4096)
        ]
        np.testing.assert_allclose(results[0], results[1], atol=1e-5)
        np.testing.assert_allclose(results[2], results[1], atol=1e-5)

    def test_slices_with_a_mask_each_are_one_image(self):
        brain = cube(12, 2, 10)
        image = np.random.default_rng(1).uniform(0, 900, brain.shape) * brain
        slices, mask = (torch.as_tensor(v).float().movedim(2, 0) for v in (image, brain))  # Z X Y
        done = BrainNormalized("image")({"image": slices, "brain_mask": mask})
        whole = BrainNormalized("image")({"image": volume(image), "brain_mask": volume(brain)})
        assert done["intensity_scale"] == whole["intensity_scale"]
        expected = np.moveaxis(np.asarray(whole["image"][0]), 2, 0)
        np.testing.assert_allclose(np.asarray(done["image"]), expected, atol=1e-5)

    def test_channels_are_scaled_each_by_itself_and_set_to_the_background(self):
        random = np.random.default_rng(0)
        brain = cube(12, 2, 10)
        images = random.uniform(10, 200, (3, 12, 12, 12)) * np.array([1.0, 5.0, 0.02])[:, None, None, None]
        stacked = MetaTensor(torch.as_tensor(images).float(), affine=torch.diag(torch.tensor([2.0, 2, 3, 1])))
        data = BrainNormalized("image")({"image": stacked, "brain_mask": volume(brain), "other": "stays"})
        assert len(data["intensity_scale"]) == 3 and all(type(scale) is float for scale in data["intensity_scale"])
        for image, result, scale in zip(images, np.asarray(data["image"]), data["intensity_scale"], strict=True):
            alone = BrainNormalized("image")({"image": volume(image * brain), "brain_mask": volume(brain)})
            assert scale == pytest.approx(np.percentile(image[brain > 0], 90) / 6) == alone["intensity_scale"]
            np.testing.assert_allclose(result, alone["image"][0], atol=1e-5)
            assert (result[brain == 0] == -3).all()
        assert data["image"].dtype == torch.float32 and data["image"].affine[2, 2] == 3
        assert stacked.min() > 0 and data["other"] == "stays"

    def test_an_absent_channel_is_nan_throughout_and_the_others_do_not_notice(self):
        brain = cube(12, 2, 10)
        images = np.random.default_rng(0).uniform(10, 200, (3, 12, 12, 12))
        images[1] = np.nan
        images[1, :, :, :3] = 0  # padded
        images[2, 0, 0, 0] = np.nan  # not even in the brain
        data = BrainNormalized("image")({"image": torch.as_tensor(images).float(), "brain_mask": volume(brain)})
        assert torch.isnan(data["image"]).flatten(1).all(dim=1).tolist() == [False, True, True]
        assert not torch.isnan(data["image"][0]).any()
        assert np.isnan(data["intensity_scale"]).tolist() == [False, True, True]
        assert data["intensity_scale"][0] == pytest.approx(np.percentile(images[0][brain > 0], 90) / 6)


@pytest.mark.parametrize("spacing", [2, [2, 2], [0, 0, 0], [2, 2, -1], "2,2,2", ["2", "2", "2"], None])
def test_voxel_sizes_are_three_numbers_above_0(spacing):
    with pytest.raises(ValueError, match="three voxel sizes above 0 mm"):
        Spacingd("image", spacing, mode="bilinear")
