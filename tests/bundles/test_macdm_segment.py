"""The segmenter of MaC-DM through the real command: label maps on the grid of radiographs of each format."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from shared.simulation.phantom_tibia import make_radiograph
from tests.helpers.bundle import Bundle

SEED = 70001
TRAINING = ("train_resnet34", "train_unet", "evaluate_resnet34", "evaluate_unet")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def assert_right(label: np.ndarray, given: SimpleNamespace) -> None:
    """A label map, rows and columns, outlines the bone where it is, not mirrored nor turned."""
    bone = given.tibia | given.lesion
    assert label.shape == bone.shape and set(np.unique(label)) == {0, 1, 2}
    assert dice(label > 0, bone) > 0.95 and dice(label == 2, given.lesion) > 0.6
    for wrong in (label[::-1], label[:, ::-1], label[::-1, ::-1]):
        assert dice(wrong > 0, bone) < 0.8


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """One leg with a fracture, 230 x 160 pixels, in three formats, and a file that is none."""
    folder = tmp_path_factory.mktemp("radiographs")
    made = make_radiograph(SEED, "corner", size=256)
    image, tibia, lesion = (a.T[13:243, 57:217] for a in (made.image, made.tibia_mask, made.lesion_mask))
    grey = np.ascontiguousarray(np.round(65535 * image), np.uint16)
    Image.fromarray(grey).save(folder / "picture.png")
    volume = nib.Nifti1Image(image.T[..., None], np.diag([-made.pixel_mm, -made.pixel_mm, 3, 1]) + np.eye(4, k=3) * 9)
    volume.header["cal_max"] = 1
    nib.save(nib.as_closest_canonical(volume), folder / "volume.nii.gz")
    itk.imwrite(itk.image_from_array(grey), str(folder / "export.dcm"))
    (folder / "broken.png").write_bytes((folder / "picture.png").read_bytes()[:5000])
    files = ("picture.png", "volume.nii.gz", "export.dcm", "broken.png")
    cases = [{"case_id": name.split(".")[0], "image": name} for name in files]
    (folder / "list.json").write_text(json.dumps({"test": cases}))
    return SimpleNamespace(folder=folder, tibia=tibia > 0, lesion=lesion > 0)


def test_each_format_is_answered_on_its_own_grid_and_a_broken_file_named(macdm: Bundle, given, tmp_path):
    done = macdm.run("segment.json", {"datalist": given.folder / "list.json", "output_dir": tmp_path})
    assert done.returncode == 2, done.stderr
    assert "3 of 4 cases done, left out" in done.stdout and "broken.png" in done.stdout
    names = {"picture_label.png", "export_label.png", "volume_label.nii.gz"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in ("picture_label.png", "export_label.png"):
        label = np.asarray(Image.open(tmp_path / name))
        assert label.dtype == np.uint8
        assert_right(label, given)
    source, found = nib.load(given.folder / "volume.nii.gz"), nib.load(tmp_path / "volume_label.nii.gz")
    assert found.shape == source.shape and found.get_data_dtype() == np.uint8 and found.header["cal_max"] == 0
    assert np.array_equal(found.affine, source.affine)
    assert_right(np.asarray(found.dataobj)[::-1, ::-1, 0].T, given)  # stored as RAS


def test_one_image_from_another_folder(macdm: Bundle, given, tmp_path):
    options = {"image": given.folder / "picture.png", "output_dir": tmp_path / "out"}
    done = macdm.run("segment.json", options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_right(np.asarray(Image.open(tmp_path / "out" / "picture_label.png")), given)


def test_the_network_sees_what_it_was_trained_on(macdm: Bundle, given):
    used, trained = macdm.parsed("segment"), macdm.parsed(*TRAINING)
    for name in ("network_def", "size"):
        assert used[name] == trained[name]
    assert used.get_parsed_content("weights") == trained.get_parsed_content("weights")
    case = {"image": str(given.folder / "picture.png"), "case_id": "x", "class_label": 1}
    trained["masks"], trained["make_label"] = [], {"_target_": "CopyItemsd", "keys": "class_label", "names": "label"}
    trained.parse()
    images = [
        config.get_parsed_content(chain)(case)["image"]
        for config, chain in ((used, "preprocessing"), (trained, "validate#preprocessing"))
    ]
    assert images[0].shape == (1, 96, 96) and np.array_equal(*images)
    assert type(images[0]) is type(images[1])


def test_the_label_says_what_the_evaluation_measures(macdm: Bundle):
    metadata = macdm.config("segment_metadata.json")["network_data_format"]
    labels = metadata["outputs"]["pred"]["channel_def"]
    assert labels == {"0": "background", "1": "tibia", "2": "lesion"}
    assert macdm.parsed(*TRAINING)["masks"] == ["tibia_mask", "lesion_mask"]
    assert Path(macdm.folder / "models" / "segmenter" / "model.pt").is_file()
