"""Back to the input's grid: blobs and textures given by formulas in world coordinates, on grids that do not align."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import monai.transforms as mt
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from nibabel.affines import apply_affine, from_matvec, voxel_sizes
from nibabel.eulerangles import euler2mat
from scipy.ndimage import binary_erosion, median_filter

from shared.anomaly.native_maps import CaseNamed, NativeMapsd, ThresholdMapd
from shared.brains.transforms import BrainMaskd, BrainNormalized, Spacingd


def affine_of(axcodes: str, spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """``4 4``, axes a few degrees off those of ``axcodes``, the middle of the grid at (5, -10, 15) mm."""
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axcodes), shape)[:3, :3]
    tilted = euler2mat(0.1, -0.15, 0.2) @ np.rint(np.linalg.inv(turn)) * spacing
    middle = (np.array(shape) - 1) / 2
    return from_matvec(tilted, np.array([5.0, -10.0, 15.0]) - tilted @ middle)


def world(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """``X Y Z 3``, mm."""
    return apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))


def meta(values: np.ndarray, affine: np.ndarray, **more: Any) -> MetaTensor:
    tensor = torch.as_tensor(np.asarray(values, np.float32))[None]
    return MetaTensor(tensor, meta={"affine": torch.as_tensor(affine, dtype=torch.float64), **more})


BLOB_AT, BLOB_AXES = np.array([17.0, -18.0, 12.0]), np.array([16.0, 8.0, 12.0])  # mm
SCALE = 20.0


def blob_radius(at: np.ndarray) -> np.ndarray:
    """Distance from the blob in units of its half axes."""
    return np.linalg.norm((at - BLOB_AT) / BLOB_AXES, axis=-1)


def blob(at: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * blob_radius(at) ** 2)


def crop_and_native(axcodes: str) -> dict[str, Any]:
    """The blob on a 2 mm RAS crop as a prediction, and a native brain on a tilted grid of 1 mm."""
    shape, crop = (80, 88, 72), (48, 50, 46)
    native = affine_of(axcodes, (1, 1, 1), shape)
    brain = np.linalg.norm((world(native, shape) - (5, -10, 15)) / (34, 38, 30), axis=-1) < 1
    crop_affine = from_matvec(np.diag([2.0, 2.0, 2.0]), [5 - 47.0, -10 - 49.0, 15 - 45.0])
    at = world(crop_affine, crop)
    image = meta(np.zeros(crop), crop_affine, original_affine=native)
    pred = torch.as_tensor(np.stack([blob(at), at[..., 0] / 20])).float()  # the pseudo-healthy brain is a ramp along x
    return {
        "pred": pred,
        "image": image,
        "native_brain_mask": meta(brain, native, filename_or_obj="scan.nii.gz"),
        "intensity_scale": SCALE,
    }


def on_its_own_grid() -> dict[str, Any]:
    """Noise on the input's own grid, so that nothing is interpolated; outside the brain the map is higher."""
    shape, affine = (24, 28, 20), np.diag([1.0, 1.0, 5.0, 1.0])
    generator = torch.Generator().manual_seed(0)
    brain = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - (12, 14, 10)) / (9, 11, 8), axis=-1) < 1
    pred = torch.rand(2, *shape, generator=generator) * 3
    pred[0] += torch.from_numpy(~brain) * 100
    whole = np.ones(shape)
    image = MetaTensor(
        torch.stack([pred[1], torch.from_numpy(brain).float()]),
        meta={"affine": torch.as_tensor(affine), "original_affine": affine},
    )
    return {"pred": pred, "image": image, "native_brain_mask": meta(whole, affine), "intensity_scale": SCALE}


