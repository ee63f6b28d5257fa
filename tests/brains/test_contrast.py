"""T1 and FLAIR are told apart where it is clear, on simulated brains and on real ones; nothing is said of the rest."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from shared.brains.contrast import check_contrast, t1_likeness
from shared.brains.nifti import read_volume
from shared.brains.volume import Volume
from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.real_data import DATA, needs_data


@pytest.fixture(scope="module")
def brains(tmp_path_factory) -> dict[str, Volume]:
    folder = tmp_path_factory.mktemp("phantom")
    case = write_phantom(make_phantom(3, None, ("t1", "flair"), spacing=2.0), folder, "case")
    return {key: read_volume(str(folder / case[key]), key) for key in ("t1", "flair")}


def test_layers_of_known_brightness_give_the_documented_number():
    """A cylinder of radius 40 mm: 100 within 25 mm of the axis (deep: 15 mm and more), 80 around it."""
    radius = np.hypot(*np.mgrid[-44:45, -44:45])
    data = np.repeat(np.select([radius < 25, radius < 40], [100.0, 80.0])[..., None], 8, axis=2).astype(np.float32)
    cylinder = Volume("x", "t1", data, np.eye(4))
    assert t1_likeness(cylinder, data > 0) == pytest.approx(36.2 * 1 + 31.2 * 100 / 80 - 67.6)
    for axis in (0, 1):  # axial slices are those across the axis that leads to the head
        affine = np.eye(4)[[axis if i == 2 else 2 if i == axis else i for i in range(3)] + [3]]
        turned = Volume("x", "t1", np.swapaxes(data, axis, 2), affine)
        assert t1_likeness(turned, turned.data > 0) == pytest.approx(t1_likeness(cylinder, data > 0))


def test_the_unit_of_intensity_does_not_matter(brains: dict[str, Volume]):
    image = brains["t1"]
    brain = image.data != 0
    assert t1_likeness(replace(image, data=image.data * 37), brain) == pytest.approx(t1_likeness(image, brain))


def test_t1_given_as_flair_is_noted_and_the_right_names_are_not(brains: dict[str, Volume]):
    for image in brains.values():
        assert check_contrast(image, image.data != 0) == []
    (note,) = check_contrast(replace(brains["t1"], key="flair"), brains["t1"].data != 0)
    assert note == "given as flair, but its contrast is rather that of t1: is it the right file?"
    assert check_contrast(replace(brains["t1"], key="t2"), brains["t1"].data != 0) == []


def test_nothing_is_said_of_few_slices_and_of_wide_pixels(brains: dict[str, Volume]):
    image = replace(brains["t1"], key="flair")
    few = replace(image, data=image.data[:, :, 40:44])
    wide = replace(image, affine=image.affine * [2, 2, 2, 1])
    for part in (few, wide):
        assert np.isnan(t1_likeness(part, part.data != 0)) and check_contrast(part, part.data != 0) == []


@pytest.mark.real_data
@needs_data
def test_real_scans_with_their_right_name_get_no_note_and_many_with_a_wrong_one_do():
    """Patients that the numbers were not fitted on, and healthy adults."""
    with (DATA / "lgg2d" / "patients.csv").open() as file:
        others = [row["patient"] for row in csv.DictReader(file) if row["split"] != "train"]
    scans = [(DATA / "lgg2d" / p / f"{key}.nii.gz", key) for p in others for key in ("t1", "flair")]
    scans += [(file, "t1") for file in sorted((DATA / "ixi_t1").glob("*.nii.gz"))[:9]]
    noted = {"t1": [], "flair": []}
    for file, key in scans:
        image = read_volume(str(file), key, slices=True)
        mask = file.parent / "brain.nii.gz"
        brain = read_volume(str(mask), "brain_mask", slices=True).data > 0 if mask.is_file() else image.data != 0
        assert check_contrast(image, brain) == []
        other = "flair" if key == "t1" else "t1"
        noted[key].append(bool(check_contrast(replace(image, key=other), brain)))
    assert (sum(noted["t1"][:17]), sum(noted["t1"][17:]), sum(noted["flair"])) == (10, 9, 6)  # as docs/faults.md says
