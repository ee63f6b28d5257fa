"""TSGM through ``python -m monai.bundle run --config_file .../inference.json``: files, folders, lists, 4D, faults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from shared.evaluation.segmentation import ranking_metrics
from shared.runs.weights import sha256
from shared.simulation.phantom_brain import make_phantom
from tests.helpers.bad_volumes import SAID, write_bad_volumes
from tests.helpers.bundle import reoriented
from tests.helpers.run_outputs import OUTPUTS, REPORTS, assert_mask_is_that_of_the_map, read, report_rows

SEQUENCES = ("t1", "t1ce", "flair")
DECATHLON = ("flair", "t1", "t1ce", "t2")
SEED = 9005  # a subject that no network was trained on, of hardly any atrophy, with a tumour of 14 ml
SPACING = 4.0
SHAPE = (46, 55, 46)
BRIGHTNESS = {"t1": 1.0, "t1ce": 20.0, "flair": 1.0, "t2": 1.0}  # medians of about 37, 780 and 250 in the brain
MIN_AUROC = 0.8  # a guard against a broken run, not a claim: a simulated tumour says little of accuracy
WEIGHTS = {"t1": 0.3, "t1ce": 0.3, "flair": 0.4}  # each sequence alone gives a map
COARSE = {"steps": 2, "samples": 2, "min_step_mm": 12, **{f"fusion_weights#{k}": v for k, v in WEIGHTS.items()}}
FILES = (*OUTPUTS, "uncertainty")
COUNTS = ("sequences", "slices", "samples", "network_evaluations")

GOOD = {  # sequences given, shape of the map
    "case": (SEQUENCES, SHAPE),
    "turned": (SEQUENCES, (55, 46, 46)),
    "volumes": (SEQUENCES, SHAPE),
    "two": (("t1", "flair"), SHAPE),
    "thin": (("t1", "flair"), SHAPE),
    "one": (("t1ce",), SHAPE),
    "slice": (SEQUENCES, (*SHAPE[:2], 1)),
    "flat": (("t1", "t1ce"), SHAPE[:2]),
}
BAD = {  # key, and what is said
    **{case_id: ("t1", said) for case_id, said in SAID.items()},
    "unknown": ("t1 or t1ce or flair", r"has none of t1, t1ce, flair \(it has t2\)\. Add it to the datalist"),
    "beside": ("t1ce", r"beside_t1ce\.nii\.gz.*shows \d+ % of the brain of .*case_flair\.nii\.gz.*at least 80 %"),
    "shorter": ("t1", r"slice_t1\.nii\.gz.*shows \d % of the brain of .*case_flair.*leave it out"),
    "uniform": ("t1", r"uniform_t1\.nii\.gz.*is constant in the brain \(5\)\. Pass the scan itself"),
    "empty": ("flair", r"empty_flair\.nii\.gz.*is 0 everywhere\. Pass the original scan"),
    "absent": ("t1ce", r"nowhere\.nii\.gz.*file not found\. Check the path"),
    "three": ("image", r"three\.nii\.gz.*has shape \(46, 55, 46, 3\), not .*flair, t1, t1ce, t2.*--channels \"\['"),
    "no_t1ce": ("t1ce", r"no_t1ce\.nii\.gz.*is 0 in the brain\. Pass the original scan"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A brain with a tumour in all forms, and what is wrong, in a datalist; two healthy ones in ``subjects``."""
    folder = tmp_path_factory.mktemp("brains")
    phantom = make_phantom(SEED, "tumour", DECATHLON, spacing=SPACING)
    images, affine = {name: BRIGHTNESS[name] * image for name, image in phantom.images.items()}, phantom.affine
    level = int(phantom.label.sum(axis=(0, 1)).argmax())
    lifted, beside = affine.copy(), affine.copy()
    lifted[2, 3] += level * SPACING
    beside[0, 3] += 60
    halved = affine @ np.diag([1, 1, 0.5, 1])
    halved[2, 3] -= SPACING / 4
    (folder / "subjects").mkdir()
    cases: dict[str, dict[str, str]] = {}

    def listed(case_id: str, **files: str) -> None:
        cases.setdefault(case_id, {"case_id": case_id}).update({k: f"{v}.nii.gz" for k, v in files.items()})

    def save(name: str, data: np.ndarray, matrix: np.ndarray = affine) -> nib.Nifti1Image:
        nib.save(nib.Nifti1Image(data, matrix), folder / f"{name}.nii.gz")
        return nib.load(folder / f"{name}.nii.gz")

    for name in reversed(SEQUENCES):
        nib.save(reoriented(save(f"case_{name}", images[name]), "PIL"), folder / f"turned_{name}.nii.gz")
        save(f"slice_{name}", images[name][:, :, [level]], lifted)
        save(f"flat_{name}", images[name][:, :, level], lifted)
        for case_id in ("case", "turned", "slice", "flat"):
            if name in GOOD[case_id][0]:
                listed(case_id, **{name: f"{case_id}_{name}"})
    listed("unknown", t2="t2")
    save("t2", images["t2"])
    save("label", phantom.label)
    listed("volumes", image="volumes")
    save("volumes", np.stack([images[name] for name in DECATHLON], axis=-1))
    listed("beside", flair="case_flair", t1ce="beside_t1ce")
    save("beside_t1ce", images["t1ce"], beside)
    listed("thin", flair="case_flair", t1="thin_t1")
    save("thin_t1", np.repeat(images["t1"], 2, axis=2), halved)
    listed("two", t2="t2", flair="case_flair", t1="case_t1")
    listed("one", t1ce="case_t1ce")
    listed("shorter", flair="case_flair", t1="slice_t1")
    listed("uniform", flair="case_flair", t1="uniform_t1")
    save("uniform_t1", np.full(SHAPE, 5, np.float32))
    listed("empty", flair="empty_flair", t1="case_t1")
    save("empty_flair", np.zeros(SHAPE, np.float32))
    listed("absent", flair="case_flair", t1ce="nowhere")
    listed("three", image="three")
    save("three", np.stack([images[name] for name in SEQUENCES], axis=-1))
    listed("no_t1ce", image="no_t1ce")
    save("no_t1ce", np.stack([images[name] * (name != "t1ce") for name in DECATHLON], axis=-1))
    write_bad_volumes(np.pad(images["t1"], 5), affine, lambda case_id: folder / f"{case_id}.nii.gz")
    for case_id in SAID:
        listed(case_id, t1=case_id)
    (folder / "list.json").write_text(json.dumps({"test": list(cases.values())}))

    for subject, given in (("anna", SEQUENCES), ("bert", ("t1", "flair"))):
        healthy = make_phantom(SEED + 3 - len(given), None, given, spacing=SPACING)
        for name, image in healthy.images.items():
            save(f"subjects/{subject}_{name}", image)
    return folder


