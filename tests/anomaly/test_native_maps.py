"""Back to the input's grid: blobs and noise given by formulas in world coordinates, on grids that do not align."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

from shared.anomaly.native_maps import NativeMapsd
from shared.runs.facts import with_facts
from tests.helpers.native_cases import (
    BLOB_AXES,
    SCALE,
    blob,
    blob_radius,
    crop_and_native,
    on_its_own_grid,
    several_sequences,
    world,
)


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
        assert set(result) - set(data) == {"anomaly_map", "pseudo_healthy", "facts"}
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

    def test_facts_of_the_inferer_go_into_the_case(self):
        data, facts = on_its_own_grid(), {"network_evaluations": 3, "hidden_shares": [1.0, 0.5]}
        assert NativeMapsd()(data)["facts"] == {}, "there may be none"
        plain = NativeMapsd()(dict(data))
        data["pred"] = with_facts(data["pred"][None], [facts])[0]
        result = NativeMapsd()(data)
        assert result["facts"] == facts
        for name in ("anomaly_map", "pseudo_healthy"):
            assert torch.equal(result[name], plain[name]) and set(result[name].meta) == set(plain[name].meta)

    def test_its_notes_join_those_of_the_case(self):
        data = {**on_its_own_grid(), "notes": ["of the door"]}
        data["pred"] = with_facts(data["pred"][None], [{"registered": False, "notes": ["not registered"]}])[0]
        result = NativeMapsd()(data)
        assert result["notes"] == ["of the door", "not registered"] and result["facts"] == {"registered": False}


@pytest.mark.parametrize(
    "wrong", [{"median_radius": -1}, {"median_radius": [1, 1, -1]}, {"smoothing_mm": -1}, {"percentile_scaling": 2}]
)
def test_filters_that_do_not_exist_are_refused_when_they_are_asked_for(wrong):
    with pytest.raises(ValueError, match="got "):
        NativeMapsd("pred", **wrong)
