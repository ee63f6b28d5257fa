"""The configs of MMCCD: the numbers of the paper, the baselines, the metadata, what the loss leaves out."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import list_data_collate

from shared.anomaly.baselines import IntensityInferer
from shared.anomaly.residuals import ResidualRule
from shared.cases.datalists import gather_cases
from shared.methods.mmccd.inferer import CycleInferer
from shared.simulation.phantom_brain import Phantom, make_phantom, write_phantom

OVERLAYS = {
    "inference": "calibration_flair.json",
    "inference_direct": "calibration_flair_given_t1.json",
    "baseline_intensity": "calibration_flair_intensity.json",
    "baseline_flair_minus_t1": "calibration_flair_minus_t1.json",
    "baseline_cyclic_unet": "calibration_flair_cyclic_unet.json",
    "inference_paper": "calibration_flair_paper.json",
}


@pytest.fixture(scope="module")
def parsed(mmccd):
    return mmccd.parsed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_config_builds_its_inferer_and_has_a_threshold_of_its_own(parsed, mmccd, overlay):
    parser = parsed("inference", overlay)
    expected = IntensityInferer if overlay in ("baseline_intensity", "baseline_flair_minus_t1") else CycleInferer
    assert type(parser.get_parsed_content("inferer")) is expected
    assert parser.get_parsed_content("calibration_file") == str(mmccd.folder / "models" / OVERLAYS[overlay])


def test_paper_config_has_the_numbers_of_the_paper(parsed):
    """Section 3 and the released code: 100 steps of 10 from 990 on, stripes 2 pixels apart, the squared error."""
    parser = parsed("inference", "inference_paper")
    inferer = parser.get_parsed_content("inferer")
    assert parser.get_parsed_content("timesteps") == list(range(990, -1, -10))
    assert len(inferer.sigmas) == 101 and inferer.sigmas[-1] == 0
    kept = 1 / (1 + inferer.sigmas[:-1].double() ** 2)
    assert float(kept[0]) == pytest.approx(4.8e-5, rel=0.02) and float(kept[-1]) == pytest.approx(1 - 1e-4)
    assert (inferer.mode, inferer.grid.stride) == ("masked", 2) and inferer.residual == ResidualRule()


def test_stripes_are_of_30_mm_and_the_box_holds_a_brain(parsed):
    for pixel_mm in (1.0, 1.8, 1.875, 3.0):
        parser = parsed("inference", pixel_mm=pixel_mm)
        assert parser.get_parsed_content("inferer").grid.width * pixel_mm == pytest.approx(30, abs=pixel_mm)
        box = parser.get_parsed_content("box")
        assert all(n % 16 == 0 for n in box) and all(n * pixel_mm >= mm for n, mm in zip(box, (172, 200)))
        assert parsed("train", pixel_mm=pixel_mm).get_parsed_content("box") == box


def test_training_and_inference_agree_on_what_the_weights_depend_on(parsed):
    training, inference = parsed("train"), parsed("inference")
    for name in ("pairs", "unet", "pixel_mm", "min_step_mm", "stripe_width", "network_def"):
        assert training[name] == inference[name], name


def test_baselines(parsed):
    def inferer(*names: str, **options: Any) -> Any:
        return parsed("inference", *names, **options).get_parsed_content("inferer")

    assert inferer("baseline_cyclic_unet").mode == "cyclic_unet" and inferer("inference").mode == "masked"
    assert inferer("baseline_intensity").bright and not inferer("baseline_intensity", sequence="t1").bright
    difference = inferer("baseline_flair_minus_t1")
    assert difference.bright and difference.t1_weight == 0.4
    direct = inferer("inference_direct")
    assert (direct.mode, direct.sequence, direct.companions) == ("direct", "flair", ["t1"])
    for overlay in ("baseline_flair_minus_t1", "inference_direct"):
        assert parsed("inference", overlay).get_parsed_content("companions") == {"t1": ""}


def test_unknown_sequence_is_refused_with_those_that_are_known(parsed):
    with pytest.raises(RuntimeError) as caught:  # MONAI's, about the component
        parsed("inference", sequence="t2").get_parsed_content("inferer")
    assert "the weights know no cycle for the sequence 't2', only for flair, t1" in str(caught.value.__cause__)


def test_network_takes_and_returns_what_the_metadata_says(parsed):
    """MONAI's own check cannot pass the timesteps."""
    data = parsed("metadata")["network_data_format"]
    image, timesteps, pred = data["inputs"]["image"], data["inputs"]["timesteps"], data["outputs"]["pred"]
    assert image["spatial_shape"] == pred["spatial_shape"] == ["16*(n+1)"] * 2
    network = parsed("inference").get_parsed_content("network_def").eval()
    with torch.inference_mode():
        shape = (1, image["num_channels"], 32, 48)
        found = network(torch.zeros(shape), torch.full((1, timesteps["num_channels"]), 999.0))
    assert found.shape == (1, pred["num_channels"], 32, 48) and found.dtype == torch.float32
    assert len(image["channel_def"]) == image["num_channels"] == 3 * len(network.pairs)


@pytest.fixture(scope="module")
def glowing(tmp_path_factory) -> SimpleNamespace:
    """A datalist of a brain whose lesion is eight times as bright as tissue, and of its twin without a label."""
    folder = tmp_path_factory.mktemp("glowing")
    phantom = make_phantom(3, "tumour", ("flair", "t1"), spacing=3.0)
    images = dict(phantom.images)
    tissue = np.median(images["flair"][phantom.brain_mask > 0])
    images["flair"] = np.where(phantom.label > 0, 8 * tissue, images["flair"]).astype(np.float32)
    phantom = Phantom(images, phantom.brain_mask, phantom.label, phantom.affine)
    labelled, free = (write_phantom(phantom, folder, name, label=name == "labelled") for name in ("labelled", "free"))
    (folder / "list.json").write_text(json.dumps({"training": [labelled, free]}))
    cases = gather_cases(datalist=folder / "list.json", section="training", sequence="flair", companions={"t1": ""})
    return SimpleNamespace(**{case["case_id"]: case for case in cases})


@pytest.mark.parametrize("section", ["train", "validate"])
def test_no_labelled_pixel_has_a_weight_in_the_loss(parsed, glowing, section):
    """The tissue that gives itself away by its brightness, after all transforms; the rest of the brain counts."""
    parser = parsed("train", slices_per_case=60)
    preprocessing = parser.get_parsed_content(f"{section}#preprocessing").set_random_state(1)
    batch = list_data_collate(preprocessing(glowing.labelled))
    flair, brain, weight = batch["image"][:, 0], batch["brain_mask"][:, 0], batch["lesion_free"][:, 0]
    bright = flair > 3  # twice the median of the brain
    assert bright.sum() > 100
    assert not weight[bright].any()
    assert (weight <= brain).all() and weight.sum() > 0.8 * brain.sum()

    free = list_data_collate(preprocessing(glowing.free))
    assert torch.equal(free["lesion_free"], free["brain_mask"])