@pytest.fixture(scope="module")
def options(tsgm, folder, tmp_path_factory) -> dict[str, Any]:
    """A quick and coarse setting, with a threshold fitted to it on the healthy brains of the folder."""
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    given = {**COARSE, "dataset_dir": folder / "subjects", "calibration_file": path}
    done = tsgm.run("inference.json calibrate.json", {**given, "output_dir": path.parent})
    assert done.returncode == 0, done.stderr
    assert list(path.parent.iterdir()) == [path], "no maps, no report"
    return {**COARSE, "calibration_file": path}


@pytest.fixture(scope="module")
def single(tsgm, folder, options, tmp_path_factory) -> Path:
    """Output of three files of one brain, with absolute paths from another folder."""
    out, elsewhere = tmp_path_factory.mktemp("single"), tmp_path_factory.mktemp("elsewhere")
    given = {name: folder / f"case_{name}.nii.gz" for name in SEQUENCES}
    done = tsgm.run("inference.json", {**options, **given, "output_dir": out}, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert not list(elsewhere.iterdir()), "files were left in the working folder"
    return out


@pytest.fixture(scope="module")
def mixed(tsgm, folder, options, tmp_path_factory) -> SimpleNamespace:
    """All good and bad cases of the datalist, whose 4D files are in the order of the Decathlon."""
    out = tmp_path_factory.mktemp("mixed")
    listed = {"datalist": folder / "list.json", "channels": str(list(DECATHLON)), "output_dir": out}
    listed["extract_brain"] = "never"
    done = tsgm.run("inference.json", {**options, **listed})
    assert (out / "report.csv").is_file(), done.stderr
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return SimpleNamespace(done=done, out=out, rows=report_rows(out), failures=report["failures"])


def volumes(folder: Path, case_id: str) -> dict[str, nib.Nifti1Image]:
    return {name: nib.load(folder / f"{case_id}_{name}.nii.gz") for name in FILES}


def test_three_files_give_four_volumes_on_their_grid(single, folder):
    assert {f.name for f in single.iterdir()} == {".finished", *REPORTS, *(f"case_{name}.nii.gz" for name in FILES)}
    inputs = [nib.load(folder / f"case_{name}.nii.gz") for name in SEQUENCES]
    brain = binary_fill_holes(inputs[-1].get_fdata() != 0)
    for name, volume in volumes(single, "case").items():
        assert volume.shape == ((*SHAPE, 3) if name == "pseudo_healthy" else SHAPE)
        assert volume.get_data_dtype() == ("uint8" if name == "anomaly_mask" else "float32")
        assert np.allclose(volume.affine, inputs[0].affine, atol=1e-5)
        data = volume.get_fdata()
        assert np.isfinite(data).all() and not data[~brain].any() and data[brain].any()


def test_report_says_what_was_done(single, tsgm, options):
    row, stored = report_rows(single)["case"], json.loads(options["calibration_file"].read_text(encoding="utf-8"))
    assert stored["cases"] == ["anna", "bert"] and stored["settings"]["fusion_weights"] == WEIGHTS
    assert row["status"] == "done" and "belongs to" not in row["warnings"]
    assert (row["sequences"], row["samples"]) == ("t1 t1ce flair", "2")
    assert 9 <= int(row["slices"]) <= 14  # of 12 mm
    assert int(row["network_evaluations"]) == int(row["slices"]) * 2 * 2  # samples and steps
    assert float(row["threshold"]) >= stored["threshold"] * (1 - 1e-6) and stored["rule"] in row["threshold_source"]
    mask = read(single, "case").anomaly_mask.get_fdata()
    assert float(row["anomaly_ml"]) == pytest.approx(mask.sum() * SPACING**3 / 1000, rel=1e-4) and mask.any()
    run = json.loads((single / "report.json").read_text(encoding="utf-8"))["run"]
    assert (run["sampler"], run["steps"], run["samples"], run["seed"]) == ("dpmpp_2m", 2, 2, 0)
    assert run["fusion weights"] == WEIGHTS and "--t1ce" in run["command"]
    assert run["weights_sha256"] == sha256(tsgm.folder / "models" / "model.pt")
    page = (single / "report.html").read_text(encoding="utf-8")
    assert "case" in page and "data:image/png;base64," in page


def test_pseudo_healthy_brains_come_in_the_fixed_order_in_the_intensities_of_their_files(single, folder):
    images = [nib.load(folder / f"case_{name}.nii.gz").get_fdata() for name in SEQUENCES]
    brain, healthy = images[0] != 0, np.moveaxis(read(single, "case").pseudo_healthy.get_fdata(), -1, 0)
    for image, drawn in zip(images, healthy):
        assert np.median(drawn[brain]) == pytest.approx(np.median(image[brain]), rel=0.4)
        assert np.corrcoef(image[brain], drawn[brain])[0, 1] > 0.3


def test_tumour_is_found(single, folder):
    label = nib.load(folder / "label.nii.gz").get_fdata() > 0
    brain = nib.load(folder / "case_t1.nii.gz").get_fdata() != 0
    assert ranking_metrics(read(single, "case").anomaly_map.get_fdata(), label, brain)["auroc"] > MIN_AUROC


@pytest.mark.parametrize("case_id", GOOD)
def test_any_sequences_in_any_form_are_finished_on_their_grid(mixed, folder, tsgm, case_id):
    given, shape = GOOD[case_id]
    row = mixed.rows[case_id]
    assert row["status"] == "done" and row["sequences"] == " ".join(given)
    assert int(row["network_evaluations"]) == 2 * 2 * int(row["slices"])
    affine = nib.load(folder / f"{'case' if shape == SHAPE else case_id}_t1.nii.gz").affine
    for name, volume in volumes(mixed.out, case_id).items():
        one_more = name == "pseudo_healthy" and len(given) > 1
        expected = (*shape, *[1] * (3 - len(shape)), len(given)) if one_more else shape
        assert volume.shape == expected and np.allclose(volume.affine, affine, atol=1e-4), name
        assert np.isfinite(volume.get_fdata()).all()
    assert_mask_is_that_of_the_map(mixed.out, case_id, tsgm.config("inference.json")["min_component_share"])
    if shape[2:] in ((), (1,)):
        assert row["slices"] == "1" and "so few slices" in row["warnings"]


@pytest.mark.parametrize("case_id", ["case", "turned", "volumes"])
def test_neither_company_nor_orientation_nor_a_4d_file_changes_anything(single, mixed, case_id):
    expected, found = volumes(single, "case"), volumes(mixed.out, case_id)
    assert nib.aff2axcodes(found["anomaly_map"].affine) == tuple("PIL" if case_id == "turned" else "RAS")
    for name in FILES:
        turned = reoriented(found[name], "RAS").get_fdata()
        tolerance = {"rtol": 1e-5, "atol": 0 if name == "anomaly_mask" else 1e-5}
        assert np.allclose(turned, expected[name].get_fdata(), **tolerance), name
    alone, row = report_rows(single)["case"], mixed.rows[case_id]
    assert [row[key] for key in COUNTS] == [alone[key] for key in COUNTS]
    for key in ("anomaly_ml", "score", "threshold"):
        assert float(row[key]) == pytest.approx(float(alone[key]), rel=1e-4), key


def test_a_sequence_on_another_grid_is_resampled_and_the_map_is_that_of_one_grid(mixed):
    assert "t1: resampled from 4 x 4 x 2 mm to the grid of flair, 4 x 4 x 4 mm" in mixed.rows["thin"]["warnings"]
    thin, two = (read(mixed.out, case_id).anomaly_map.get_fdata() for case_id in ("thin", "two"))
    assert np.corrcoef(thin.ravel(), two.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("case_id", BAD)
def test_bad_case_is_named_with_file_key_and_remedy(mixed, case_id):
    assert mixed.done.returncode == 2
    assert f"{len(GOOD)} of {len(GOOD) + len(BAD)} cases done, left out" in mixed.done.stdout
    assert mixed.rows[case_id]["status"] == "failed" and len(mixed.failures) == len(BAD)
    (failure,) = (f for f in mixed.failures if f["case_id"] == case_id)
    key, message = BAD[case_id]
    assert failure["key"] == key
    assert re.search(message, f"{failure['file']}: {failure['error']}. {failure['remedy']}"), failure
    assert not list(mixed.out.glob(f"{case_id}_*"))


@pytest.mark.slow
def test_subjects_of_a_folder_quick_and_coarse(tsgm, folder, options, tmp_path):
    """Every case is told that other fusion weights are not those of the threshold; fewer evaluations leave the map."""
    given = {"dataset_dir": folder / "subjects", "calibration_file": options["calibration_file"]}
    done = tsgm.run("inference.json inference_fast.json", {**given, "output_dir": tmp_path})
    assert done.returncode == 0, done.stderr
    rows = report_rows(tmp_path)
    assert {case_id: row["sequences"] for case_id, row in rows.items()} == {"anna": "t1 t1ce flair", "bert": "t1 flair"}
    for case_id, row in rows.items():
        assert int(row["slices"]) > 20 and int(row["network_evaluations"]) == 2 * 5 * int(row["slices"])
        assert "other settings (fusion_weights)" in row["warnings"]
        assert read(tmp_path, case_id).anomaly_map.shape == SHAPE
