"""The configs of TSGM: each builds its parts, the numbers of the paper, what training and inference share."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from shared.anomaly.calibration import Calibration
from shared.anomaly.calibration_fit import CalibrationFit
from shared.anomaly.components import large_areas
from shared.anomaly.fusion_search import FusionSearch
from shared.diffusion.samplers import sample_dpmpp_2m, sample_predictor_corrector
from shared.evaluation.cohort import CohortMetrics
from shared.methods.tsgm.inferer import CycleGANInferer, TSGMInferer
from shared.methods.tsgm.pseudo_healthy import IntensityFusionInferer
from shared.methods.tsgm.slice_otsu import SliceOtsud
from shared.methods.tsgm.training import KINDS
from shared.reports.case_reports import CaseReports
from shared.runs.facts import facts_of
from shared.runs.weights import load_weights, save_half
from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.run_outputs import read, report_rows

SEQUENCES = ["t1", "t1ce", "flair"]
SPACING = 6.0
SINGLE_CHANNEL = ("inference_single_channel", "inference_paper")  # their weights are made by training
SINGLE = "single_channel/model.pt"
OVERLAYS = {  # inferer, handler of the results, weights, calibration
    "inference": (TSGMInferer, CaseReports, "model.pt", "calibration_t1_t1ce_flair.json"),
    "inference_fast": (TSGMInferer, CaseReports, "model.pt", "calibration_t1_t1ce_flair.json"),
    "inference_single_channel": (TSGMInferer, CaseReports, SINGLE, "calibration_single_channel.json"),
    "inference_paper": (TSGMInferer, CaseReports, SINGLE, None),
    "baseline_cyclegan": (CycleGANInferer, CaseReports, "cyclegan/model.pt", "calibration_cyclegan.json"),
    "baseline_intensity": (IntensityFusionInferer, CaseReports, "model.pt", "calibration_intensity.json"),
    "baseline_flair_minus_t1": (IntensityFusionInferer, CaseReports, "model.pt", "calibration_flair_minus_t1.json"),
    "calibrate": (TSGMInferer, CalibrationFit, "model.pt", None),
    "evaluate": (TSGMInferer, CohortMetrics, "model.pt", "calibration_t1_t1ce_flair.json"),
    "search_fusion": (TSGMInferer, FusionSearch, "model.pt", None),
}


@pytest.fixture(scope="module")
def parsed(tsgm):
    return tsgm.parsed


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """Options of a run: a labelled brain of three sequences in each section of a datalist; a threshold; a slice."""
    folder = tmp_path_factory.mktemp("given")
    phantom = make_phantom(3, "tumour", SEQUENCES, spacing=SPACING)
    case = write_phantom(phantom, folder, "case")
    level = phantom.brain_mask.shape[2] // 2
    slices = {name: folder / f"slice_{name}.nii.gz" for name in SEQUENCES}
    for name, path in slices.items():
        nib.save(nib.Nifti1Image(phantom.images[name][:, :, [level]], phantom.affine), path)
    (folder / "list.json").write_text(json.dumps({"test": [case], "validation": [{**case, "case_id": "other"}]}))
    Calibration(0.5, "made up", 0.02, {"0.02": 0.5}, [0.02], ["case"], "").save(folder / "calibration.json")
    options = {"datalist": str(folder / "list.json"), "output_dir": str(folder)}
    return SimpleNamespace(options=options, slices=slices, calibration_file=str(folder / "calibration.json"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_config_builds_all_its_parts_and_names_its_files(parsed, given, tsgm, overlay):
    inferer, handler, weights, calibration = OVERLAYS[overlay]
    parser = parsed("inference", overlay, **given.options)
    models = tsgm.folder / "models"
    assert parser.get_parsed_content("weights") == str(models / weights)
    if calibration is not None:
        assert parser.get_parsed_content("calibration_file") == str(models / calibration)
    if overlay not in SINGLE_CHANNEL:
        assert not parser.get_parsed_content("network").training

    options = {**given.options, "calibration_file": given.calibration_file, "weights": str(models / "model.pt")}
    if calibration is None:
        options["calibration_file"] = "nowhere.json"  # it is not read
    parser = parsed("inference", overlay, **options)
    parser["network"] = "@network_def"
    evaluator = parser.get_parsed_content("evaluator")
    assert type(evaluator.inferer) is inferer and evaluator.network is parser.get_parsed_content("network_def")
    assert type(parser.get_parsed_content("handlers")[-1]) is handler
    assert len(parser.get_parsed_content("door").cases) == 1
    assert bool(parser.get_parsed_content("save")) == (handler is CaseReports)


def test_paper_config_has_the_numbers_of_the_paper(parsed):
    """Sections III and IV and the released code; the three weights that are left of its four."""
    parser = parsed("inference", "inference_paper")
    inferer, network = (parser.get_parsed_content(name) for name in ("inferer", "network_def"))
    sigmas = inferer.sigmas[:-1]
    assert len(sigmas) == 1000 and inferer.sigmas[-1] == 0
    assert float(sigmas[0]) == pytest.approx(348) and float(sigmas[-1]) == pytest.approx(0.01)
    assert torch.allclose(sigmas[1:] / sigmas[:-1], (sigmas[-1] / sigmas[0]) ** (1 / 999))
    assert inferer.sampler is sample_predictor_corrector and inferer.sampler_options == {"snr": 0.075}
    assert (inferer.samples, network.channels) == (1, 1)
    assert inferer.fusion_weights == {"t1": 0.07, "t1ce": 0.19, "flair": 0.44}
    assert inferer.errors == dict.fromkeys(SEQUENCES, "absolute")
    native_maps, otsu = parser.get_parsed_content("find")
    assert (native_maps.median_radius, native_maps.smoothing_mm, native_maps.percentile_scaling) == (0, 0, 0)
    assert type(otsu) is SliceOtsud and otsu.min_area_mm2 == 400


def test_paper_config_evaluates_the_network_2000_times_for_each_sequence_of_a_slice(parsed):
    class Denoiser:
        channels, calls = 1, 0

        def __call__(self, x, sigma, condition):
            self.calls += len(x)
            return condition

    network, inferer = Denoiser(), parsed("inference", "inference_paper").get_parsed_content("inferer")
    image = torch.ones(1, 4, 2, 2, 1)
    facts = facts_of(inferer(image, network))
    assert network.calls == facts["network_evaluations"] == 2000 * 3


def test_paper_setting_needs_no_calibration_and_thresholds_each_slice_itself(parsed, given, tsgm, tmp_path):
    """The real command on one slice with 2 of the 1,000 steps; weights of a narrower network that has learnt nothing.

    They mark most of the brain, which is refused unless ``max_share`` allows it.
    """
    weights, out = tmp_path / "weights.pt", tmp_path / "out"
    save_half(parsed("inference", "inference_paper", **{"unet#width": 8}).get_parsed_content("network_def"), weights)
    options = {
        **given.slices,
        "weights": weights,
        "unet#width": 8,
        "steps": 2,
        "output_dir": out,
        "save#0#max_share": 1.0,
    }
    done = tsgm.run("inference.json inference_paper.json", options)
    assert done.returncode == 0, done.stderr
    row = report_rows(out)["slice"]
    assert (row["score"], row["score_percentile"], row["threshold_source"]) == ("", "", "of this volume")
    assert float(row["threshold"]) > 0 and "belongs to" not in row["warnings"]
    assert (row["sequences"], row["slices"], row["samples"]) == ("t1 t1ce flair", "1", "1")
    assert int(row["network_evaluations"]) == 3 * 2 * 2  # sequences, steps, predictor and corrector

    volumes = read(out, "slice")
    above = volumes.anomaly_map.get_fdata() > 1
    kept = large_areas(above, axis=2, min_pixels=400 / SPACING**2)
    assert np.array_equal(np.asarray(volumes.anomaly_mask.dataobj), kept)
    assert above.any() and volumes.pseudo_healthy.shape == (*above.shape, 3)


def test_default_takes_a_hundredth_of_the_evaluations_and_the_fast_setting_fewer_still(parsed, tsgm):
    config, fast = tsgm.config("inference.json"), tsgm.config("inference_fast.json")
    parser = parsed("inference")
    inferer, steps, samples = (parser.get_parsed_content(key) for key in ("inferer", "steps", "samples"))
    assert inferer.sampler is sample_dpmpp_2m and len(inferer.sigmas) - 1 == steps <= 20
    assert [float(inferer.sigmas[n]) for n in (-2, 0)] == pytest.approx(config["sigma_range"])
    assert fast["steps"] < steps and fast["samples"] < samples
    assert fast["min_step_mm"] > config["min_step_mm"] and len(fast.keys() - {"_desc_"}) == 3


@pytest.mark.parametrize(
    "inference, training, trained",
    [
        ("inference", ["train"], "model.pt"),
        ("inference_single_channel", ["train", "train_single_channel"], SINGLE),
        ("inference_paper", ["train", "train_single_channel"], SINGLE),
    ],
)
def test_training_makes_the_weights_that_inference_reads(parsed, tsgm, inference, training, trained):
    used, made = parsed("inference", inference), parsed(*training)
    one, other = used.get_parsed_content("network_def"), made.get_parsed_content("network_def")
    assert {k: v.shape for k, v in one.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}
    for name in ("channels", "mean", "sigma_data", "sigma_difference", "trained_sigma_range"):
        assert getattr(one, name) == getattr(other, name), name
    assert used["unet"] == made["unet"]
    assert used.get_parsed_content("sigma_range")[1] <= other.trained_sigma_range[1]
    for name in ("sequences", "pixel_mm", "min_step_mm", "box"):
        assert used.get_parsed_content(name) == made.get_parsed_content(name), name
    assert made.get_parsed_content("ckpt_dir") == str((tsgm.folder / "models" / trained).parent)


def test_both_stages_share_slices_and_generators(parsed):
    first, second, baseline = parsed("train_cyclegan"), parsed("train"), parsed("inference", "baseline_cyclegan")
    for name in ("sequences", "pixel_mm", "min_step_mm", "lesion_margin", "read", "generator"):
        assert first[name] == second[name], name
    assert {k: baseline["cyclegan_def"][k] for k in first["generator"]} == first["generator"]
    weights = f"{first.get_parsed_content('ckpt_dir')}/model.pt"
    assert second.get_parsed_content("cyclegan_weights") == baseline.get_parsed_content("weights") == weights
    generators = first.get_parsed_content("network_def").generators
    assert load_weights(generators, weights) is generators


def test_shares_of_the_pairs_add_up(parsed):
    for configs in (["train"], ["train", "train_single_channel"]):
        parser = parsed(*configs)
        assert set(parser["shares"]) == set(KINDS) and sum(parser["shares"].values()) == pytest.approx(1)
        assert (parser["drop_sequences"] > 0) == (len(configs) == 1)  # one sequence is all there is


@pytest.mark.parametrize("pixel_mm", [1.0, 1.8, 3.0])
def test_box_holds_a_brain_and_suits_the_network(parsed, pixel_mm):
    for config in ("inference", "train", "train_cyclegan"):
        box = parsed(config, pixel_mm=pixel_mm).get_parsed_content("box")
        assert all(n % 16 == 0 and n * pixel_mm >= mm for n, mm in zip(box, (172, 200), strict=True))


def test_baselines(parsed):
    intensity = parsed("inference", "baseline_intensity")
    assert (
        intensity["used_sequences"] == ["flair"] and intensity.get_parsed_content("inferer").errors["flair"] == "bright"
    )
    difference = parsed("inference", "baseline_flair_minus_t1").get_parsed_content("inferer")
    assert (difference.errors["flair"], difference.errors["t1"]) == ("bright", "dark")
    assert difference.fusion_weights == {"t1": 0.4, "t1ce": 0.0, "flair": 1.0}


def test_threshold_belongs_to_the_sampling_only_where_samples_make_the_map(parsed):
    usual, quick = ({"steps": steps, "samples": 2, "sampler": "euler"} for steps in (10, 3))
    settings = [parsed("inference", **one).get_parsed_content("map_settings") for one in (usual, quick)]
    assert settings[0] == settings[1]
    settings = [
        parsed("inference", posterior_mean=False, **one).get_parsed_content("map_settings") for one in (usual, quick)
    ]
    assert settings[0]["sampling"] == ["euler", 10, 2] and settings[1]["sampling"] == ["euler", 3, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["t1ce"]),  # as MONAI Label runs it, on one image
        ({"image": "x"}, ["t1ce"]),
        ({"flair": "x"}, ["flair"]),
        ({"flair": "x", "t1": "y", "t2": "z"}, ["t1", "flair"]),
        ({"image": "x", "channels": ["flair", "t2", "t1ce"]}, ["t1ce", "flair"]),
        ({"dataset_dir": "x"}, SEQUENCES),
    ],
)
def test_calibration_is_that_of_the_sequences_in_use(parsed, tsgm, given, expected):
    parser = parsed("inference", sequence="t1ce", **given)
    assert parser.get_parsed_content("used_sequences") == expected
    path = tsgm.folder / "models" / f"calibration_{'_'.join(expected)}.json"
    assert parser.get_parsed_content("calibration_file") == str(path)


def test_network_takes_and_returns_what_the_metadata_says(parsed):
    """MONAI's own check cannot pass the noise level and the condition."""
    data = parsed("metadata")["network_data_format"]
    x, sigma, condition = (data["inputs"][name] for name in ("image", "sigma", "condition"))
    network, pred = parsed("inference").get_parsed_content("network_def").eval(), data["outputs"]["pred"]
    assert x["spatial_shape"] == condition["spatial_shape"] == pred["spatial_shape"] == ["16*(n+1)"] * 2
    assert sigma["value_range"] == network.trained_sigma_range
    with torch.inference_mode():
        noisy, given = (torch.zeros(1, each["num_channels"], 32, 48) for each in (x, condition))
        found = network(noisy, torch.full((1,), 80.0), given)
    assert found.shape == (1, pred["num_channels"], 32, 48) and found.dtype == torch.float32
    assert len(x["channel_def"]) == x["num_channels"] == len(SEQUENCES)
