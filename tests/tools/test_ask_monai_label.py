"""ask_monai_label: what it draws of an answer, and what it says where there is none; test_serve_monai_label asks."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, ImageColor

from shared.reports.radiograph_grid import LESION_COLOUR, TIBIA_COLOUR
from tools.ask_monai_label import main, overlay, shown

GREY = np.add.outer(np.arange(48), 2 * np.arange(40)).astype(np.uint8)
LABEL = np.zeros((48, 40), np.uint8)
LABEL[10:30, 8:20], LABEL[22:28, 8:12] = 1, 2


def saved(path: Path, pixels: np.ndarray, codes: str = "") -> Path:
    """Rows and columns as a PNG, a volume ``X Y Z`` (RAS) as NIfTI in the orientation of ``codes``."""
    if not codes:
        Image.fromarray(pixels).save(path)
        return path
    image = nib.Nifti1Image(pixels, np.diag([2.0, 2, 2, 1]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(turn), path)
    return path


def test_a_picture_is_shown_as_it_is_stored(tmp_path):
    pixels, label = shown(saved(tmp_path / "x.png", GREY), saved(tmp_path / "x_label.png", LABEL))
    assert np.array_equal(pixels, GREY) and np.array_equal(label, LABEL)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SRA"])
def test_a_volume_is_shown_by_the_slice_with_most_label_the_right_side_on_the_left(tmp_path, codes):
    volume, label = np.random.default_rng(0).random((6, 7, 8)), np.zeros((6, 7, 8), np.uint8)
    label[:2, 1, 3], label[3:6, 2:4, 5], label[0, 0] = 1, 1, 1
    files = saved(tmp_path / "x.nii.gz", volume, codes), saved(tmp_path / "x_label.nii.gz", label, codes)
    pixels, found = shown(*files)
    np.testing.assert_allclose(pixels, volume[:, :, 5].T[::-1, ::-1])  # rows from anterior, columns from the right
    assert np.array_equal(found, label[:, :, 5].T[::-1, ::-1])


@pytest.mark.parametrize(("label", "blue"), [(LABEL, True), (LABEL // 2, False), (0 * LABEL, False)])
def test_the_highest_label_is_outlined_red_and_all_of_several_blue(label, blue):
    pixels = np.asarray(Image.open(io.BytesIO(overlay(GREY, label))).convert("RGB"))
    is_red, is_blue = ((pixels == ImageColor.getrgb(colour)).all(axis=-1) for colour in (LESION_COLOUR, TIBIA_COLOUR))
    assert is_red.any() == label.any() and is_blue.any() == blue
    half = pixels.shape[1] // 2
    assert not (is_red | is_blue)[:, :half].any()
    if label.any():
        rows, columns = np.nonzero(is_red)
        factor, margin = 4, 4  # of outlined, and the frame of picture_grid
        assert abs(rows.mean() - margin - factor * 25) < 4 and abs(columns.mean() - margin - factor * (40 + 10)) < 4


def test_what_is_missing_is_said_and_nothing_written(tmp_path, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{probe.getsockname()[1]}"
    image = saved(tmp_path / "x.png", GREY)
    assert main([server, "model", str(image), str(tmp_path / "out")]) == 1
    assert "refused" in capsys.readouterr().err
    assert main([server, "model", str(tmp_path / "none.png"), str(tmp_path / "out")]) == 1
    assert "none.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
