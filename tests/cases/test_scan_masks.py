"""Which masks and labels of a folder are those of a scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.cases.folder_files import read_folder
from shared.cases.scan_masks import ScanMasks


def masks(folder: Path, *names: str) -> dict[str, dict[str, str]]:
    """By stem of each scan its masks, their paths without folder and ending."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.nii.gz").touch()
    files, _ = read_folder(folder)
    scans = [file for file in files if file.name.kind == "image"]
    found = {scan.stem: ScanMasks(files).of(scan) for scan in scans}
    return {s: {k: v.split("/")[-1].removesuffix(".nii.gz") for k, v in case.items()} for s, case in found.items()}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a_t1", "a_t1_brain_mask", "a_label"], {"a_t1": {"brain_mask": "a_t1_brain_mask", "label": "a_label"}}),
        (["a_t1_brain", "a_t1_brain_mask"], {"a_t1_brain": {"brain_mask": "a_t1_brain_mask"}}),
        (["a_t1", "a_brain_mask", "a_t1_brain_mask"], {"a_t1": {"brain_mask": "a_t1_brain_mask"}}),
        (["a_t1", "a_flair_brain_mask"], {"a_t1": {}}),
        (["a", "a_seg", "b", "B_label"], {"a": {"label": "a_seg"}, "b": {"label": "B_label"}}),
        (["a_run-1_t1", "a_run-2_t1", "a_run-2_seg"], {"a_run-1_t1": {}, "a_run-2_t1": {"label": "a_run-2_seg"}}),
        (["p/x_t1", "p/W39_Segm"], {"p/x_t1": {"label": "W39_Segm"}}),
        (["imagesTr/a", "labelsTr/a"], {"imagesTr/a": {"label": "a"}}),
        (["a", "a_mask"], {"a": {}}),
    ],
)
def test_a_mask_is_that_of_the_scan_that_its_name_states(tmp_path, names, expected):
    assert masks(tmp_path, *names) == expected


def test_runs_of_bids_keep_their_masks_apart(tmp_path):
    scans = [f"sub-1/anat/sub-1_run-{run}_T1w" for run in (1, 2)]
    given = [f"derivatives/x/sub-1/anat/sub-1_run-{run}_desc-brain_mask" for run in (1, 2)]
    found = masks(tmp_path, *scans, *given)
    assert found == {scan: {"brain_mask": mask.split("/")[-1]} for scan, mask in zip(scans, given)}


@pytest.mark.parametrize(
    "names",
    [
        ["sub-1_run-3_T1w", "sub-1_run-1_label-lesion_mask", "sub-1_run-2_label-lesion_mask"],
        ["sub-1_run-2_T1w", "sub-1_run-1_label-lesion_mask"],
        ["a_t1", "a_seg", "a_lesion"],
        ["sub-1_T1w", "derivatives/x/sub-1/anat/sub-1_run-2_label-lesion_mask", "sub-1_run-2_T1w"],
    ],
)
def test_where_it_cannot_be_told_the_case_is_refused_with_the_names(tmp_path, names):
    case = masks(tmp_path, *names)[names[0]]
    assert case["missing"] == "label" and case["remedy"].startswith("Name it after the scan")
    others = [Path(name).name for name in names[1:] if not name.endswith("_T1w")]
    assert all(f"{name}.nii.gz" in f"{case['reason']}.nii.gz" for name in others)
