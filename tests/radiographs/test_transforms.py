"""Radiographs in the network's units and size against values worked out by hand; thin lesions survive."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Resize, SaveImage

from shared.radiographs.transforms import (
    RadiographUnitsd,
    ReadRadiographd,
    SquareResized,
    collimated_field,
    from_square,
)
from tests.helpers.radiograph_files import DOWN_MM, PICTURE, RIGHT_MM, dicom, png

KEYS, MASKS = "image", ("tibia_mask", "lesion_mask")


def tensor(pixels: np.ndarray) -> MetaTensor:
    return MetaTensor(np.asarray(pixels, np.float32)[None])


def units(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(RadiographUnitsd(KEYS)({KEYS: tensor(pixels)})[KEYS][0])


def squared(pixels: np.ndarray, size: int, key: str = KEYS) -> np.ndarray:
    both = {KEYS: tensor(pixels), MASKS[0]: tensor(pixels)}
    return np.asarray(SquareResized(KEYS, size, MASKS[:1])(both)[key][0])


class TestReadRadiographd:
    def test_radiograph_and_masks_as_1_x_y_with_affine(self, tmp_path):
        mask = (PICTURE > 3000).astype(np.uint8)
        case = {"image": str(dicom(tmp_path / "x.dcm")), "tibia_mask": str(png(tmp_path / "m.png", 255 * mask))}
        d = ReadRadiographd(KEYS, MASKS)(case)
        assert np.array_equal(d["image"][0], PICTURE) and np.array_equal(d["tibia_mask"][0], mask)
        assert d["lesion_mask"].shape == (1, *PICTURE.shape) and not d["lesion_mask"].any()
        assert all(d[key].dtype == torch.float32 and isinstance(d[key], MetaTensor) for key in (KEYS, *MASKS))
        assert d["image"].meta["filename_or_obj"] == case["image"]
        np.testing.assert_allclose(d["image"].pixdim[:2], [DOWN_MM, RIGHT_MM])
        np.testing.assert_allclose(d["tibia_mask"].pixdim[:2], 1)
        assert case["image"].endswith("x.dcm"), "the input is left alone"

    def test_what_is_written_as_nifti_is_read_as_the_same(self, tmp_path):
        image = ReadRadiographd(KEYS)({KEYS: str(dicom(tmp_path / "x.dcm"))})[KEYS]
        save = SaveImage(tmp_path, "", ".nii.gz", resample=True, mode="bilinear", separate_folder=False)
        save(image)  # MONAI 1.6 fails for 2D images without resample
        again = ReadRadiographd(KEYS)({KEYS: str(tmp_path / "x.nii.gz")})[KEYS]
        assert torch.equal(again.as_tensor(), image.as_tensor())
        torch.testing.assert_close(again.affine, image.affine)
        save(SquareResized(KEYS, 64)({KEYS: image})[KEYS])
        inverted = ReadRadiographd(KEYS)({KEYS: str(tmp_path / "x.nii.gz")})[KEYS]
        inside = np.s_[:, 2:-2, 2:-2]
        np.testing.assert_allclose(inverted[inside], image[inside], atol=10)


def limb(shape: tuple[int, int] = (200, 160)) -> np.ndarray:
    """Soft tissue rising from 1000 to 2000 down the rows of a limb across the middle half."""
    pixels = np.zeros(shape)
    pixels[:, shape[1] // 4 : 3 * shape[1] // 4] = np.linspace(1000, 2000, shape[0])[:, None]
    return pixels


class TestRadiographUnitsd:
    def test_percentiles_of_a_ramp(self):
        ramp = np.random.default_rng(0).permutation(10001 * 2)[: 100 * 200].reshape(100, 200)  # no surround
        low, high = np.percentile(ramp, (0.5, 99.5))
        result = units(ramp)
        inside = (ramp > low) & (ramp < high)
        np.testing.assert_allclose(result[inside], (2 * (ramp - low) / (high - low) - 1)[inside], atol=1e-5)
        assert result.min() == -1 and result.max() == 1 and (result == 1).sum() == 100

    @pytest.mark.parametrize("surround", [0, 3000])
    def test_shutter_of_any_width_and_level_changes_nothing(self, surround):
        plain = limb()
        plain[plain == 0] = np.random.default_rng(1).uniform(100, 900, (plain == 0).sum())
        field = units(plain)
        for width in (10, 60):
            shut = units(np.pad(plain, width, constant_values=surround))
            np.testing.assert_allclose(shut[width:-width, width:-width], field, atol=1e-5)
            assert shut[0, 0] == (1 if surround else -1)

    def test_noise_of_the_surround_does_not_count(self):
        quiet, noise = limb(), np.random.default_rng(2).normal(0, 15, (200, 160))
        noisy = np.where(quiet == 0, noise, quiet)
        assert np.array_equal(collimated_field(quiet), quiet > 0)
        assert (collimated_field(noisy) != (quiet > 0)).mean() < 0.001
        np.testing.assert_allclose(units(noisy)[quiet > 0], units(quiet)[quiet > 0], atol=0.01)

    def test_dark_holes_inside_belong_to_the_field(self):
        pixels = limb()
        pixels[80:120, 60:100] = 0
        assert collimated_field(pixels)[80:120, 60:100].all()

    def test_one_hot_pixel_and_a_label_letter_change_little(self):
        pixels, marked = limb(), limb()
        marked[20:24, 60:64] = 60000
        marked[150, 90] = -60000
        np.testing.assert_allclose(units(marked)[30:140], units(pixels)[30:140], atol=0.02)

    def test_scale_and_offset_of_the_detector_do_not_matter(self):
        np.testing.assert_allclose(units(-0.3 * limb() + 7), -units(limb()), atol=1e-4)
        np.testing.assert_allclose(units(4000 * limb() - 9e6), units(limb()), atol=1e-3)

    def test_images_of_two_levels_keep_both(self):
        pixels = np.zeros((64, 64))
        pixels[20:40, 20:40] = 5
        assert np.array_equal(units(pixels), np.where(pixels == 5, 1, -1))
        pixels[:] = 0
        pixels[30, 30] = 5
        assert np.array_equal(units(pixels), np.where(pixels == 5, 1, -1))


class TestSquareResized:
    @pytest.mark.parametrize(("shape", "padded"), [((300, 200), (0, 10)), ((200, 300), (10, 0)), ((40, 20), (0, 16))])
    def test_longer_side_fits_and_shorter_is_padded_evenly(self, shape, padded):
        result = squared(np.full(shape, 0.5), 64)
        inside = np.zeros((64, 64), bool)
        new = [round(64 * side / max(shape)) for side in shape]
        inside[padded[0] : padded[0] + new[0], padded[1] : padded[1] + new[1]] = True
        np.testing.assert_allclose(result, np.where(inside, 0.5, -1), atol=1e-6)
        mask = squared(np.ones(shape), 64, MASKS[0])
        assert np.array_equal(mask, inside)

    @pytest.mark.parametrize(("old", "new"), [(1000, 256), (256, 64), (50, 128)])
    def test_a_ramp_stays_where_it_is(self, old, new):
        ramp = np.broadcast_to(np.arange(old)[:, None] / old, (old, old))
        expected = (np.arange(new) + 0.5) / new - 0.5 / old
        margin = 1 + new // old
        np.testing.assert_allclose(squared(ramp, new)[margin:-margin, new // 2], expected[margin:-margin], atol=1e-3)

    def test_fine_stripes_do_not_alias_and_edges_keep_their_level(self):
        stripes = np.broadcast_to(np.sin(2 * np.pi * np.arange(1000) / 3), (1000, 1000))
        naive = Resize(256, size_mode="longest", mode="bilinear")(tensor(stripes))
        assert naive.std() > 0.4 and squared(stripes, 256)[:, 4:-4].std() < 0.04
        np.testing.assert_allclose(squared(-np.ones((256, 256)), 64), -1, atol=1e-6)
        monai = Resize(64, size_mode="longest", mode="bilinear", anti_aliasing=True)(tensor(-np.ones((256, 256))))
        assert monai.max() > -0.9, "MONAI pads with 0: if it no longer does, use it"

    @pytest.mark.parametrize("offset", range(4))
    @pytest.mark.parametrize("slope", [0, 0.3, 1])
    def test_a_line_of_2_pixels_stays_whole_and_thin(self, offset, slope):
        columns = np.arange(16, 240)
        line = np.zeros((256, 256))
        rows = (8 + offset + slope * (columns - 16)).astype(int)
        line[rows, columns] = line[rows + 1, columns] = 1
        result = squared(line, 64, MASKS[0])
        assert result[:, 5:59].any(0).all() and result.sum(0).max() <= 3 and not result[:, :3].any()

    @pytest.mark.parametrize("offset", range(4))
    def test_2_pixels_survive_where_they_are(self, offset):
        speck = np.zeros((256, 256))
        speck[100, 120 + offset : 122 + offset] = 1
        rows, columns = np.nonzero(squared(speck, 64, MASKS[0]))
        assert 1 <= rows.size <= 4
        assert abs(rows.mean() - 24.6) <= 0.6 and abs(columns.mean() - (120.5 + offset - 1.5) / 4) <= 0.6

    @pytest.mark.parametrize(("old", "new"), [(256, 64), (1000, 256), (100, 128)])
    def test_a_broad_mask_keeps_its_area_and_place(self, old, new):
        y, x = np.indices((old, old))
        disc = np.hypot(y - 0.4 * old, x - 0.55 * old) < 0.3 * old
        result = squared(disc, new, MASKS[0])
        assert set(np.unique(result)) == {0, 1}
        assert result.mean() == pytest.approx(disc.mean(), rel=0.01)
        centre = (np.argwhere(result).mean(0) + 0.5) / new - 0.5 / old
        np.testing.assert_allclose(centre, [0.4, 0.55], atol=0.2 / new)

    def test_affine_and_file_name_follow(self):
        affine = torch.diag(torch.tensor([0.3, 0.2, 1, 1], dtype=torch.float64))
        image = MetaTensor(torch.zeros(1, 300, 150), affine=affine, meta={"filename_or_obj": "f"})
        result = SquareResized(KEYS, 100)({KEYS: image})[KEYS]
        expected = [[0.9, 0, 0, 0.3], [0, 0.6, 0, 0.2 - 25 * 0.6], [0, 0, 1, 0], [0, 0, 0, 1]]
        np.testing.assert_allclose(result.affine, expected, atol=1e-9)
        assert result.meta["filename_or_obj"] == "f" and torch.equal(image.affine, affine)


def restored(pixels: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(from_square(torch.as_tensor(squared(pixels, size))[None], pixels.shape)[0])


class TestFromSquare:
    @pytest.mark.parametrize("size", [96, 97])
    @pytest.mark.parametrize("shape", [(400, 400), (300, 200), (200, 301), (97, 64), (50, 40), (96, 96), (77, 1234)])
    def test_every_pixel_comes_back_to_its_place(self, shape, size):
        margin = 2 + 2 * max(shape) // size
        inside = tuple(slice(margin, -margin) for _ in shape)  # at the edges the filter is cut off
        for position in np.indices(shape):
            error = restored(position / max(shape), size) * max(shape) - position
            assert abs(error[inside]).max() < 0.03 and abs(error[inside].mean()) < 1e-3

    @pytest.mark.parametrize("shape", [(256, 256), (400, 300), (300, 500), (211, 173), (60, 45)])
    def test_a_shape_without_symmetry_comes_back_where_it_was(self, shape):
        x, y = np.indices(shape) / np.array(shape).reshape(2, 1, 1)
        hook = ((x < 0.7) & (abs(y - 0.4) < 0.12)) | ((abs(x - 0.6) < 0.1) & (y > 0.4) & (y < 0.85))
        found = restored(2.0 * hook - 1, 96) > 0
        assert 2 * (found & hook).sum() / (found.sum() + hook.sum()) > 0.999
        np.testing.assert_allclose(np.argwhere(found).mean(0), np.argwhere(hook).mean(0), atol=0.06)
        assert np.array_equal(found[0], hook[0]), "it ends at the edge of the image, not before"

    def test_what_lies_on_the_padding_does_not_come_in(self):
        square = torch.ones(2, 64, 64)
        square[:, :, 10:53] = 0  # 43 columns of an image of 300 x 200
        assert not from_square(square, (300, 200)).any()
        assert from_square(1 - square, (300, 200)).min() == 1


def test_the_whole_chain_from_files(tmp_path):
    tibia = np.zeros(PICTURE.shape, np.uint8)
    tibia[12:36, 10:30] = 255
    case = {"image": str(png(tmp_path / "x.png")), "tibia_mask": str(png(tmp_path / "t.png", tibia))}
    chain = Compose([ReadRadiographd(KEYS, MASKS), RadiographUnitsd(KEYS), SquareResized(KEYS, 24, MASKS)])
    d = chain(case)
    assert all(d[key].shape == (1, 24, 24) for key in (KEYS, *MASKS))
    assert d["image"].min() == -1 and 0.9 < d["image"].max() <= 1 and d["image"][0, 20, 12] > d["image"][0, 4, 12]
    expected = np.zeros((24, 24))
    expected[6:18, 7:17] = 1  # two columns of padding on either side
    assert np.array_equal(d["tibia_mask"][0], expected) and not d["lesion_mask"].any()
