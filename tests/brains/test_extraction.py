"""Brains extracted by deepbet: of a head of ellipsoids whose brain is known, and of real ones; what is no brain."""

from __future__ import annotations

import builtins
import re

import nibabel as nib
import numpy as np
import pytest

from shared.brains import extraction
from shared.brains.extraction import brain_of_head, extractor, how_to_extract, is_head, why_implausible
from shared.brains.nifti import read_volume
from shared.brains.volume import Volume
from shared.runs.errors import DataListError, InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, head, radius
from tests.helpers.real_data import DATA, needs_data

HEAD = Volume("head.nii.gz", "t1", head(), AFFINE)
TRUE = np.pad(BRAIN != 0, 8)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_the_brain_of_a_head_is_found_on_its_grid_twice_alike():
    found = brain_of_head(HEAD)
    assert found.shape == HEAD.data.shape and found.dtype == bool
    assert dice(found, TRUE) > 0.96
    np.testing.assert_array_equal(brain_of_head(HEAD), found)


def test_orientation_moves_the_brain_with_the_head():
    image = nib.Nifti1Image(HEAD.data, AFFINE)
    turned = image.as_reoriented(nib.orientations.axcodes2ornt("PSL"))
    found = brain_of_head(Volume("x", "t1", np.asarray(turned.dataobj), turned.affine))
    back = nib.Nifti1Image(found.astype(np.uint8), turned.affine)
    assert dice(np.asarray(nib.as_closest_canonical(back).dataobj) > 0, TRUE) > 0.96


def test_noise_has_no_brain():
    noise = np.random.default_rng(0).random((64, 64, 64), np.float32)
    with pytest.raises(InputError, match="whole head") as caught:
        brain_of_head(Volume("noise.nii.gz", "t1", noise, np.diag([3, 3, 3, 1])))
    assert caught.value.file == "noise.nii.gz" and "HD-BET" in caught.value.remedy


def ball(mm: float) -> np.ndarray:
    return radius((mm, mm, mm), 80) < 1


CROSS = np.zeros((80, 80, 80), bool)
for _axis in range(3):
    np.moveaxis(CROSS, _axis, 0)[8:72, 32:48, 32:48] = True


@pytest.mark.parametrize(
    ("brain", "why"),
    [
        (TRUE, ""),
        (ball(35), r"has 0.18 l, a brain has 0.8 to 2.1 l"),
        (ball(95), r"has 3.\d+ l, a brain"),
        (radius((36, 95, 60), 80) < 1, "is 2.6 times as long as it is wide"),
        (CROSS, "has the shape of no brain"),
        (radius((73, 88, 68), 80) < 1, "still shows skull"),
    ],
)
def test_what_is_no_brain_is_told_by_litres_shape_and_skull(brain, why):
    said = why_implausible(HEAD, brain)
    assert re.fullmatch(f"{why}.*" if why else "", said)


def test_a_head_is_no_brain_and_no_few_slices():
    assert is_head(HEAD, "why") and not is_head(HEAD, None)
    few = Volume("x", "t1", HEAD.data[:, :, 40:44], AFFINE)
    assert is_head(few, "why") and not is_head(few, "why", slices=True)


def test_what_to_do_is_said_where_brains_are_not_extracted(monkeypatch):
    assert how_to_extract("auto") == ""
    assert how_to_extract("never") == "run with --extract_brain auto"
    monkeypatch.setattr(extraction, "extractor", lambda: "")
    assert how_to_extract("auto") == "pip install deepbet==1.0.2"
    assert how_to_extract("never") == "pip install deepbet==1.0.2, and run with --extract_brain auto"
    with pytest.raises(DataListError, match="--extract_brain is auto or never, not 'always'"):
        how_to_extract("always")


def test_a_package_that_deepbet_needs_is_named_where_it_is_missing(monkeypatch):
    importing = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("deepbet"):
            raise ImportError("No module named 'fill_voids'")
        return importing(name, *args, **options)

    extraction._networks.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install deepbet==1.0.2.*fill_voids"):
        brain_of_head(HEAD)


def test_the_version_is_that_of_the_package():
    assert extractor() == "deepbet 1.0.2"


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize(
    ("file", "litres"),
    [
        ("ixi_t1_raw/IXI013-HH-1212_T1.nii.gz", 1.56),
        ("ixi_t1_heads/IXI448-HH-2393_T1.nii.gz", 1.41),
        ("ms_heads/patient04_study1/flair.nii.gz", 1.50),
        ("ms_heads/patient04_study1/t1.nii.gz", 1.54),
        ("ms_heads/patient04_study1/t2.nii.gz", 1.57),
    ],
)
def test_brains_of_real_heads(file, litres):
    """Litres as deepbet's own command finds them; the brain is the one piece, in the middle of the head."""
    volume = read_volume(str(DATA / file), "t1")
    found = brain_of_head(volume)
    assert np.count_nonzero(found) * volume.voxel_litres == pytest.approx(litres, abs=0.01)
    assert why_implausible(volume, found) == ""
