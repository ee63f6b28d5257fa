"""Slice transforms against values worked out by hand, and left kept apart from front."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImaged, Orientationd, RandFlipd

from shared.brains.slices import (
    EnsureLabeld,
    LesionFreeMaskd,
    MedianUnitsd,
    RandSlicesd,
    SlicesAsChannelsd,
    SliceSpacingd,
)
from shared.brains.units import to_half_median_units, to_median_units
from tests.helpers.known_volumes import volume


class TestSliceSpacingd:
    @pytest.mark.parametrize(
        ("shape", "before", "after", "expected"),
        [
            ((37, 37, 31), (1, 1, 1), (1.8, 1.8, 3), (21, 21, 11)),
            ((10, 19, 7), (1.8, 0.9, 5), (1.8, 1.8, 5), (10, 10, 7)),
            ((37, 37, 1), (1, 1, 1), (1.8, 1.8, 1), (21, 21, 1)),
        ],
    )
    def test_grid(self, shape: tuple, before: tuple, after: tuple, expected: tuple):
        data = {"image": volume(np.zeros(shape), before), "brain_mask": volume(np.ones(shape), before)}
        data = SliceSpacingd(["image", "brain_mask"], 1.8, 3, ["bilinear", "nearest"])(data)
        for key in data:
            assert data[key].shape == (1, *expected)
            assert tuple(np.asarray(data[key].pixdim)) == pytest.approx(after)

    def test_thick_slices_keep_their_content(self):
        values = np.broadcast_to(np.random.default_rng(0).random(6), (20, 20, 6))
        data = SliceSpacingd("image", 2, 3, "bilinear")({"image": volume(values, (1, 1, 5))})
        np.testing.assert_allclose(data["image"][0, 3:-3, 3:-3], values[3:7, 3:7], atol=1e-4)

    @pytest.mark.parametrize("count", [2, 3, 5, 9])
    def test_a_thin_stack_through_tissue_is_as_bright_at_its_ends(self, count: int):
        data = SliceSpacingd("image", 2, 3, "bilinear")({"image": volume(np.full((20, 20, count), 7.0), (1, 1, 0.6))})
        np.testing.assert_allclose(data["image"], 7, rtol=1e-5)

    def test_masks_stay_masks_and_a_case_without_label_passes(self):
        mask = np.zeros((20, 20, 9))
        mask[5:14, 4:17, 2:7] = 1
        data = SliceSpacingd(["brain_mask", "label"], 1.8, 3, "nearest")({"brain_mask": volume(mask)})
        assert set(data) == {"brain_mask"} and set(data["brain_mask"].unique().tolist()) == {0, 1}


class TestLesionFreeMaskd:
    def test_margin_is_in_plane(self):
        brain, label = np.ones((9, 9, 3)), np.zeros((9, 9, 3))
        brain[0] = 0
        label[3, 4, 1] = 2
        data = LesionFreeMaskd("label", margin=2)({"brain_mask": volume(brain), "label": volume(label)})
        expected = brain.copy()
        expected[1:6, 2:7, 1] = 0
        np.testing.assert_array_equal(data["lesion_free"][0], expected)
        np.testing.assert_array_equal(data["brain_mask"][0], brain)

    def test_no_margin_and_no_label(self):
        brain, label = np.ones((4, 4, 2)), np.zeros((4, 4, 2))
        label[1, 2, 0] = 1
        data = LesionFreeMaskd("label", margin=0)({"brain_mask": volume(brain), "label": volume(label)})
        np.testing.assert_array_equal(data["lesion_free"][0], 1 - label)
        data = LesionFreeMaskd("label", margin=3)({"brain_mask": volume(brain)})
        np.testing.assert_array_equal(data["lesion_free"][0], brain)


class TestSlicesAsChannelsd:
    def test_layout(self):
        values = np.arange(2 * 3 * 4).reshape(2, 3, 4)
        slices = SlicesAsChannelsd("image")({"image": volume(values)})["image"]
        assert type(slices) is torch.Tensor and slices.shape == (4, 2, 3) and slices.is_contiguous()
        for z in range(4):
            np.testing.assert_array_equal(slices[z], values[:, :, z])

    @pytest.mark.parametrize("axcodes", ["RAS", "LAS", "LPS", "PIR", "SRA"])
    def test_flip_of_the_first_axis_swaps_left_and_right(self, tmp_path: Path, axcodes: str):
        ras = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)  # indices grow to right, anterior, superior
        orientation = nib.orientations.axcodes2ornt(axcodes)
        image = nib.Nifti1Image(ras, np.diag([2, 3, 4, 1])).as_reoriented(
            nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), orientation)
        )
        assert "".join(nib.aff2axcodes(image.affine)) == axcodes
        nib.save(image, tmp_path / "image.nii.gz")
        read = Compose(
            [
                LoadImaged("image", ensure_channel_first=True),
                Orientationd("image", axcodes="RAS", labels=None),
                SlicesAsChannelsd("image"),
            ]
        )
        data = read({"image": tmp_path / "image.nii.gz"})
        np.testing.assert_array_equal(data["image"], ras.transpose(2, 0, 1))
        flipped = RandFlipd("image", prob=1.0, spatial_axis=0)(data)["image"]
        np.testing.assert_array_equal(flipped, ras[::-1].transpose(2, 0, 1))


class TestMedianUnitsd:
    def test_units_are_median_units_where_no_others_are_given(self):
        brain = torch.zeros(5, 6, 7)
        brain[1:4, 1:4, 1:6] = 1
        image = torch.where(brain > 0, torch.from_numpy(np.random.default_rng(0).gamma(4, 1, (5, 6, 7))) - 3, -3.0)
        data = MedianUnitsd("t1")({"t1": image, "brain_mask": brain})
        assert torch.equal(data["t1"], to_median_units(image, brain)[0]) and data["brain_mask"] is brain

    def test_each_sequence_has_a_unit_of_its_own_and_other_keys_stay(self):
        brain = torch.ones(3, 4, 5)
        brain[0] = 0
        volumes = {"t1": torch.rand(3, 4, 5) + 1, "flair": torch.rand(3, 4, 5) + 9}
        rescale = MedianUnitsd(["t1", "flair"], mask_key="brain", units=to_half_median_units)
        data = rescale({**volumes, "brain": brain, "label": brain})
        for key, image in volumes.items():
            assert torch.equal(data[key], to_half_median_units(image, brain)[0])
        assert data["brain"] is brain and data["label"] is brain


class TestEnsureLabeld:
    def test_case_without_a_label_gets_an_empty_one_on_its_grid(self):
        mask = volume(np.ones((4, 5, 6)), (2, 3, 4))
        data = EnsureLabeld("label")({"brain_mask": mask})
        assert data["label"].shape == (1, 4, 5, 6) and not data["label"].any() and mask.all()
        np.testing.assert_array_equal(data["label"].affine, mask.affine)

    def test_a_label_stays(self):
        label = volume(np.eye(4)[..., None])
        data = {"brain_mask": volume(np.ones((4, 4, 1))), "label": label}
        assert EnsureLabeld("label")(data)["label"] is label

    def test_the_data_given_stay(self):
        data = {"foreground": volume(np.ones((4, 4, 1)))}
        assert set(EnsureLabeld("lesion", mask_key="foreground")(data)) == {"foreground", "lesion"}
        assert set(data) == {"foreground"}


class TestRandSlicesd:
    @pytest.fixture
    def case(self) -> dict[str, torch.Tensor]:
        """Six slices with 0, 1, 2, 20, 20 and 20 pixels of brain; a sequence's pixels are its number times 10 + z."""
        brain = torch.zeros(6, 5, 4)
        for z, pixels in enumerate((0, 1, 2, 20, 20, 20)):
            brain[z].flatten()[:pixels] = 1
        z = torch.arange(6.0)[:, None, None].expand(6, 5, 4)
        return {"t1": 10 + z, "flair": 20 + z, "brain_mask": brain, "lesion_free": brain * (z != 4)}

    @staticmethod
    def numbers(drawn: list[dict[str, torch.Tensor]]) -> list[int]:
        return [int(item["image"][0, 0, 0]) - 20 for item in drawn]

    def test_slices_with_enough_brain_once_before_any_twice(self, case):
        draw = RandSlicesd(["flair", "t1"], count=4).set_random_state(0)
        assert sorted(self.numbers(draw(case))) == [2, 3, 4, 5]
        numbers = self.numbers(RandSlicesd(["flair", "t1"], count=6).set_random_state(0)(case))
        assert set(numbers[:4]) == {2, 3, 4, 5} and len(set(numbers[4:])) == 2
        only = RandSlicesd(["flair", "t1"], count=9, min_share=0.0).set_random_state(0)(case)
        assert set(self.numbers(only)) == {1, 2, 3, 4, 5}, "never one without brain"

    def test_sequences_in_the_order_of_the_keys_with_their_masks(self, case):
        for item in RandSlicesd(["flair", "t1"], count=4)(case):
            z = int(item["image"][0, 0, 0]) - 20
            assert item["image"].shape == (2, 5, 4)
            assert (item["image"][0] == 20 + z).all() and (item["image"][1] == 10 + z).all()
            for key in ("brain_mask", "lesion_free"):
                assert torch.equal(item[key], case[key][z][None])

    def test_seeded(self, case):
        def sequence(seed: int) -> list[int]:
            draw = RandSlicesd(["flair", "t1"], count=2).set_random_state(seed)
            return [z for _ in range(10) for z in self.numbers(draw(case))]

        assert sequence(0) == sequence(0) != sequence(1)
        assert set(sequence(0)) == {2, 3, 4, 5}


@pytest.mark.parametrize(("pixel_mm", "min_step_mm"), [(0, 3), (-1, 3), (1.8, -3)])
def test_sizes_of_pixels_are_above_0(pixel_mm, min_step_mm):
    with pytest.raises(ValueError, match="pixel_mm must be above 0"):
        SliceSpacingd("image", pixel_mm, min_step_mm, "bilinear")
