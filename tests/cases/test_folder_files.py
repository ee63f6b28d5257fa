"""What names and folders say of the files of a folder, and which of them are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.cases.folder_files import FolderFile, read_folder
from shared.runs.errors import DataListError


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def read(folder: Path, *names: str, channels: tuple[str, ...] = ()) -> tuple[dict[str, FolderFile], list[str]]:
    touch(*(folder / f"{name}.nii.gz" for name in names))
    files, notes = read_folder(folder, channels)
    return {file.stem: file for file in files}, notes


def test_folders_tell_images_labels_and_sequences(tmp_path):
    files, _ = read(
        tmp_path, "imagesTr/a", "labelsTr/a", "p/masks/t1", "flair/anna", "p/ses-1/FLAIR/x", "brain_masks/a"
    )
    said = {stem: (file.place, file.name.kind, file.name.sequence) for stem, file in files.items()}
    assert said == {
        "imagesTr/a": ("", "image", ""),
        "labelsTr/a": ("", "label", ""),
        "p/masks/t1": ("p", "mask", "t1"),
        "flair/anna": ("", "image", "flair"),
        "p/ses-1/FLAIR/x": ("p/ses-1", "image", "flair"),
        "brain_masks/a": ("", "brain_mask", ""),
    }


def test_scan_and_derivative_of_bids_share_their_place(tmp_path):
    scan, mask = "ds/sub-1/ses-2/anat/sub-1_ses-2_T1w", "ds/derivatives/bet/sub-1/ses-2/anat/sub-1_ses-2_mask"
    files, notes = read(tmp_path, scan, mask, "ds/derivatives/x/sub-1/anat/sub-1_T1w", "ds/sourcedata/sub-1_T1w")
    assert set(files) == {scan, mask} and files[scan].place == files[mask].place == "ds/sub-1/ses-2"
    assert files[mask].name.kind == "brain_mask"
    assert notes == ["2 below derivatives or sourcedata (such as sub-1_T1w.nii.gz)"]


def test_a_scan_without_its_shading_is_passed_over_beside_the_scan_alone(tmp_path):
    files, notes = read(tmp_path, *(f"p/a_{name}" for name in ("T1", "T1_bias", "FLAIR_bias")))
    assert set(files) == {"p/a_T1", "p/a_FLAIR_bias"}
    assert notes == ["1 beside the scan that they were derived from (such as a_T1_bias.nii.gz)"]


@pytest.mark.parametrize("name", ["anna_T1", "sub-01_T1w"])
def test_what_spm_and_cat12_write_beside_a_scan_is_derived_from_it(tmp_path, name):
    prefixes = "m wm r w s8wm y_ iy_ c1 c5 rc1 mwp1 u_rc1 wmc2".split()
    files, notes = read(tmp_path, f"p/{name}", f"p/mri/p0{name}", *(f"p/{prefix}{name}" for prefix in prefixes))
    assert set(files) == {f"p/{name}"}
    assert notes[0].startswith(f"{len(prefixes) + 1} beside the scan that they were derived from")
    files, _ = read(tmp_path / "other", "mary_T1", "anna_T1", "MS001_T1", "S001_T1")
    assert len(files) == 4


def test_numbers_of_a_scanner_are_no_subjects_where_sequences_have_their_own(tmp_path):
    series = {"3_t1_mprage_sag": "", "4_t2_flair_tra": "", "5_t2_tse_tra": "", "9_t1_mprage_gd": "", "11_t1_tse": "11"}
    files, _ = read(tmp_path, *(f"P1/{name}" for name in series), *(f"p/{n}_{s}" for n in (1, 2) for s in ("t1", "t2")))
    assert {name: files[f"P1/{name}"].name.subject for name in series} == series
    assert {file.name.subject for stem, file in files.items() if stem.startswith("p/")} == {"1", "2"}


def test_a_folder_of_another_sequence_is_a_day(tmp_path):
    files, _ = read(tmp_path, "fred/T1/FLAIR", "fred/T0/T1", "fred/T1/T1")
    assert [file.place for file in files.values()] == ["fred/T0", "fred/T1", "fred"]


def test_derivatives_alone_are_images(tmp_path):
    files, _ = read(tmp_path, "derivatives/atlas/sub-1/anat/sub-1_space-MNI_T1w")
    assert len(files) == 1


def test_an_image_is_read_once_and_a_label_as_often_as_it_stands_there(tmp_path):
    touch(tmp_path / "in" / "b_t1.nii.gz", tmp_path / "in" / "b_label.nii.gz")
    for name in ("a_t1", "a_label"):
        (tmp_path / "in" / f"{name}.nii.gz").symlink_to(tmp_path / "in" / f"b_{name[2:]}.nii.gz")
    files, notes = read(tmp_path / "in")
    assert set(files) == {"a_label", "b_label", "b_t1"}
    assert notes == ["1 that are links to another one (such as a_t1.nii.gz)"]


def test_channels_of_nnunet_need_their_names(tmp_path):
    names = [f"imagesTr/BRATS_{case}_000{channel}" for case in (1, 2) for channel in range(2)]
    with pytest.raises(DataListError, match="BRATS_1_0000, _0001 ... are the channels.*--channels flair t1"):
        read(tmp_path, *names)
    files, _ = read(tmp_path, *names, channels=("flair", "t1"))
    assert {(file.name.subject, file.name.sequence) for file in files.values()} == {
        (f"BRATS_{case}", sequence) for case in (1, 2) for sequence in ("flair", "t1")
    }


def test_one_channel_and_numbers_of_patients_are_no_channels(tmp_path):
    files, _ = read(tmp_path, "a_0000", *(f"p_00{number:02}" for number in range(12)))
    assert files["a_0000"].name.subject == "a" and files["p_0001"].name.subject == "p_0001"
