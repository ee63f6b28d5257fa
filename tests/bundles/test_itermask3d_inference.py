"""IterMask3D through ``python -m monai.bundle run --config_file .../inference.json``: outputs, names, invariances."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes

from shared.evaluation.segmentation import ranking_metrics
from shared.runs.weights import sha256
from shared.simulation.phantom_brain import make_phantom
from tests.helpers.bundle import as_stored, reoriented
from tests.helpers.real_data import DATA, needs_data
from tests.helpers.run_outputs import OUTPUTS, REPORTS, read, report_rows

SEED = 9005  # a subject that no network was trained on, of hardly any atrophy, with a tumour of 14 ml
MIN_AUROC, MIN_DICE = 0.8, 0.2  # guards against a broken run, not a claim: a simulated tumour says little of accuracy


@pytest.fixture(scope="module")
def tumour(tmp_path_factory):
    """A simulated brain with a tumour in three orientations; LAS is int16 with scl_slope."""
    folder = tmp_path_factory.mktemp("tumour")
    phantom = make_phantom(SEED, "tumour", ("t1",), spacing=2.0)
    image = nib.Nifti1Image(phantom.images["t1"], phantom.affine)
    files = {codes: folder / f"{codes.lower()}.nii.gz" for codes in ("RAS", "LAS", "PSR")}
    nib.save(image, files["RAS"])
    nib.save(as_stored(reoriented(image, "LAS"), "<i2", 0.01), files["LAS"])
    nib.save(reoriented(image, "PSR"), files["PSR"])
    label = reoriented(nib.Nifti1Image(phantom.label, phantom.affine), "LAS")
    return SimpleNamespace(folder=folder, files=files, label_las=np.asarray(label.dataobj) > 0)


@pytest.fixture(scope="module")
def single(itermask3d, tumour, tmp_path_factory):
    """One file, from the root of the collection, with relative paths to the bundle."""
    out = tmp_path_factory.mktemp("single")
    done = itermask3d.run("inference.json", {"image": tumour.files["LAS"], "output_dir": out})
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def listed(itermask3d, tumour, tmp_path_factory):
    """All three as a datalist, from another folder, with absolute paths; LAS in the middle."""
    out, elsewhere = tmp_path_factory.mktemp("listed"), tmp_path_factory.mktemp("elsewhere")
    keys = {"PSR": "image", "LAS": "t1", "RAS": "t1"}
    cases = [{"case_id": f"case {codes}", key: f"{codes.lower()}.nii.gz"} for codes, key in keys.items()]
    (tumour.folder / "list.json").write_text(json.dumps({"training": [], "test": cases}))
    done = itermask3d.run("inference.json", {"datalist": tumour.folder / "list.json", "output_dir": out}, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert not list(elsewhere.iterdir()), "files were left in the working folder"
    return out


def test_outputs_are_named_and_lie_on_the_grid_of_the_input(single, tumour):
    assert {f.name for f in single.iterdir()} == {".finished", *REPORTS, *(f"las_{name}.nii.gz" for name in OUTPUTS)}
    image, out = nib.load(tumour.files["LAS"]), read(single, "las")
    for name, dtype in zip(OUTPUTS, ("float32", "uint8", "float32")):
        volume = getattr(out, name)
        assert volume.shape == image.shape and volume.get_data_dtype() == dtype
        assert np.allclose(volume.affine, image.affine, atol=1e-5)
        assert nib.aff2axcodes(volume.affine) == ("L", "A", "S")


def test_mask_is_map_above_one_and_nothing_is_outside_the_brain(single, tumour):
    out, brain = read(single, "las"), binary_fill_holes(nib.load(tumour.files["LAS"]).get_fdata() != 0)
    anomaly_map = out.anomaly_map.get_fdata()
    assert np.array_equal(np.asarray(out.anomaly_mask.dataobj), anomaly_map > 1)
    assert anomaly_map.min() == 0 and anomaly_map[brain].max() > 1
    assert not anomaly_map[~brain].any() and not out.pseudo_healthy.get_fdata()[~brain].any()


def test_pseudo_healthy_brain_has_the_intensities_of_the_input(single, tumour):
    """Its bulk lies in the range of the input, around the same median, and it shows the same anatomy."""
    image, healthy = nib.load(tumour.files["LAS"]).get_fdata(), read(single, "las").pseudo_healthy.get_fdata()
    brain = image != 0
    low, high = np.percentile(healthy[brain], [1, 99])
    assert image[brain].min() <= low and high <= image[brain].max()
    assert np.median(healthy[brain]) == pytest.approx(np.median(image[brain]), rel=0.05)
    assert np.corrcoef(image[brain & ~tumour.label_las], healthy[brain & ~tumour.label_las])[0, 1] > 0.8


def test_tumour_is_found(single, tumour):
    image, out = nib.load(tumour.files["LAS"]).get_fdata(), read(single, "las")
    ranking = ranking_metrics(out.anomaly_map.get_fdata(), tumour.label_las, image != 0)
    assert ranking["auroc"] > MIN_AUROC
    mask, label = out.anomaly_mask.get_fdata() > 0, tumour.label_las
    assert 2 * (mask & label).sum() / (mask.sum() + label.sum()) > MIN_DICE


def test_report_says_what_was_done(single, itermask3d):
    row = report_rows(single)["las"]
    out = read(single, "las")
    assert row["status"] == "done" and "belongs to" not in row["warnings"]
    assert float(row["anomaly_ml"]) == pytest.approx(out.anomaly_mask.get_fdata().sum() * 8 / 1000, rel=1e-4)
    weights = itermask3d.folder / "models" / "model.pt"
    report = json.loads((single / "report.json").read_text(encoding="utf-8"))
    assert report["run"]["weights_sha256"] == sha256(weights) and report["run"]["seed"] == 0
    assert "--image" in report["run"]["command"] and report["failures"] == []
    assert report["cases"][0]["network_evaluations"] == pytest.approx(int(row["network_evaluations"]))
    page = (single / "report.html").read_text(encoding="utf-8")
    assert "las" in page and "data:image/png;base64," in page


def test_alone_or_in_a_list_from_here_or_elsewhere_the_maps_are_equal_bit_for_bit(single, listed):
    assert list(report_rows(listed)) == ["case PSR", "case LAS", "case RAS"]
    for name in OUTPUTS:
        alone, among = getattr(read(single, "las"), name), getattr(read(listed, "case LAS"), name)
        assert np.array_equal(np.asarray(alone.dataobj), np.asarray(among.dataobj)), name


@pytest.mark.parametrize("codes", ["LAS", "PSR"])
def test_orientation_does_not_matter(listed, tumour, codes):
    """Against RAS: PSR holds the same numbers, LAS is rounded to 0.01 of about 50."""
    brain = nib.load(tumour.files["RAS"]).get_fdata() != 0
    reference = read(listed, "case RAS").anomaly_map.get_fdata()[brain]
    other = reoriented(read(listed, f"case {codes}").anomaly_map, "RAS").get_fdata()[brain]
    assert np.corrcoef(reference, other)[0, 1] > 0.99
    assert ((reference > 1) != (other > 1)).mean() < 0.002


@pytest.mark.slow
def test_folder_unknown_sequence_own_threshold_and_foreign_calibration(itermask3d, tumour, single, tmp_path):
    """Cases of a folder are named after their relative path; what is unusual stands in the report."""
    source, out = tmp_path / "in" / "sub 1" / "ses2", tmp_path / "out"
    source.mkdir(parents=True)
    (source / "scan.nii.gz").write_bytes(tumour.files["LAS"].read_bytes())
    (source / "scan_anomaly_map.nii.gz").write_bytes(tumour.files["LAS"].read_bytes())  # an output is no input
    stored = itermask3d.folder / "models" / "calibration.json"
    calibration = json.loads(stored.read_text())
    (tmp_path / "other.json").write_text(json.dumps({**calibration, "weights_sha256": "0" * 64}))
    options = {
        "dataset_dir": tmp_path / "in",
        "sequence": "flair",
        "threshold": 5,
        "threshold_rule": "stored",
        "output_dir": out,
    }
    options |= {"lesions": "dark", "fluid_below": -0.5}  # as on T1, so that the map is that of the T1
    done = itermask3d.run("inference.json", {**options, "calibration_file": tmp_path / "other.json"})
    assert done.returncode == 0, done.stderr

    (case_id, row), *others = report_rows(out).items()
    assert case_id == "sub 1_ses2_scan" and not others
    assert "do not know the sequence 'flair', only t1" in row["warnings"]
    assert "belongs to other weights" in row["warnings"]
    assert float(row["threshold"]) == 5 and row["threshold_source"] == "given by --threshold"
    found, before = read(out, case_id), read(single, "las").anomaly_map.get_fdata()
    threshold = float(report_rows(single)["las"]["threshold"])
    assert np.allclose(found.anomaly_map.get_fdata(), before * threshold / 5, rtol=1e-4, atol=1e-6)
    assert np.array_equal(found.anomaly_mask.get_fdata() > 0, found.anomaly_map.get_fdata() > 1)


@pytest.mark.slow
@pytest.mark.real_data
@needs_data
def test_real_scan_keeps_its_grid(itermask3d, tmp_path):
    image = DATA / "ms_mni" / "patient26" / "t1.nii.gz"
    done = itermask3d.run("inference.json", {"image": image, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    out = read(tmp_path, "t1")
    for name in OUTPUTS:
        volume = getattr(out, name)
        assert volume.shape == (182, 218, 182) and nib.aff2axcodes(volume.affine) == ("L", "A", "S")
        assert np.allclose(volume.affine, nib.load(image).affine, atol=1e-5)
    assert 0 < out.anomaly_mask.get_fdata().mean() < 0.05


def test_workflows_have_all_properties_that_monai_asks_for(itermask3d, tumour, tmp_path):
    image, datalist = str(tumour.files["LAS"]), tmp_path / "list.json"
    sections = {name: [{"case_id": name, "t1": image}] for name in ("training", "validation")}
    datalist.write_text(json.dumps(sections))
    inference = {"image": image, "output_dir": tmp_path}
    training = {"datalist": datalist, "output_dir": tmp_path, "ckpt_dir": tmp_path}
    assert itermask3d.missing_properties(inference, training) == {"infer": [], "train": []}


def test_overlay_of_tensorrt_changes_nothing_where_there_is_none(itermask3d, capsys):
    plain = itermask3d.parsed("inference").get_parsed_content("network")
    compiled = itermask3d.parsed("inference", "inference_trt").get_parsed_content("network")
    assert "trt_compile() has no effect" in capsys.readouterr().out
    for key, value in plain.state_dict().items():
        assert torch.equal(compiled.state_dict()[key], value), key


def test_network_takes_and_returns_what_the_metadata_says(itermask3d):
    """With MONAI's own check, as the model zoo runs it."""
    command = ["-m", "monai.bundle", "verify_net_in_out", "network_def", "--meta_file", "configs/metadata.json"]
    done = subprocess.run(
        [sys.executable, *command, "--config_file", "configs/inference.json"],
        cwd=itermask3d.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "verified with no error" in done.stdout + done.stderr
