"""serve_monai_label: its command, and the real server with all it offers."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import itk
import nibabel as nib
import numpy as np
import pytest
import requests
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat
from PIL import Image
from scipy.ndimage import distance_transform_edt

from shared.runs.weights import sha256
from shared.simulation.phantom_brain import make_phantom
from tests.helpers.ankle import ankle, assert_right, make_png
from tests.helpers.bad_volumes import head
from tests.helpers.nifti_geometry import geometry
from tests.helpers.radiograph_files import dicom
from tools.environment import MONAI_LABEL, environment_python
from tools.serve_monai_label import BUNDLES, ROOT, SEGMENTER, command, main

ITERMASK3D, MMCCD, TSGM = (f"brain_mri_anomaly_{name}" for name in ("itermask3d", "mmccd", "tsgm"))
FORMS = {"standard": (4, 1), "scanner": (0, 1), "uncoded": (0, 0)}
"""Codes of sform and qform of scans whose two forms differ, by name."""
MARGIN = 12  # voxels around the phantom, for bone and scalp
MACDM = ROOT / "bundles" / "tibia_radiograph_synthesis_macdm"


def test_studies_that_are_no_folder_are_refused_before_anything_is_made(tmp_path, capsys):
    assert main(["--studies", str(tmp_path / "none"), "--app_dir", str(tmp_path / "app")]) == 1
    assert "none is no folder" in capsys.readouterr().err
    assert not (tmp_path / "app").exists()


def test_the_server_is_started_offline_on_the_loopback_interface_with_the_bundles(tmp_path):
    bundles = [ITERMASK3D, MMCCD]
    given = argparse.Namespace(app_dir=tmp_path, studies=tmp_path, bundles=bundles, host="127.0.0.1", port=8000)
    words = command(Path("python"), given)
    assert words[words.index("models") + 1] == f"{ITERMASK3D},{MMCCD}"
    assert ("zoo_source", "local") in zip(words, words[1:]) and ("--host", "127.0.0.1") in zip(words, words[1:])


REFUSED = [  # bundle, image, options, status, a part of the answer
    (ITERMASK3D, "nan", {}, 422, "nan.nii.gz (key 't1'): has 1 voxels (0.00011 %) that are NaN or infinite"),
    (MMCCD, "nan", {}, 422, "numpy.nan_to_num"),
    (TSGM, "text", {}, 422, "text.nii.gz (key 'flair'): is "),
    (ITERMASK3D, "zeros", {}, 422, "is 0 everywhere. Pass the original scan"),
    (MMCCD, "slices", {}, 422, "in the whole volume these slices are from"),
    (ITERMASK3D, "ankle", {}, 422, "is not named .nii or .nii.gz. Convert it to NIfTI"),
    (SEGMENTER, "text", {}, 422, "text.nii.gz (key 'image'): "),
    (TSGM, "t1", {"sequence": "t2"}, 422, "t2"),
    (MMCCD, "t1", {"sequence": "t2"}, 422, "the weights know no cycle for the sequence 't2'"),
    (MMCCD, "flair", {"steps": "many"}, 422, "option steps: 'many' is no number"),
    (MMCCD, "flair", {"steps": 0}, 422, "steps is 0; choose 1"),
    (MMCCD, "flair", {"Steps": 2}, 422, "option Steps is unknown: did you mean steps?"),
    (MMCCD, "flair", {"result_extension": ".jpg"}, 422, "result_extension is '.jpg'. Write one of .nii.gz"),
    (SEGMENTER, "ankle", {"result_extension": "png"}, 422, "result_extension is 'png'. Write one of .png"),
    (SEGMENTER, "ankle", {"result_dtype": "float32"}, 422, "result_dtype is 'float32'. Write one of uint8, uint16"),
    (MMCCD, "flair", {"threshold_rule": "x"}, 422, "the rule of the threshold is one of stored"),
    ("none", "t1", {}, 404, "There is no model 'none' available"),
    (ITERMASK3D, "nothing", {}, 422, "nothing: not among the studies. Name one of them"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The server on scans of a phantom, two of them labelled, and on an ankle; its environment is made if need be."""
    environment_python(wanted=MONAI_LABEL)
    folder = tmp_path_factory.mktemp("monai_label")
    phantom, labels = (
        make_phantom(9005, "tumour", ("t1", "flair"), spacing=2.0),
        folder / "studies" / "labels" / "final",
    )
    labels.mkdir(parents=True)
    for name, volume in (
        ("t1", phantom.images["t1"]),
        ("again", phantom.images["t1"]),
        ("flair", phantom.images["flair"]),
    ):
        nib.save(nib.Nifti1Image(volume, phantom.affine), folder / "studies" / f"{name}.nii.gz")
    for name, codes in FORMS.items():
        turned = from_matvec(euler2mat(0.2, 0, 0), [5, -9, 14]) @ phantom.affine
        image = nib.Nifti1Image(phantom.images["t1"], None)
        image.header.set_sform(phantom.affine, codes[0])
        image.header.set_qform(turned, codes[1])
        nib.save(image, folder / "studies" / f"{name}.nii.gz")
    wider = phantom.affine @ from_matvec(np.eye(3), [-MARGIN] * 3)
    whole = head(np.pad(phantom.images["t1"], MARGIN), 2.0)
    nib.save(nib.Nifti1Image(whole, wider), folder / "studies" / "head.nii.gz")
    nib.save(nib.Nifti1Image(whole[:, :, 50:54], wider), folder / "studies" / "slices.nii.gz")
    for name in ("t1", "again"):
        nib.save(nib.Nifti1Image(phantom.label, phantom.affine), labels / f"{name}.nii.gz")
    bad = phantom.images["t1"].copy()
    bad[20, 20, 20] = np.nan
    for name, volume in (("nan", bad), ("regions", phantom.label.astype(np.uint8)), ("zeros", np.zeros_like(bad))):
        nib.save(nib.Nifti1Image(volume, phantom.affine), folder / "studies" / f"{name}.nii.gz")
    (folder / "studies" / "text.nii.gz").write_text("no image")
    make_png(folder / "studies" / "ankle.png")
    volume = nib.Nifti1Image(ankle()[0].T[..., None], np.diag([-0.2, -0.2, 1, 1]) + np.eye(4, k=3) * 5)
    nib.save(nib.as_closest_canonical(volume), folder / "studies" / "volume.nii.gz")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--studies", folder / "studies", "--app_dir", folder / "app", "--port", port]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.serve_monai_label", *map(str, words)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            info = requests.get(f"{url}/info/", timeout=10).json()
            break
        except requests.ConnectionError:
            time.sleep(1)
    yield SimpleNamespace(url=url, info=info, folder=folder, affine=phantom.affine, label=phantom.label)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


