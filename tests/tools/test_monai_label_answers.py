"""monai_label_answers: the door before an inference, and what is told; test_serve_monai_label asks the real server."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.runs.errors import NoUsableCaseError, WeightsError
from shared.simulation.phantom_brain import make_phantom
from tools.monai_label_answers import FAULT, UNUSABLE, prepared, told
from tools.serve_monai_label import ROOT

BUNDLES = [ROOT / "bundles" / f"brain_mri_anomaly_{name}" for name in ("itermask3d", "mmccd", "tsgm")]
ITERMASK3D, MMCCD, TSGM = BUNDLES


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    phantom = make_phantom(9005, None, ("flair",), spacing=4.0)
    nib.save(nib.Nifti1Image(phantom.images["flair"], phantom.affine), tmp_path / "flair.nii.gz")
    return tmp_path / "flair.nii.gz"


def test_a_good_image_goes_on_and_options_have_the_type_that_is_wanted(scan):
    request = {"model": MMCCD.name, "steps": 3, "device": "cpu", "other": [1]}
    with prepared(request, str(scan), MMCCD) as ready:
        assert ready == request


def test_what_the_door_refuses_is_told_as_the_command_line_does_without_the_folder(scan):
    image = nib.load(scan)
    nib.save(nib.Nifti1Image(np.where(image.get_fdata() > 0, np.nan, 0), image.affine), scan)
    with pytest.raises(NoUsableCaseError) as refused, prepared({}, str(scan), MMCCD):
        pass
    status, text = told(refused.value, {}, str(scan.parent))
    assert status == UNUSABLE and text.startswith("flair.nii.gz (key 'flair'): has ") and "numpy.nan_to_num" in text


@pytest.mark.parametrize("value", ["many", True, [3]])
def test_an_option_of_another_type_is_named(scan, value):
    with pytest.raises(ValueError, match="option steps: .* is no number"), prepared({"steps": value}, str(scan), MMCCD):
        pass


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Sequence", "sequence"), ("sequnce", "sequence"), ("step", "steps"), ("threshold-rule", "threshold_rule")],
)
def test_an_option_that_is_mistyped_is_not_passed_over(scan, name, meant):
    said = f"option {name} is unknown: did you mean {meant}?"
    with pytest.raises(ValueError, match=re.escape(said)), prepared({name: "t1"}, str(scan), MMCCD):
        pass


SENT = ["model", "image", "device", "gpus", "label", "label_info", "label_tag", "labels", "location", "logging", "roi"]
SENT += [
    "client_id",
    "session",
    "user",
    "multi_gpu",
    "background",
    "foreground",
    "cache_image",
    "cache_transforms",
    "size",
]
SENT += ["result_compress", "result_write_to_file", "restore_label_idx", "max_workers", "slice", "timeout", "version"]
SENT += [
    "sw_batch_size",
    "sw_overlap",
    "roi_size",
    "spatial_size",
    "skip_writer",
    "description",
    "output",
    "num_samples",
]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_what_monai_label_and_its_clients_send_is_no_mistyped_option(scan, bundle):
    """Of MONAI Label 0.8.5 and its extension of Slicer."""
    with prepared({**dict.fromkeys(SENT, 1), "device": "cpu"}, str(scan), bundle):
        pass


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"result_extension": ".jpg"},
            "result_extension is '.jpg'. Write one of .nii.gz, .nii, .nrrd, .seg.nrrd, .mha,",
        ),
        ({"result_extension": "png"}, "result_extension is 'png'. Write one of .nii.gz"),
        ({"result_extension": 5}, "result_extension is 5."),
        ({"result_dtype": "foo"}, "result_dtype is 'foo'. Write one of uint8, uint16, int16"),
        ({"result_dtype": [1]}, "result_dtype is [1]."),
    ],
)
def test_a_format_in_which_no_label_can_be_written_is_named(scan, wrong, said):
    with pytest.raises(ValueError) as refused, prepared(wrong, str(scan), MMCCD):
        pass
    assert told(refused.value, {}, "")[0] == UNUSABLE and said in told(refused.value, {}, "")[1]


@pytest.mark.parametrize("ending", ["", None, ".nrrd", ".seg.nrrd", ".nii"])
def test_formats_that_viewers_ask_for_pass(scan, ending):
    request = {"result_extension": ending, "result_dtype": "uint8", "result_compress": False}
    with prepared(request, str(scan), MMCCD) as ready:
        assert ready == request


def test_a_bundle_without_weights_says_what_to_do(scan, tmp_path):
    with pytest.raises(WeightsError, match="weights missing. Train with") as refused, prepared({}, str(scan), tmp_path):
        pass
    assert told(refused.value, {}, "")[0] == UNUSABLE


def test_a_fault_of_the_program_is_told_as_one_and_logged_whole(caplog):
    with pytest.raises(KeyError) as fault:
        {}["key"]
    status, text = told(fault.value, {"model": "x"}, "/studies")
    assert (
        status == FAULT and text == "KeyError: 'key'. This is a fault of the program; the log of the server has more."
    )
    assert "no answer to {'model': 'x'}" in caplog.text


@pytest.mark.parametrize("bundle", [ITERMASK3D, MMCCD, TSGM])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"threshold": None}, "option threshold: null is no value")]
    + [({"threshold": -1}, "the threshold must be above 0, got -1")]
    + [({"sequence": value}, "write one of t1, t1ce, t2, flair") for value in (7, "", ["t1"])]
    + [({"device": "cuda:77"}, "device 'cuda:77' cannot be used")],
)
def test_values_that_a_bundle_refuses_are_told_before_the_inference(scan, bundle, wrong, said):
    with pytest.raises(Exception) as refused, prepared(wrong, str(scan), bundle):
        pass
    status, text = told(refused.value, wrong, str(scan.parent))
    assert status == UNUSABLE and said in text


@pytest.mark.parametrize(
    ("bundle", "wrong", "said"),
    [
        (ITERMASK3D, {"min_component_mm3": -5}, "at least 0, got -5"),
        (MMCCD, {"steps": 0}, "steps is 0"),
        (MMCCD, {"threshold_rule": "best"}, "one of stored, otsu, peak"),
        (TSGM, {"samples": 0}, "samples is 0"),
        (TSGM, {"steps": 2.5}, "no whole number"),
    ],
)
def test_so_are_those_of_one_bundle(scan, bundle, wrong, said):
    with pytest.raises(Exception) as refused, prepared(wrong, str(scan), bundle):
        pass
    status, text = told(refused.value, wrong, str(scan.parent))
    assert status == UNUSABLE and said in text