def several_sequences(absent: list[int]) -> dict[str, Any]:
    """As :func:`on_its_own_grid`, with three pseudo-healthy sequences, each of its own scale."""
    data = on_its_own_grid()
    images = torch.rand(3, 24, 28, 20, generator=torch.Generator().manual_seed(1)) * 4
    images[absent] = torch.nan
    scales = [float("nan") if n in absent else SCALE * (1 + n) for n in range(3)]
    return {**data, "pred": torch.cat([data["pred"][:1], images]), "intensity_scale": scales}


class TestNativeMapsd:
    @pytest.mark.parametrize("axcodes", ["RAS", "LAS", "PSR"])
    def test_blob_comes_back_to_its_place(self, axcodes: str):
        data = crop_and_native(axcodes)
        brain = np.asarray(data["native_brain_mask"][0]) > 0
        affine = np.asarray(data["native_brain_mask"].affine)
        assert nib.aff2axcodes(affine) == tuple(axcodes)
        at = world(affine, brain.shape)
        result = NativeMapsd()(data)
        found = np.asarray(result["anomaly_map"][0])
        assert result["anomaly_map"].shape == data["native_brain_mask"].shape
        # Linear interpolation at 2 mm is off by up to h^2 / 8 times the sum of the second derivatives.
        bound = 2**2 / 8 * (1 / BLOB_AXES**2).sum()
        assert np.abs(found - blob(at))[brain].max() < bound
        # Where the map is above exp(-1/2) there is the ellipsoid.
        mask, ellipsoid = found > np.exp(-0.5), (blob_radius(at) < 1) & brain
        assert 2 * (mask & ellipsoid).sum() / (mask.sum() + ellipsoid.sum()) > 0.98
        np.testing.assert_allclose(at[mask].mean(axis=0), at[ellipsoid].mean(axis=0), atol=0.05)
        assert mask.sum() == pytest.approx(4 / 3 * np.pi * BLOB_AXES.prod(), rel=0.03)

    def test_pseudo_healthy_brain_has_the_units_of_the_input(self):
        data = crop_and_native("LAS")
        brain = np.asarray(data["native_brain_mask"][0]) > 0
        at = world(np.asarray(data["native_brain_mask"].affine), brain.shape)
        pseudo_healthy = np.asarray(NativeMapsd()(data)["pseudo_healthy"][0])
        np.testing.assert_allclose(pseudo_healthy[brain], ((at[..., 0] / 20 + 3) * SCALE)[brain], rtol=1e-4)

    def test_outside_the_brain_is_nothing(self):
        data = crop_and_native("LAS")
        data["pred"] = torch.full_like(data["pred"], 7.0)
        result = NativeMapsd()(data)
        brain = np.asarray(data["native_brain_mask"][0]) > 0
        for name, inside in (("anomaly_map", 7.0), ("pseudo_healthy", 10 * SCALE)):
            values = np.asarray(result[name][0])
            assert result[name].dtype == torch.float32
            assert not values[~brain].any()
            np.testing.assert_allclose(values[brain], inside, rtol=1e-5)

    def test_grid_and_file_are_the_input_s(self):
        data = crop_and_native("LAS")
        result = NativeMapsd()(data)
        for name in ("anomaly_map", "pseudo_healthy"):
            torch.testing.assert_close(result[name].affine, data["native_brain_mask"].affine)
            assert result[name].meta["filename_or_obj"] == "scan.nii.gz"

    def test_median_filter_takes_out_single_voxels_only(self):
        data = crop_and_native("LAS")
        data["pred"][0] = 0
        data["pred"][0, 30, 30, 30] = 9.0  # one voxel of 2 mm
        data["pred"][0, 15:22, 15:22, 15:22] = 2.0
        plain, filtered = (np.asarray(NativeMapsd(median_radius=r)(dict(data))["anomaly_map"][0]) for r in (0, 1))
        assert plain.max() > 4 and filtered.max() == pytest.approx(2.0)
        rounded = 7**3 - 12 * 5 - 8  # edges and corners of the cube have fewer than 14 of 27 neighbours in it
        assert (filtered > 1).sum() == pytest.approx(rounded * 2**3, rel=0.04)

    @pytest.mark.parametrize("radius", [(2, 2, 0), [0, 1, 2], (0, 0, 0)])
    def test_median_filter_of_one_radius_per_axis(self, radius: tuple[int, int, int]):
        data = on_its_own_grid()
        size = tuple(2 * r + 1 for r in radius)
        expected = median_filter(np.asarray(data["pred"][0]), size, mode="nearest")
        found = NativeMapsd(median_radius=radius)(data)["anomaly_map"][0]
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)

    @pytest.mark.parametrize("exponent", [0.5, 1.0])
    def test_map_is_divided_by_a_power_of_its_percentile(self, exponent: float):
        data = on_its_own_grid()
        brain = np.asarray(data["image"][-1]) > 0
        raw = np.asarray(data["pred"][0])
        plain, scaled = (NativeMapsd(percentile_scaling=e)(dict(data)) for e in (0.0, exponent))
        expected = raw / np.percentile(raw[brain], 99.5) ** exponent
        inside = np.asarray(data["native_brain_mask"][0]) > 0
        np.testing.assert_allclose(np.asarray(scaled["anomaly_map"][0])[inside], expected[inside], rtol=1e-4)
        np.testing.assert_allclose(np.asarray(plain["anomaly_map"][0])[inside], raw[inside], rtol=1e-4)
        assert torch.equal(plain["pseudo_healthy"], scaled["pseudo_healthy"]), "the picture keeps its units"
        if exponent == 1:
            assert np.percentile(np.asarray(scaled["anomaly_map"][0])[brain], 99.5) == pytest.approx(1, rel=1e-4)

    def test_exponent_1_makes_maps_alike_whatever_their_scale(self):
        maps = []
        for factor in (1.0, 7.0):
            data = on_its_own_grid()
            data["pred"][0] *= factor
            maps.append(np.asarray(NativeMapsd(percentile_scaling=1.0)(data)["anomaly_map"]))
        np.testing.assert_allclose(maps[0], maps[1], rtol=1e-4)

    def test_scale_is_that_of_the_filtered_map(self):
        data = on_its_own_grid()
        data["pred"][0] = 1.0
        data["pred"][0, ::4, ::4, ::4] = 50.0  # 1.6 % of the voxels, all of them alone
        result = NativeMapsd(median_radius=1, percentile_scaling=1.0)(data)["anomaly_map"]
        assert np.asarray(result)[np.asarray(data["native_brain_mask"]) > 0] == pytest.approx(1.0)

    @pytest.mark.parametrize("value", [0.0, -2.0])
    def test_map_without_a_positive_percentile_stays(self, value: float):
        data = on_its_own_grid()
        data["pred"][0] = value
        result = np.asarray(NativeMapsd(percentile_scaling=0.5)(data)["anomaly_map"])
        assert result[np.asarray(data["native_brain_mask"]) > 0] == pytest.approx(0)  # never below 0

    def test_smoothing_keeps_what_is_uniform_up_to_the_edge_and_cancels_what_changes_sign(self):
        data = on_its_own_grid()
        brain = np.asarray(data["image"][-1]) > 0
        data["pred"][0] = torch.where(torch.from_numpy(brain), data["pred"][0].new_tensor(2.0), 100.0)
        uniform = np.asarray(NativeMapsd(smoothing_mm=3.0)(dict(data))["anomaly_map"][0])
        np.testing.assert_allclose(uniform, np.where(brain, 2.0, 0), atol=1e-5)
        edges = 2 * (torch.arange(24) % 2)[:, None, None] - 1.0  # 1 and -1 in turn
        data["pred"][0] = edges
        assert np.asarray(NativeMapsd()(dict(data))["anomaly_map"]).max() == 1
        assert np.asarray(NativeMapsd(smoothing_mm=3.0)(dict(data))["anomaly_map"]).max() < 0.2

    def test_smoothing_is_a_gaussian_in_mm(self):
        data = on_its_own_grid()
        data["image"][-1] = 1  # all of the grid
        data["pred"][0] = 0
        data["pred"][0, 12, 14, 10] = 1.0
        found = np.asarray(NativeMapsd(smoothing_mm=2.5)(data)["anomaly_map"][0])
        assert found[15, 14, 10] / found[12, 14, 10] == pytest.approx(np.exp(-0.5 * (3 / 2.5) ** 2), rel=0.02)
        assert found[12, 14, 11] / found[12, 14, 10] < found[13, 14, 10] / found[12, 14, 10]  # 5 mm away, not 1

    def test_prediction_of_half_precision_that_needs_gradients(self):
        data = crop_and_native("RAS")
        data["pred"] = data["pred"].half().requires_grad_()
        result = NativeMapsd()(data)["anomaly_map"]
        assert result.dtype == torch.float32 and not result.requires_grad

    @pytest.mark.parametrize("absent", [[], [1], [0, 2]])
    def test_pseudo_healthy_sequences_have_the_units_of_their_own_inputs(self, absent: list[int]):
        data = several_sequences(absent)
        result = NativeMapsd(reconstructions=3)(data)
        present = [n for n in range(3) if n not in absent]
        assert result["pseudo_healthy"].shape == (len(present), 24, 28, 20)
        for found, n in zip(result["pseudo_healthy"], present, strict=True):
            expected = (data["pred"][1 + n] + 3) * data["intensity_scale"][n]
            np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)
        assert set(result) - set(data) == {"anomaly_map", "pseudo_healthy"}
        torch.testing.assert_close(result["pseudo_healthy"].affine, data["native_brain_mask"].affine)

    @pytest.mark.parametrize("reconstructions", [1, 3])
    @pytest.mark.parametrize("exponent", [0.0, 0.5])
    def test_a_further_channel_is_the_uncertainty_of_the_map_in_its_unit(self, reconstructions: int, exponent: float):
        data = several_sequences([1]) if reconstructions == 3 else on_its_own_grid()
        raw = torch.rand(1, *data["pred"].shape[1:])
        data["native_brain_mask"][0, :5] = 0
        plain = NativeMapsd(percentile_scaling=exponent, reconstructions=reconstructions)(dict(data))
        data["pred"] = torch.cat([data["pred"], raw])
        result = NativeMapsd(percentile_scaling=exponent, reconstructions=reconstructions)(data)
        in_brain = np.asarray(data["pred"][0])[np.asarray(data["image"][-1]) > 0]
        expected = np.asarray(raw[0]) / np.percentile(in_brain, 99.5) ** exponent
        expected[:5] = 0
        assert result["uncertainty"].shape == (1, 24, 28, 20)
        np.testing.assert_allclose(np.asarray(result["uncertainty"][0]), expected, rtol=1e-4)
        for key in ("anomaly_map", "pseudo_healthy"):
            assert torch.equal(result[key], plain[key])

    def test_uncertainty_comes_back_to_its_place_and_is_not_filtered(self):
        data = crop_and_native("LAS")
        brain = np.asarray(data["native_brain_mask"][0]) > 0
        data["pred"] = torch.cat([data["pred"], data["pred"][:1]])
        result = NativeMapsd(median_radius=1)(data)
        expected = NativeMapsd()(data)["anomaly_map"]
        assert torch.equal(result["uncertainty"], expected) and not torch.equal(result["anomaly_map"], expected)
        assert not np.asarray(result["uncertainty"][0])[~brain].any()

    @pytest.mark.parametrize(("channels", "scales"), [(2, 3), (3, 3), (6, 3), (4, 1), (4, 2)])
    def test_prediction_of_another_number_of_sequences(self, channels: int, scales: int):
        data = on_its_own_grid()
        data["pred"] = torch.zeros(channels, 24, 28, 20)
        data["intensity_scale"] = [SCALE] * scales
        with pytest.raises(ValueError, match=f"has {channels} channels and {scales} intensity scales, not .* 3 seq"):
            NativeMapsd(reconstructions=3)(data)


