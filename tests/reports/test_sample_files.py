"""The files of a sample: their pixels, their place, and how a datalist names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.radiographs.reading import read_mask, read_radiograph
from shared.reports.sample_files import listed_sample, write_sample

NAMES = ("image", "tibia_mask", "lesion_mask")


def sample() -> np.ndarray:
    """A radiograph from -1 to 1 and two masks by their sign, ``3 X Y`` with X along the columns."""
    made = np.full((3, 4, 6), -0.5, np.float32)
    made[0] = np.linspace(-1, 1, 24).reshape(4, 6)
    made[1, :3], made[2, 1, 2] = 0.25, 1e-3
    return made


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / f"case_{name}.png"))


def test_the_radiograph_has_16_bits_over_its_range_and_masks_are_0_or_255(tmp_path):
    write_sample(tmp_path, sample(), "case", accepted=True)
    image, tibia, lesion = (pixels(tmp_path / "samples", name) for name in NAMES)
    assert image.dtype == np.uint16 and (image.min(), image.max()) == (0, 65535)
    np.testing.assert_allclose(image / 65535 * 2 - 1, sample()[0], atol=1.01 / 65535)
    assert np.array_equal(tibia, 255 * (sample()[1] > 0)) and np.array_equal(lesion, 255 * (sample()[2] > 0))
    assert (tibia.dtype, lesion.sum()) == (np.uint8, 255)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_sample_lies_in_one_folder_whatever_an_earlier_run_said(tmp_path, accepted):
    place, other = ("samples", "rejected") if accepted else ("rejected", "samples")
    write_sample(tmp_path, sample(), "case", not accepted)
    write_sample(tmp_path, sample(), "case", accepted)
    assert sorted(file.name for file in (tmp_path / place).iterdir()) == sorted(f"case_{name}.png" for name in NAMES)
    assert not list((tmp_path / other).iterdir())


@pytest.mark.parametrize(("source", "group"), [(None, {}), (17, {"patient_id": "17"})])
def test_the_list_names_files_that_are_there_and_the_patient_of_a_source(tmp_path, source, group):
    write_sample(tmp_path, sample(), "case", accepted=True)
    case = listed_sample({"case_id": "case", "source_id": source, "class_label": 1, "verdict": "fracture"})
    assert case == {"case_id": "case", **{n: f"samples/case_{n}.png" for n in NAMES}, "class_label": 1, **group}
    assert all((tmp_path / case[name]).is_file() for name in NAMES)


def test_the_files_are_read_as_any_radiograph(tmp_path):
    write_sample(tmp_path, np.repeat(np.repeat(sample(), 16, 1), 16, 2), "case", accepted=True)
    shown = read_radiograph(str(tmp_path / "samples" / "case_image.png"), "image")
    tibia = read_mask(str(tmp_path / "samples" / "case_tibia_mask.png"), "tibia_mask")
    assert shown.data.shape == tibia.data.shape and shown.data.size == 24 * 256
