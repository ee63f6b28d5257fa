"""monai_label_app: the folder it lays out for MONAI Label's server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from shared.runs.weights import sha256
from tests.helpers.ankle import assert_right, make_png
from tools import monai_label_app
from tools.bundle_checks import wrong_metadata, wrong_properties
from tools.serve_monai_label import ROOT, SEGMENTER

ITERMASK3D = "brain_mri_anomaly_itermask3d"
MACDM = ROOT / "bundles" / "tibia_radiograph_synthesis_macdm"


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
    copy = tmp_path / "monaibundle" / "model" / ITERMASK3D
    monkeypatch.setattr(monai_label_app, "stage", lambda bundle, folder: folder.mkdir(parents=True) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        monai_label_app.main([str(tmp_path), ITERMASK3D])
    assert not copy.exists()
    monkeypatch.undo()
    monai_label_app.main([str(tmp_path), ITERMASK3D])
    assert (copy / "scripts" / "shared" / "methods" / "itermask3d" / "inferer.py").is_file()
    (copy / "models" / "model.pt").write_text("trained here")
    monai_label_app.main([str(tmp_path), ITERMASK3D])
    assert (copy / "models" / "model.pt").read_text() == "trained here"


def test_the_segmenter_of_macdm_becomes_a_bundle_of_its_own(tmp_path, monkeypatch):
    monai_label_app.main([str(tmp_path), SEGMENTER])
    bundle = tmp_path / "monaibundle" / "model" / SEGMENTER
    assert sha256(bundle / "models" / "model.pt") == sha256(MACDM / "models" / "segmenter" / "model.pt")
    assert {file.name for file in (bundle / "configs").iterdir()} == {"inference.json", "metadata.json"}
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert not [*wrong_metadata(metadata), *wrong_properties(bundle / "configs")]
    assert metadata["version"] in metadata["changelog"]
    make_png(tmp_path / "ankle.png")
    words = ["--config_file", "configs/inference.json", "--image", str(tmp_path / "ankle.png"), "--output_dir", "out"]
    done = subprocess.run([sys.executable, "-m", "monai.bundle", "run", *words], cwd=bundle, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert_right(np.asarray(Image.open(bundle / "out" / "ankle_label.png")))