class TestThresholdMapd:
    def test_mask_is_where_the_map_is_above_one(self):
        values = torch.tensor([0.0, 1.9, 2.0, 2.1, 8.0]).reshape(1, 5, 1, 1)
        result = ThresholdMapd(threshold=2.0)({"anomaly_map": MetaTensor(values)})
        assert result["anomaly_map"].flatten().tolist() == pytest.approx([0, 0.95, 1, 1.05, 4])
        assert result["pred"].flatten().tolist() == [0, 0, 0, 1, 1] and result["pred"].dtype == torch.uint8
        assert torch.equal(result["pred"] > 0, result["anomaly_map"] > 1)

    def test_mask_keeps_the_grid_and_replaces_the_prediction(self):
        affine = affine_of("LAS", (1, 1, 2), (4, 4, 4))
        data = {"anomaly_map": meta(np.ones((4, 4, 4)), affine), "pred": torch.zeros(2, 3, 3, 3)}
        result = ThresholdMapd(threshold=0.5)(data)
        assert result["pred"].shape == (1, 4, 4, 4) and result["pred"].all()
        np.testing.assert_allclose(np.asarray(result["pred"].affine), affine)
        assert data["anomaly_map"].max() == 1, "the input is left alone"

    def test_another_name_for_the_mask(self):
        result = ThresholdMapd(mask_key="mask")({"anomaly_map": MetaTensor(torch.full((1, 1, 1, 1), 2.0)), "pred": 5})
        assert result["pred"] == 5 and result["mask"].all()

    def test_threshold_of_the_volume_is_stated(self):
        result = ThresholdMapd(threshold=2)({"anomaly_map": MetaTensor(torch.ones(1, 2, 2, 2))})
        assert result["map_threshold"] == 2.0 and isinstance(result["map_threshold"], float)

    @pytest.mark.parametrize(
        ("rule", "stored", "expected"),
        [("otsu", 0.1, 2.0), ("otsu", 3.0, 3.0), ("peak", 0.1, 0.995), ("peak", 3.0, 3.0)],
    )
    def test_own_threshold_of_this_volume_but_not_below_the_stored(self, rule: str, stored: float, expected: float):
        # Uniform on (0, 4) in the brain: Otsu cuts at 2, the peak is 3.98. What is outside the brain does not count.
        brain = torch.zeros(1, 20, 20, 20)
        brain[:, 2:-2] = 1
        values = torch.where(brain > 0, torch.linspace(0, 4, 8000).reshape(brain.shape), 90.0)
        values[brain > 0] = torch.linspace(0, 4, int(brain.sum()))
        data = {"anomaly_map": MetaTensor(values), "native_brain_mask": MetaTensor(brain)}
        result = ThresholdMapd(threshold=stored, rule=rule)(data)
        assert result["map_threshold"] == pytest.approx(expected, abs=0.02)
        np.testing.assert_allclose(result["anomaly_map"] * result["map_threshold"], values, rtol=1e-5)
        assert torch.equal(result["pred"] > 0, result["anomaly_map"] > 1)
        assert (result["pred"][brain > 0] > 0).float().mean() == pytest.approx(1 - expected / 4, abs=0.01)

    @pytest.mark.parametrize("threshold", [0.5, 2.0])
    def test_uncertainty_has_the_unit_of_the_map(self, threshold: float):
        data = {name: MetaTensor(torch.rand(1, 4, 4, 4)) for name in ("anomaly_map", "uncertainty")}
        result = ThresholdMapd(threshold=threshold)(data)
        torch.testing.assert_close(result["uncertainty"] * threshold, data["uncertainty"])
        alone = ThresholdMapd(threshold=threshold)({"anomaly_map": data["anomaly_map"]})
        assert torch.equal(alone["anomaly_map"], result["anomaly_map"]) and "uncertainty" not in alone

    def test_otsu_of_a_map_in_which_nothing_stands_out(self):
        data = {"anomaly_map": MetaTensor(torch.zeros(1, 4, 4, 4)), "native_brain_mask": torch.ones(1, 4, 4, 4)}
        result = ThresholdMapd(threshold=0.5, rule="otsu")(data)
        assert result["map_threshold"] == float("inf")
        assert not result["pred"].any() and not result["anomaly_map"].any()

    def test_rule_must_be_known(self):
        with pytest.raises(ValueError, match="one of stored, otsu, peak, got 'Otsu'"):
            ThresholdMapd(rule="Otsu")

    @pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
    def test_threshold_must_be_above_zero(self, threshold: float):
        with pytest.raises(ValueError, match="threshold must be above 0"):
            ThresholdMapd(threshold=threshold)


