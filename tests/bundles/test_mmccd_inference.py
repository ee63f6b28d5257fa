"""MMCCD through ``python -m monai.bundle run --config_file .../inference.json``: volumes, slices, images, steps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from shared.evaluation.segmentation import ranking_metrics
from shared.runs.weights import sha256
from shared.simulation.phantom_brain import make_phantom
from tests.helpers.bad_volumes import SAID, write_bad_volumes
from tests.helpers.bundle import as_stored, reoriented
from tests.helpers.real_data import DATA, needs_data
from tests.helpers.run_outputs import OUTPUTS, REPORTS, assert_mask_is_that_of_the_map, read, report_rows

SEED = 9005  # a subject that no network was trained on, of hardly any atrophy, with a tumour of 14 ml
SPACING = 3.9
MIN_AUROC, MIN_DICE = 0.8, 0.3  # guards against a broken run, not a claim: a simulated tumour says little of accuracy
MID = slice(15, 25)  # slices of the short stack


@pytest.fixture(scope="module")
def settings(mmccd) -> dict[str, Any]:
    """What inference.json says; ``other_steps`` are not its own."""
    config = mmccd.config("inference.json")
    steps = mmccd.parsed("inference").get_parsed_content("steps")
    return {**config, "steps": steps, "other_steps": 1 if steps > 1 else 2}


@pytest.fixture(scope="module")
def tumour(tmp_path_factory) -> SimpleNamespace:
    """A simulated brain with a tumour: volumes, one of them int16 in PIL with scl_slope, slices, and what is wrong."""
    folder = tmp_path_factory.mktemp("tumour")
    phantom = make_phantom(SEED, "tumour", ("flair", "t1"), spacing=SPACING)
    flair, affine = phantom.images["flair"], phantom.affine
    level = int(phantom.label.sum(axis=(0, 1)).argmax())

    def save(name: str, data: np.ndarray, matrix: np.ndarray = affine) -> None:
        nib.save(nib.Nifti1Image(data, matrix), folder / f"{name}.nii.gz")

    save("flair", flair)
    save("t1", phantom.images["t1"])
    nib.save(as_stored(reoriented(nib.Nifti1Image(flair, affine), "PIL"), "<i2", 0.02), folder / "pil.nii.gz")
    lifted, beside = affine.copy(), affine.copy()
    lifted[2, 3] += level * SPACING
    beside[0, 3] += 9
    save("slice", flair[:, :, [level]], lifted)
    save("image_2d", flair[:, :, level], lifted)
    save("stack", flair[:, :, MID], affine @ np.diag([1, 1, 5 / SPACING, 1]))
    save("mask_beside", phantom.brain_mask, beside)
    write_bad_volumes(np.pad(flair, 5), affine, lambda case_id: folder / f"{case_id}.nii.gz")
    label = reoriented(nib.Nifti1Image(phantom.label, affine), "PIL")
    return SimpleNamespace(folder=folder, label_pil=np.asarray(label.dataobj) > 0)


@pytest.fixture(scope="module")
def single(mmccd, tumour, tmp_path_factory) -> Path:
    """The int16 volume in PIL, with everything as it stands in the config, from another folder."""
    out, elsewhere = tmp_path_factory.mktemp("single"), tmp_path_factory.mktemp("elsewhere")
    done = mmccd.run("inference.json", {"image": tumour.folder / "pil.nii.gz", "output_dir": out}, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert not list(elsewhere.iterdir()), "files were left in the working folder"
    return out


GOOD = {"pil": "", "volume": "", "slice": "", "image_2d": "2D image", "stack": "few slices"}
BAD = {  # key, and what is said
    "no_flair": ("flair", r"no_flair.*has no 'flair' \(it has t1\)\. Add it to the datalist"),
    **{case_id: ("flair", said) for case_id, said in SAID.items()},
    "mask_beside": ("brain_mask", r"mask_beside\.nii\.gz: .*differs from that of .*flair\.nii\.gz by up to 9 mm\. \w+"),
}


@pytest.fixture(scope="module")
def mixed(mmccd, tumour, settings, tmp_path_factory) -> SimpleNamespace:
    """A datalist of all of them, with another number of steps."""
    out = tmp_path_factory.mktemp("mixed")
    files = {"pil": "pil", "volume": "flair", "slice": "slice", "image_2d": "image_2d", "stack": "stack"}
    cases = [{"case_id": case_id, "flair": f"{name}.nii.gz"} for case_id, name in files.items()]
    cases[1:1] = [{"case_id": "no_flair", "t1": "t1.nii.gz"}]
    cases[2:2] = [{"case_id": case_id, "flair": f"{case_id}.nii.gz"} for case_id in SAID]
    cases[3:3] = [{"case_id": "mask_beside", "flair": "flair.nii.gz", "brain_mask": "mask_beside.nii.gz"}]
    (tumour.folder / "list.json").write_text(json.dumps({"test": cases}))
    options = {"datalist": tumour.folder / "list.json", "steps": settings["other_steps"], "output_dir": out}
    options["extract_brain"] = "never"
    done = mmccd.run("inference.json", options)
    assert (out / "report.csv").is_file(), done.stderr
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return SimpleNamespace(done=done, out=out, rows=report_rows(out), report=report, files=files)


def test_outputs_are_named_and_lie_on_the_grid_of_the_input(single, tumour):
    assert {f.name for f in single.iterdir()} == {".finished", *REPORTS, *(f"pil_{name}.nii.gz" for name in OUTPUTS)}
    image, out = nib.load(tumour.folder / "pil.nii.gz"), read(single, "pil")
    brain = image.get_fdata() != 0
    for name, dtype in zip(OUTPUTS, ("float32", "uint8", "float32")):
        volume = getattr(out, name)
        assert volume.shape == image.shape and volume.get_data_dtype() == dtype
        assert np.allclose(volume.affine, image.affine, atol=1e-5)
        assert nib.aff2axcodes(volume.affine) == ("P", "I", "L")
        assert np.isfinite(volume.get_fdata()).all() and not volume.get_fdata()[~brain].any()


def test_tumour_is_found_and_the_brain_returns(single, tumour, settings):
    assert_mask_is_that_of_the_map(single, "pil", settings["min_component_share"])
    image, out, label = nib.load(tumour.folder / "pil.nii.gz").get_fdata(), read(single, "pil"), tumour.label_pil
    brain = image != 0
    assert ranking_metrics(out.anomaly_map.get_fdata(), label, brain)["auroc"] > MIN_AUROC
    mask = out.anomaly_mask.get_fdata() > 0
    assert 2 * (mask & label).sum() / (mask.sum() + label.sum()) > MIN_DICE
    healthy, tissue = out.pseudo_healthy.get_fdata(), brain & ~label
    assert np.median(healthy[tissue]) == pytest.approx(np.median(image[tissue]), rel=0.1)
    assert np.corrcoef(image[tissue], healthy[tissue])[0, 1] > 0.2


def test_report_says_what_was_done(single, mmccd, settings):
    row, out = report_rows(single)["pil"], read(single, "pil")
    report = json.loads((single / "report.json").read_text(encoding="utf-8"))
    assert row["status"] == "done" and "belongs to" not in row["warnings"]
    stored = json.loads((mmccd.folder / "models" / "calibration_flair.json").read_text(encoding="utf-8"))
    assert float(row["threshold"]) >= stored["threshold"] * (1 - 1e-6) and stored["rule"] in row["threshold_source"]
    volume_ml = out.anomaly_mask.get_fdata().sum() * SPACING**3 / 1000
    assert float(row["anomaly_ml"]) == pytest.approx(volume_ml, rel=1e-4)
    assert 30 < int(row["slices"]) <= nib.load(single / "pil_anomaly_map.nii.gz").shape[1]
    assert int(row["stripes"]) > 4 * int(row["slices"])
    assert int(row["network_evaluations"]) == int(row["stripes"]) * (settings["steps"] + 1)
    run = report["run"]
    assert (run["sequence"], run["mode"], run["seed"]) == ("flair", "masked", 0) and "--image" in run["command"]
    assert len(run["timesteps"]) == settings["steps"]
    assert run["weights_sha256"] == sha256(mmccd.folder / "models" / "model.pt")
    page = (single / "report.html").read_text(encoding="utf-8")
    assert "pil" in page and "data:image/png;base64," in page


@pytest.mark.parametrize("case_id", GOOD)
def test_volumes_slices_and_2d_images_are_finished(mixed, tumour, settings, case_id):
    row = mixed.rows[case_id]
    assert row["status"] == "done" and GOOD[case_id] in row["warnings"], row
    image = nib.load(tumour.folder / f"{mixed.files[case_id]}.nii.gz")
    for volume in vars(read(mixed.out, case_id)).values():
        assert volume.shape == image.shape
        assert np.allclose(volume.affine, image.affine, atol=1e-4)
        assert np.isfinite(volume.get_fdata()).all()
    assert_mask_is_that_of_the_map(mixed.out, case_id, settings["min_component_share"])
    slices = {"slice": 1, "image_2d": 1, "stack": MID.stop - MID.start}
    assert int(row["slices"]) == slices.get(case_id, int(mixed.rows["volume"]["slices"]))


@pytest.mark.parametrize("case_id", BAD)
def test_bad_case_is_named_with_file_key_and_remedy(mixed, case_id):
    assert mixed.done.returncode == 2
    assert f"{len(GOOD)} of {len(GOOD) + len(BAD)} cases done, left out" in mixed.done.stdout
    assert mixed.rows[case_id]["status"] == "failed" and len(mixed.report["failures"]) == len(BAD)
    (failure,) = (f for f in mixed.report["failures"] if f["case_id"] == case_id)
    key, message = BAD[case_id]
    assert failure["key"] == key
    assert re.search(message, f"{failure['file']}: {failure['error']}. {failure['remedy']}") and failure["remedy"]
    assert not list(mixed.out.glob(f"{case_id}_*"))


def test_orientation_and_storage_do_not_matter(mixed, tumour):
    brain = nib.load(tumour.folder / "flair.nii.gz").get_fdata() != 0
    reference = read(mixed.out, "volume").anomaly_map.get_fdata()[brain]
    turned = reoriented(read(mixed.out, "pil").anomaly_map, "RAS").get_fdata()[brain]
    assert np.corrcoef(reference, turned)[0, 1] > 0.98


def test_a_slice_as_volume_or_image_gives_the_same_map(mixed):
    one, other = (read(mixed.out, name).anomaly_map.get_fdata() for name in ("slice", "image_2d"))
    assert np.allclose(one.squeeze(), other, rtol=1e-4, atol=1e-5)


def test_steps_change_the_map_and_cost_what_they_must(single, mixed, settings):
    ours, others = (int(rows["pil"]["network_evaluations"]) for rows in (report_rows(single), mixed.rows))
    assert ours * (settings["other_steps"] + 1) == others * (settings["steps"] + 1)
    assert len(mixed.report["run"]["timesteps"]) == settings["other_steps"]
    one, other = (read(folder, "pil").anomaly_map.get_fdata() for folder in (single, mixed.out))
    assert np.abs(one - other).max() > 0.01


@pytest.mark.slow
@pytest.mark.real_data
@needs_data
def test_real_scan_keeps_its_grid(mmccd, tmp_path):
    image = DATA / "ms_mni" / "patient26" / "flair.nii.gz"
    done = mmccd.run("inference.json", {"image": image, "steps": 1, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    for volume in vars(read(tmp_path, "flair")).values():
        assert volume.shape == (182, 218, 182) and nib.aff2axcodes(volume.affine) == ("L", "A", "S")
        assert np.allclose(volume.affine, nib.load(image).affine, atol=1e-5)
    assert 0 < read(tmp_path, "flair").anomaly_mask.get_fdata().mean() < 0.05
