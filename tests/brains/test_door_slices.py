"""The door of a method that works on axial slices: few slices, one, 2D images; which way they lie; heads among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.brains.door import Door, check_case
from shared.brains.nifti import read_volume
from shared.brains.volume import Volume, is_short
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, SPACING, case_of, head, radius, save

MID = 32
SLICE = BRAIN[:, :, [MID]]
MASK = (BRAIN != 0).astype(np.uint8)
FEW = "so few slices do not always show whether the brain was extracted"


def notes_of(path: Path, **more: Path) -> list[str]:
    """Warnings of a good case, without the one that any short stack without a mask gets."""
    notes = check_case(case_of(path, **more), slices=True).notes
    assert ("brain_mask" in more) != any(FEW in note for note in notes)
    return [note for note in notes if FEW not in note]


def spaced(step_mm: float, pixel_mm: float = SPACING) -> np.ndarray:
    return np.diag([pixel_mm, pixel_mm, step_mm, 1])


def without_pixdim_3(path: Path) -> Path:
    """A 2D file without affine that states no thickness, as some writers leave it."""
    raw = bytearray(save(path, BRAIN[:, :, MID], None).read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    header["pixdim"][1:4] = (SPACING, SPACING, 0)
    header["qform_code"] = header["sform_code"] = 0
    path.write_bytes(header.binaryblock + bytes(raw[348:]))
    return path


@pytest.mark.parametrize("stack", [SLICE, BRAIN[:, :, MID : MID + 3], BRAIN[:, :, MID - 11 : MID + 12]])
def test_few_slices_are_welcome_only_to_methods_on_slices(tmp_path, stack):
    path = save(tmp_path / "x.nii.gz", stack)
    assert not notes_of(path)
    if stack.shape[2] < 8:
        with pytest.raises(InputError, match="2D image.*3D volume|too small for a brain"):
            check_case(case_of(path))


def test_a_2d_image_becomes_one_slice(tmp_path):
    volume = read_volume(str(save(tmp_path / "x.nii.gz", BRAIN[:, :, MID])), "t1", slices=True)
    assert np.array_equal(volume.data, SLICE) and np.allclose(volume.affine, AFFINE)
    assert notes_of(tmp_path / "x.nii.gz") == ["2D image (shape (64, 64)) taken as one axial slice"]
    with pytest.raises(InputError, match=r"is a 2D image \(shape \(64, 64\)\)"):
        read_volume(str(tmp_path / "x.nii.gz"), "t1")


def test_further_axes_of_1_are_taken_as_none(tmp_path):
    for data in (SLICE[..., None], SLICE[..., None, None]):
        path = save(tmp_path / "x.nii.gz", data)
        assert np.array_equal(read_volume(str(path), "t1", slices=True).data, SLICE)
        assert notes_of(path) == [f"{data.ndim}D file with one volume (shape {data.shape}) taken as 3D"]


def test_a_2d_image_need_not_state_its_thickness(tmp_path):
    volume = read_volume(str(without_pixdim_3(tmp_path / "x.nii")), "t1", slices=True)
    assert volume.spacing == (SPACING, SPACING, 1.0) == nib.load(tmp_path / "x.nii").header.get_zooms() + (1.0,)
    assert "orientation unknown" in volume.warnings[1]


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PSR", "SAL"])
def test_the_slice_axis_is_found_in_every_orientation(tmp_path, codes):
    image = nib.Nifti1Image(BRAIN[:, :, MID : MID + 2], AFFINE)
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes))
    image = image.as_reoriented(turn)
    assert image.shape[codes.translate(str.maketrans("I", "S")).index("S")] == 2
    nib.save(image, tmp_path / "x.nii.gz")
    assert not notes_of(tmp_path / "x.nii.gz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BRAIN[[MID]], r"holds 1 sagittal slices \(1 x 64 x 64 voxels, .*Slices must be axial"),
        (BRAIN[:, MID - 2 : MID + 2], "holds 4 coronal slices.*Slices must be axial"),
        (BRAIN[:7, :7], "too small for a brain: 7 x 7 x 64 voxels"),
    ],
)
def test_what_is_thin_in_plane_is_refused(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        check_case(case_of(save(tmp_path / "x.nii.gz", data)), slices=True)


def test_a_2d_image_whose_header_says_sagittal_is_refused(tmp_path):
    sagittal = AFFINE[:, [1, 2, 0, 3]]
    with pytest.raises(InputError, match="holds 1 sagittal slices.*mend the orientation"):
        check_case(case_of(save(tmp_path / "x.nii.gz", BRAIN[MID], sagittal)), slices=True)


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pixels_in_metres": (lambda p: save(p, SLICE, np.diag([0.0025] * 3 + [1])), "too small for a brain"),
    "vertex": (lambda p: save(p, SLICE * (radius((20, 20, 20))[:, :, [MID]] < 1)), "13 cm2 of brain.*too little"),
    "all_zero": (lambda p: save(p, SLICE * 0), "is 0 everywhere"),
    "constant_brain": (lambda p: save(p, (SLICE != 0).astype(np.uint8)), "is a mask or label map"),
    "no_background": (lambda p: save(p, SLICE + np.indices(SLICE.shape)[0]), "background is not one value"),
    "cut_within_the_brain": (lambda p: save(p, SLICE[20:44, 18:46]), "background is not one value"),
    "whole_head": (lambda p: save(p, head()[:, :, [40]]), "largest slice shows skull.*whole volume.*HD-BET.*mask"),
    "slab_of_a_head": (lambda p: save(p, head()[:, :, 38:50]), "shows skull"),
    "large_head": (lambda p: save(p, head()[:, :, [40]], spaced(5, 3)), r"2\d\d cm2 of a slice are non-zero"),
    "two_volumes": (lambda p: save(p, np.stack([SLICE] * 2, -1)), "holds 2 volumes"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_few_slices_is_named_with_a_remedy(tmp_path, fault):
    make, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        check_case(case_of(make(tmp_path / "x.nii.gz")), slices=True)
    assert caught.value.remedy and caught.value.key == "t1"


def test_a_tightly_cropped_slice_is_no_head(tmp_path):
    inside = np.argwhere(SLICE[..., 0])
    (a, b), (c, d) = inside.min(0), inside.max(0) + 1
    cropped = SLICE[a:c, b:d]
    assert (cropped != 0).mean() > 0.7
    assert not notes_of(save(tmp_path / "x.nii.gz", cropped))


def test_stacks_of_60_mm_are_measured_in_litres(tmp_path):
    stack = BRAIN[:, :, MID - 11 : MID + 13]  # 24 x 2.5 mm
    assert is_short(Volume("x", "t1", stack[:, :, 1:], AFFINE)) and not is_short(Volume("x", "t1", stack, AFFINE))
    small = stack * (radius((40, 50, 99))[:, :, 21:45] < 1)
    small[30:34, 30:34] *= 0.2  # white matter alone is no brain
    notes = check_case(case_of(save(tmp_path / "x.nii.gz", small)), True).notes
    (note,) = notes
    assert "only 0.3" in note
    with pytest.raises(InputError, match="ml of brain, too little"):
        check_case(case_of(save(tmp_path / "y.nii.gz", stack * (radius((20, 25, 99))[:, :, 21:45] < 1))), True)


@pytest.mark.parametrize(
    ("affine", "note"),
    [
        (spaced(5), None),
        (spaced(8), None),
        (spaced(10), "slices 10 mm apart"),
        (spaced(5, 0.2), "pixels of 0.2 x 0.2 mm are outside the range"),
        (np.diag([2.5, 4.5, 2.5, 1]), "thick slices (2.5 x 4.5 mm)"),
    ],
)
def test_only_the_spacing_in_plane_counts(tmp_path, affine, note):
    stack = BRAIN[:, :, MID - 1 : MID + 2]
    if affine[0, 0] < 1:
        stack = np.kron(stack, np.ones((8, 8, 1), np.float32))
    save(tmp_path / "x.nii", stack, affine)
    door = Door([case_of(tmp_path / "x.nii")], slices=True)
    warnings = [w for w in door.cases[0]["warnings"] if FEW not in w]
    assert [note in w for w in warnings] == [True] if note else warnings == []


def test_a_whole_volume_of_thick_slices_passes_without_a_word(tmp_path):
    save(tmp_path / "x.nii", BRAIN[:, :, ::2], AFFINE @ np.diag([1, 1, 2, 1]))
    assert Door([case_of(tmp_path / "x.nii")], slices=True).cases[0]["warnings"] == []
    assert "thick slices" in Door([case_of(tmp_path / "x.nii")]).cases[0]["warnings"][0]


def test_mask_of_slices_makes_a_head_usable(tmp_path):
    path = save(tmp_path / "x.nii.gz", head()[:, :, [40]] + 20)
    inside = np.pad(MASK, 8)[:, :, [40]]
    notes = notes_of(path, brain_mask=save(tmp_path / "m.nii.gz", inside))
    assert notes == ["its background is 20, not 0: subtracted"]
    for name, mask, message in (
        ("n.nii.gz", inside | 1, r"covers 4\d\d cm2 of a slice, more than a brain"),
        ("o.nii.gz", inside * 0, "is empty"),
    ):
        with pytest.raises(InputError, match=message):
            check_case(case_of(path, brain_mask=save(tmp_path / name, mask)), slices=True)


def test_label_of_a_slice_may_be_2d_and_of_another_thickness_but_not_elsewhere(tmp_path):
    path = save(tmp_path / "x.nii.gz", SLICE)
    thicker = AFFINE @ np.diag([1, 1, 2, 1])
    assert not notes_of(path, label=save(tmp_path / "l.nii.gz", MASK[:, :, MID], thicker))
    lifted = AFFINE.copy()
    lifted[2, 3] += 5
    with pytest.raises(InputError, match="affine differs from that of .* by up to 5 mm"):
        check_case(case_of(path, label=save(tmp_path / "m.nii.gz", MASK[:, :, MID], lifted)), slices=True)