def asked(server: SimpleNamespace, bundle: str, image: str, **options: object) -> requests.Response:
    """What the server answers."""
    return requests.post(
        f"{server.url}/infer/{bundle}",
        params={"image": image, "output": "image"},
        data={"params": json.dumps({"device": "cpu", **options})},
        timeout=300,
    )


def answered(server: SimpleNamespace, bundle: str, image: str, **options: object) -> bytes:
    """The file that the server answers with."""
    answer = asked(server, bundle, image, **options)
    assert answer.status_code == 200, answer.text
    return answer.content


def inferred(server: SimpleNamespace, bundle: str, image: str, **options: object) -> np.ndarray:
    """The label that the server finds in a brain, on the grid of the image."""
    found = nib.Nifti1Image.from_bytes(gzip.decompress(answered(server, bundle, image, **options)))
    assert found.shape == server.label.shape and np.allclose(found.affine, server.affine)
    return np.asarray(found.dataobj)


@pytest.mark.slow
class TestServer:
    def test_it_offers_each_bundle_with_its_label_and_options(self, server):
        models = dict(server.info["models"])
        segmenter = models.pop(SEGMENTER)
        assert (segmenter["labels"], segmenter["dimension"]) == ({"tibia": 1, "lesion": 2}, 2)
        assert SEGMENTER not in server.info["trainers"] and set(models) == set(BUNDLES)
        for model in models.values():
            assert model["labels"] == {"anomaly": 1} and {"sequence", "threshold"} <= set(model["config"])
        assert {"steps", "samples"} <= set(server.info["models"][TSGM]["config"])

    def test_bundles_answer_in_turn_with_labels_on_the_grid_of_the_image(self, server):
        first = inferred(server, ITERMASK3D, "t1")
        others = [inferred(server, bundle, "flair") for bundle in (MMCCD, TSGM)]
        assert all(0 < label.mean() < 0.2 and set(np.unique(label)) == {0, 1} for label in (first, *others))
        assert np.array_equal(inferred(server, ITERMASK3D, "t1"), first)

    @pytest.mark.parametrize("name", FORMS)
    def test_labels_have_the_geometry_of_the_scan_so_that_any_reader_lays_them_on_it(self, server, tmp_path, name):
        scan = server.folder / "studies" / f"{name}.nii.gz"
        (tmp_path / "label.nii.gz").write_bytes(answered(server, ITERMASK3D, name))
        assert geometry(tmp_path / "label.nii.gz") == geometry(scan)
        voxels = np.asarray(nib.load(tmp_path / "label.nii.gz").dataobj)
        assert 0 < voxels.mean() < 0.2
        (tmp_path / "label.nrrd").write_bytes(answered(server, ITERMASK3D, name, result_extension=".nrrd"))
        label, image = itk.imread(str(tmp_path / "label.nrrd")), itk.imread(str(scan))
        np.testing.assert_array_equal(itk.array_from_image(label), voxels.T)
        assert np.allclose(label.GetOrigin(), image.GetOrigin(), atol=1e-3)
        directions = [itk.array_from_matrix(volume.GetDirection()) for volume in (label, image)]
        assert np.allclose(*directions, atol=1e-5)

    def test_of_a_whole_head_the_brain_is_extracted_and_few_slices_of_it_are_refused(self, server):
        alone = inferred(server, ITERMASK3D, "t1") > 0
        found = nib.Nifti1Image.from_bytes(gzip.decompress(answered(server, ITERMASK3D, "head")))
        image = nib.load(server.folder / "studies" / "head.nii.gz")
        assert found.shape == image.shape and np.allclose(found.affine, image.affine)
        label = np.asarray(found.dataobj) > 0
        brain = np.pad(nib.load(server.folder / "studies" / "t1.nii.gz").get_fdata() != 0, MARGIN)
        assert not label[2.0 * distance_transform_edt(~brain) > 10].any()  # the scalp lies at 8 to 16 mm
        lesion = server.label > 0
        assert label[np.pad(lesion, MARGIN)].mean() > alone[lesion].mean() - 0.05 > 0.8  # found as without the skull

    @pytest.mark.parametrize(("bundle", "image", "options", "status", "says"), REFUSED)
    def test_what_cannot_be_done_is_answered_with_the_text_of_the_command_line(
        self, server, bundle, image, options, status, says
    ):
        answer = asked(server, bundle, image, **options)
        assert answer.status_code == status, answer.text
        text = answer.json()["detail"]
        assert says in text and "Traceback" not in text and str(server.folder) not in text

    def test_weights_that_are_gone_are_named(self, server):
        weights = server.folder / "app" / "monaibundle" / "model" / TSGM / "models" / "model.pt"
        kept = weights.rename(weights.with_name("kept"))
        answer = asked(server, TSGM, "flair")
        kept.rename(weights)
        assert answer.status_code == 422 and "model.pt: weights missing. Train with configs/train" in answer.text

    def test_radiographs_are_answered_in_their_own_format_and_grid(self, server):
        with Image.open(io.BytesIO(answered(server, SEGMENTER, "ankle"))) as picture:
            assert (picture.format, picture.mode) == ("PNG", "L")
            assert_right(np.asarray(picture))
        source = nib.load(server.folder / "studies" / "volume.nii.gz")
        found = nib.Nifti1Image.from_bytes(gzip.decompress(answered(server, SEGMENTER, "volume")))
        assert found.shape == source.shape and np.allclose(found.affine, source.affine)
        assert_right(np.asarray(found.dataobj)[::-1, ::-1, 0].T)  # stored as RAS

    def test_a_dicom_file_is_answered_as_png_where_nothing_else_is_asked_for(self, server, tmp_path):
        with Image.open(server.folder / "studies" / "ankle.png") as picture:
            file = dicom(tmp_path / "ankle.dcm", np.asarray(picture).astype(np.uint16))
        sent = {"files": {"file": ("ankle.dcm", file.read_bytes())}, "data": {"params": '{"device": "cpu"}'}}
        answer = requests.post(f"{server.url}/infer/{SEGMENTER}", params={"output": "image"}, timeout=300, **sent)
        assert answer.status_code == 200, answer.text
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.format == "PNG"
            assert_right(np.asarray(picture))

    def test_a_file_can_be_sent_and_its_label_drawn(self, server, tmp_path):
        image = server.folder / "studies" / "ankle.png"
        words = [
            sys.executable,
            "-m",
            "tools.ask_monai_label",
            server.url,
            SEGMENTER,
            image,
            tmp_path,
            "--params",
            '{"device": "cpu"}',
        ]
        done = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert_right(np.asarray(Image.open(tmp_path / "ankle_label.png")))
        assert done.stdout.splitlines() == [str(tmp_path / f"ankle_{name}.png") for name in ("label", "overlay")]
        assert Image.open(tmp_path / "ankle_overlay.png").width > 2 * 150
        words[4] = "none"
        refused = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode == 1 and "There is no model 'none' available" in refused.stderr
        words[4:6] = [ITERMASK3D, server.folder / "studies" / "nan.nii.gz"]
        refused = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True)
        assert refused.returncode == 1 and "NaN or infinite" in refused.stderr and refused.stderr.count("\n") == 1

    def test_options_take_effect(self, server):
        plain = inferred(server, MMCCD, "flair")
        assert inferred(server, MMCCD, "flair", threshold=5.0).sum() < 0.1 * plain.sum()
        assert not np.array_equal(inferred(server, MMCCD, "flair", steps=3), plain)
        assert not np.array_equal(inferred(server, MMCCD, "t1", sequence="t1"), inferred(server, MMCCD, "t1"))

    def test_training_on_annotated_studies_makes_new_weights_and_the_threshold_is_said_to_be_stale(self, server):
        weights = server.folder / "app" / "monaibundle" / "model" / ITERMASK3D / "models" / "model.pt"
        before = sha256(weights)
        request = {"model": ITERMASK3D, "device": "cpu", "max_epochs": 2, "val_split": 0.5, "multi_gpu": False}
        answer = requests.post(f"{server.url}/train/{ITERMASK3D}?run_sync=true", json=request, timeout=300)
        assert answer.status_code == 200, answer.text
        assert sha256(weights) != before and sha256(ROOT / "bundles" / ITERMASK3D / "models" / "model.pt") == before
        assert 0 < inferred(server, ITERMASK3D, "t1").mean() < 0.2
        assert "its threshold belongs to other weights" in (server.folder / "log").read_text()