class TestCaseNamed:
    @pytest.mark.parametrize(("case", "name"), [({"case_id": "sub-01"}, "sub-01"), ({}, "scan")])
    def test_files_are_named(self, tmp_path: Path, case: dict[str, str], name: str):
        data = {"pred": meta(np.ones((3, 4, 5)), np.eye(4), filename_or_obj="/in/scan.nii.gz"), **case}
        options = {"separate_folder": False, "resample": False, "print_log": False}  # as in configs/inference.json
        save = mt.SaveImaged("pred", output_dir=tmp_path, output_postfix="anomaly_mask", **options)
        save(CaseNamed("pred")(data))
        assert [path.name for path in tmp_path.iterdir()] == [f"{name}_anomaly_mask.nii.gz"]

    @pytest.mark.parametrize("sequences", [1, 3])
    def test_several_sequences_are_written_as_one_4d_file_on_the_input_s_grid(self, tmp_path: Path, sequences: int):
        native, shape = affine_of("LAS", (1, 1.5, 5), (24, 28, 20)), (24, 28, 20)
        file = {"original_affine": native, "spatial_shape": np.array(shape), "filename_or_obj": "scan.nii.gz"}
        data = {**several_sequences([]), "native_brain_mask": meta(np.ones(shape), native, **file)}
        data["image"] = meta(np.ones(shape), native, original_affine=native)
        data["pred"], data["intensity_scale"] = data["pred"][: 1 + sequences], data["intensity_scale"][:sequences]
        result = NativeMapsd(reconstructions=sequences)(data)
        options = {"separate_folder": False, "resample": False, "print_log": False}
        mt.SaveImaged("pseudo_healthy", output_dir=tmp_path, output_postfix="healthy", **options)(result)
        written = nib.load(tmp_path / "scan_healthy.nii.gz")
        assert written.shape == (shape if sequences == 1 else (*shape, 3)) and written.get_data_dtype() == np.float32
        np.testing.assert_allclose(written.affine, native, atol=1e-5)
        volumes = written.get_fdata().reshape(*shape, sequences)
        np.testing.assert_allclose(np.moveaxis(volumes, -1, 0), np.asarray(result["pseudo_healthy"]), rtol=1e-5)

    def test_map_and_pseudo_healthy_are_named_apart(self):
        data = {**crop_and_native("RAS"), "case_id": "a"}
        result = CaseNamed("anomaly_map")(NativeMapsd()(data))
        assert result["anomaly_map"].meta["filename_or_obj"] == "a.nii.gz"
        assert result["pseudo_healthy"].meta["filename_or_obj"] == "scan.nii.gz"
        assert data["native_brain_mask"].meta["filename_or_obj"] == "scan.nii.gz"


