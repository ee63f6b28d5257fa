"""serve_monai_label: the app it lays out, its command, and the real server with the bundles of anomalies."""

from __future__ import annotations

import argparse
import gzip
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

import nibabel as nib
import numpy as np
import pytest
import requests

from shared.data.phantom_brain import make_phantom
from shared.data.weights import sha256
from tools import monai_label_app
from tools.environment import MONAI_LABEL, environment_python
from tools.serve_monai_label import BUNDLES, ROOT, command, main

ITERMASK3D, MMCCD, TSGM = BUNDLES


def test_studies_that_are_no_folder_are_refused_before_anything_is_made(tmp_path, capsys):
    assert main(["--studies", str(tmp_path / "none"), "--app_dir", str(tmp_path / "app")]) == 1
    assert "none is no folder" in capsys.readouterr().err
    assert not (tmp_path / "app").exists()


def test_the_server_is_started_offline_on_the_loopback_interface_with_the_bundles(tmp_path):
    given = argparse.Namespace(app_dir=tmp_path, studies=tmp_path, bundles=BUNDLES[:2], host="127.0.0.1", port=8000)
    words = command(Path("python"), given)
    assert words[words.index("models") + 1] == f"{ITERMASK3D},{MMCCD}"
    assert ("zoo_source", "local") in zip(words, words[1:]) and ("--host", "127.0.0.1") in zip(words, words[1:])


def test_the_stand_in_has_what_monai_label_imports_and_gives_way_to_a_real_torchvision(tmp_path, monkeypatch):
    monkeypatch.setattr(monai_label_app.importlib.util, "find_spec", lambda name: None)
    monai_label_app.write_stand_in(tmp_path)
    imports = "from torchvision.utils import make_grid, save_image"
    done = subprocess.run([sys.executable, "-c", imports], env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0
    monkeypatch.setattr(monai_label_app.importlib.util, "find_spec", lambda name: object())
    monai_label_app.write_stand_in(tmp_path)
    assert not tmp_path.exists()


def test_a_bundle_is_copied_once_and_with_the_code_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(monai_label_app, "copy_app", lambda folder: folder.mkdir(parents=True))
    monai_label_app.main([str(tmp_path), ITERMASK3D])
    copy = tmp_path / "monaibundle" / "model" / ITERMASK3D
    assert (copy / "scripts" / "shared" / "methods" / "itermask3d.py").is_file()
    (copy / "models" / "model.pt").write_text("trained here")
    monkeypatch.setattr(monai_label_app, "copy_app", lambda folder: None)
    monai_label_app.main([str(tmp_path), ITERMASK3D])
    assert (copy / "models" / "model.pt").read_text() == "trained here"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The server on three scans of one phantom, two of them labelled; its environment is made where it is missing."""
    environment_python(wanted=MONAI_LABEL)
    folder = tmp_path_factory.mktemp("monai_label")
    phantom, labels = (
        make_phantom(9001, "tumour", ("t1", "flair"), spacing=2.0),
        folder / "studies" / "labels" / "final",
    )
    labels.mkdir(parents=True)
    for name, volume in (
        ("t1", phantom.images["t1"]),
        ("again", phantom.images["t1"]),
        ("flair", phantom.images["flair"]),
    ):
        nib.save(nib.Nifti1Image(volume, phantom.affine), folder / "studies" / f"{name}.nii.gz")
    for name in ("t1", "again"):
        nib.save(nib.Nifti1Image(phantom.label, phantom.affine), labels / f"{name}.nii.gz")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--studies", folder / "studies", "--app_dir", folder / "app", "--port", port]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "serve_monai_label.py"), *map(str, words)],
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
    yield SimpleNamespace(url=url, info=info, folder=folder, affine=phantom.affine, shape=phantom.label.shape)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


def inferred(server: SimpleNamespace, bundle: str, image: str, **options: object) -> np.ndarray:
    """The label that the server finds, on the grid of the image."""
    answer = requests.post(
        f"{server.url}/infer/{bundle}",
        params={"image": image, "output": "image"},
        data={"params": json.dumps({"device": "cpu", **options})},
        timeout=300,
    )
    assert answer.status_code == 200, answer.text
    found = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    assert found.shape == server.shape and np.allclose(found.affine, server.affine)
    return np.asarray(found.dataobj)


@pytest.mark.slow
class TestServer:
    def test_it_offers_each_bundle_with_its_label_and_options(self, server):
        assert set(server.info["models"]) == set(BUNDLES)
        for model in server.info["models"].values():
            assert model["labels"] == {"anomaly": 1} and {"sequence", "threshold"} <= set(model["config"])
        assert {"steps", "samples"} <= set(server.info["models"][TSGM]["config"])

    def test_bundles_answer_in_turn_with_labels_on_the_grid_of_the_image(self, server):
        first = inferred(server, ITERMASK3D, "t1")
        others = [inferred(server, bundle, "flair") for bundle in (MMCCD, TSGM)]
        assert all(0 < label.mean() < 0.2 and set(np.unique(label)) == {0, 1} for label in (first, *others))
        assert np.array_equal(inferred(server, ITERMASK3D, "t1"), first)

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