WAVE_MM, WAVE_HEIGHT = 40.0, 20.0


def texture(at: np.ndarray) -> np.ndarray:
    """Tissue: a wave along each axis of the world."""
    return 200 + WAVE_HEIGHT * np.sin(2 * np.pi * at / WAVE_MM).sum(axis=-1)


class Same(torch.nn.Module):
    """A network that returns the image as map and as pseudo-healthy brain."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :1] + 3, x[:, :1]], dim=1)


def preprocessing() -> mt.Compose:
    """The preprocessing of configs/inference.json."""
    keys = ["image", "brain_mask"]
    return mt.Compose(
        [
            mt.LoadImaged([*keys, "label"], ensure_channel_first=True, allow_missing_keys=True),
            BrainMaskd("image"),
            mt.CopyItemsd(keys, names=["native_image", "native_brain_mask"]),
            mt.Orientationd(keys, axcodes="RAS", labels=None),
            Spacingd(keys, pixdim=[2, 2, 2], mode=["bilinear", "nearest"]),
            mt.CropForegroundd(keys, source_key="brain_mask", start_coord_key=None, end_coord_key=None),
            mt.SpatialPadd(keys, spatial_size=[48, 64, 48]),
            mt.DivisiblePadd(keys, k=16),
            BrainNormalized("image"),
            mt.ConcatItemsd(keys, name="image"),
        ]
    )


@pytest.mark.parametrize(
    ("axcodes", "spacing", "shape"),
    [
        ("LAS", (1, 1, 1), (84, 100, 76)),
        ("RAS", (2, 2, 2), (42, 50, 38)),
        ("PSR", (1, 2.5, 0.8), (100, 32, 105)),
    ],
)
def test_whole_chain_gives_the_input_back(
    tmp_path: Path, axcodes: str, spacing: tuple[float, float, float], shape: tuple[int, int, int]
):
    affine = affine_of(axcodes, spacing, shape)
    at = world(affine, shape)
    brain = np.linalg.norm((at - (5, -10, 15)) / (36, 44, 32), axis=-1) < 1
    expected = np.where(brain, texture(at), 0)
    nib.save(nib.Nifti1Image(expected.astype(np.float32), affine), tmp_path / "scan.nii.gz")
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            Dataset([{"case_id": "a", "image": str(tmp_path / "scan.nii.gz")}], preprocessing()), batch_size=1
        ),
        network=Same(),
        inferer=SimpleInferer(),
        postprocessing=mt.Compose([NativeMapsd(), ThresholdMapd(threshold=3.0)]),
    )
    evaluator.run()
    (output,) = evaluator.state.output
    pseudo_healthy, anomaly_map = (np.asarray(output[name][0]) for name in ("pseudo_healthy", "anomaly_map"))
    np.testing.assert_allclose(np.asarray(output["pseudo_healthy"].affine), affine, atol=1e-4)

    deep = binary_erosion(brain, structure=_ball_mm(6, voxel_sizes(affine)))
    assert deep.sum() > 0.3 * brain.sum()
    error = np.abs(pseudo_healthy - expected)[deep]
    # The wave's second derivatives, times h^2 / 8 for each linear interpolation and sigma^2 / 2 for the blur before
    # thinning out (0.42 voxels of 2 mm, less those of the file).
    curvature = 3 * WAVE_HEIGHT * (2 * np.pi / WAVE_MM) ** 2
    bound = curvature * ((2**2 + max(spacing) ** 2) / 8 + (0.42 * 2) ** 2 / 2)
    assert error.max() < (bound if spacing != (2, 2, 2) else 1e-3)  # voxels on voxels
    assert not pseudo_healthy[~brain].any()
    scale = float(np.percentile(expected[brain], 90)) / 6
    np.testing.assert_allclose(anomaly_map[deep], expected[deep] / scale / 3.0, rtol=0.03)
    np.testing.assert_array_equal(np.asarray(output["pred"][0]) > 0, anomaly_map > 1)


def _ball_mm(radius: float, spacing: np.ndarray) -> np.ndarray:
    """Structuring element, ``X Y Z`` bool."""
    reach = np.ceil(radius / spacing).astype(int)
    grid = np.moveaxis(np.indices(2 * reach + 1), 0, -1) - reach
    return np.linalg.norm(grid * spacing, axis=-1) <= radius
