"""What names say: endings, subjects, sequences, masks and labels, and what a bundle has written."""

from __future__ import annotations

import unicodedata
from functools import partial

import pytest

from shared.cases.datalists import gather_cases
from shared.cases.file_names import (
    BRAIN_MASK,
    MAPS,
    MAX_CASE_ID_BYTES,
    check_sequence,
    read_name,
    same_name,
    split_sequence,
    stem_of,
)
from shared.cases.sequence_cases import gather_sequence_cases
from shared.runs.errors import DataListError


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("/in/x.nii.gz", "x"),
        ("x.NII", "x"),
        ("ankle.left.png", "ankle.left"),
        ("1.2.840.10008.1001.dcm", "1.2.840.10008.1001"),
        ("1.2.840.10008.1001", "1.2.840.10008.1001"),
        ("scan.v2.DICOM", "scan.v2"),
        (".nii.gz", ""),
    ],
)
def test_the_known_ending_alone_is_taken_off(path, stem):
    assert stem_of(path) == stem


@pytest.mark.parametrize(
    ("stem", "subject", "sequence"),
    [
        ("anna_t1_brain", "anna", "t1"),
        ("anna_FLAIR_bet", "anna", "flair"),
        ("anna-t2-n4", "anna", "t2"),
        ("anna.T1w.n4.brain", "anna", "t1"),
        ("T1 anna", "anna", "t1"),
        ("BraTS20_Training_001_t1ce", "BraTS20_Training_001", "t1ce"),
        ("BraTS2021_00000_flair", "BraTS2021_00000", "flair"),
        ("BraTS-GLI-00000-000-t1n", "BraTS-GLI-00000-000", "t1"),
        ("BraTS-GLI-00000-000-t1c", "BraTS-GLI-00000-000", "t1ce"),
        ("BraTS-GLI-00000-000-t2w", "BraTS-GLI-00000-000", "t2"),
        ("BraTS-GLI-00000-000-t2f", "BraTS-GLI-00000-000", "flair"),
        ("p_T2_FLAIR", "p", "flair"),
        ("p_T1_Gd", "p", "t1ce"),
        ("p_T1-post", "p", "t1ce"),
        ("p_t1_pre", "p", "t1"),
        ("IXI013-HH-1212-T1", "IXI013-HH-1212", "t1"),
        ("p_dwi", "p", "dwi"),
        ("t1_in_flair", "in", "flair and t1"),
        ("subt1", "subt1", ""),
        ("t1ce", "", "t1ce"),
        ("sub-01_ses-2_ce-gad_T1w", "sub-01_ses-2", "t1ce"),
        ("sub-01_acq-t1like_FLAIR", "sub-01_acq-t1like", "flair"),
        ("sub-01_space-T1w_desc-preproc_FLAIR", "sub-01_space-T1w", "flair"),
        ("sub-01_T2starw", "sub-01", "t2starw"),
        ("sub-01_acq-post_T1w", "sub-01_acq-post", "t1ce"),
        ("sub-01_acq-space_ce-none_T1w", "sub-01_acq-space", "t1"),
        ("sub-01_MTR", "sub-01", "mtr"),
        ("sub-01_task-rest_boldref", "sub-01_task-rest", "boldref"),
        ("sub-01_0000", "sub-01", ""),
        ("sub-01_brain", "sub-01", ""),
        ("anna_post_T1", "anna_post", "t1ce"),
        ("ISBI_t1_preprocessed", "ISBI", "t1"),
        ("p_T1wCE", "p", "t1ce"),
        ("p_t2tse", "p", "t2"),
        ("p_SWAN", "p", "swan"),
        ("p_T1WKS", "p", "t1ce"),
        ("training01_02_mprage_pp", "training01_02", "t1"),
        ("p_mprage_T1_gd", "p", "t1ce"),
        ("tumor_1_t1", "tumor_1", "t1"),
        ("tumor_1", "tumor_1", ""),
        ("anna_t1_manual", "anna_manual", "t1"),
        ("core-7_flair", "core-7", "flair"),
    ],
)
def test_a_sequence_stands_anywhere_between_separators(stem, subject, sequence):
    name = read_name(stem)
    assert (name.subject, name.sequence, name.kind) == (subject, sequence, "image")


@pytest.mark.parametrize(
    ("stem", "subject", "sequence", "kind"),
    [
        ("anna_t1_brain_mask", "anna", "t1", "brain_mask"),
        ("anna_brain_mask", "anna", "", "brain_mask"),
        ("anna_bet_mask", "anna", "", "brain_mask"),
        ("anna_brainmask", "anna", "", "brain_mask"),
        ("anna_mask", "anna", "", "mask"),
        ("anna_label", "anna", "", "label"),
        ("anna_flair_lesion2", "anna", "flair", "label"),
        ("anna_lesion_mask", "anna", "", "label"),
        ("BraTS-GLI-00000-000-seg", "BraTS-GLI-00000-000", "", "label"),
        ("W39_1998.09.19_Segm", "W39_1998.09.19", "", "label"),
        ("anna_gt", "anna", "", "label"),
        ("anna_t1_brain_seg", "anna", "t1", "mask"),
        ("anna_aparc", "anna", "", "mask"),
        ("001_t1_tumor", "001", "t1", "label"),
        ("001_tumour_mask", "001", "", "label"),
        ("tumor", "", "", "label"),
        ("001_T1_GroundTruth", "001", "t1", "label"),
        ("001_Ground_Truth", "001", "", "label"),
        ("001_t1_oedema", "001", "t1", "label"),
        ("001_t1_tumor_core", "001", "t1", "label"),
        ("001_lesions_manual", "001", "", "label"),
        ("UCSF-PDGM-0004_tumor_segmentation", "UCSF-PDGM-0004", "", "label"),
        ("UCSF-PDGM-0004_brain_segmentation", "UCSF-PDGM-0004", "", "brain_mask"),
        ("UCSF-PDGM-0004_brain_parenchyma_segmentation", "UCSF-PDGM-0004_parenchyma", "", "mask"),
        ("001_t1_wm", "001", "t1", "mask"),
        ("001_t1_brain_pve_0", "001", "t1", "mask"),
        ("001_t1_csf2", "001", "t1", "mask"),
        ("tumor_1_seg", "tumor_1", "", "label"),
        ("sub-01_run-2_desc-brain_mask", "sub-01_run-2", "", "brain_mask"),
        ("sub-01_run-2_label-lesion_mask", "sub-01_run-2", "", "label"),
        ("sub-01_space-MNI_label-L_desc-T1lesion_mask", "sub-01_space-MNI", "", "label"),
        ("sub-01_T1w_brain_mask", "sub-01", "t1", "brain_mask"),
        ("sub-01_label-GM_probseg", "sub-01", "", "mask"),
        ("sub-01_mask", "sub-01", "", "mask"),
        ("sub-strokecase0001_ses-0001_msk", "sub-strokecase0001_ses-0001", "", "label"),
        ("sub-01_desc-brain_msk", "sub-01", "", "brain_mask"),
    ],
)
def test_a_mask_or_label_is_no_image(stem, subject, sequence, kind):
    name = read_name(stem)
    assert (name.subject, name.sequence, name.kind) == (subject, sequence, kind)


@pytest.mark.parametrize(("pipeline", "kind"), [("synthstrip", "brain_mask"), ("lesion_masks", "label"), ("x", "mask")])
def test_the_pipeline_speaks_for_a_mask_that_does_not_say_of_what_it_is(pipeline, kind):
    assert read_name("sub-01_mask", pipeline).kind == kind


@pytest.mark.parametrize("name", [*MAPS.values(), "overlay"])
@pytest.mark.parametrize("stem", ["{}", "a_t1_{}", "sub-01_T1w_{}", "a_{}_t1"])
def test_what_a_bundle_writes_is_told_by_its_name(stem, name):
    assert read_name(stem.format(name)).kind == "written"


def test_the_longest_case_id_leaves_room_for_the_longest_output():
    longest = max((*MAPS.values(), BRAIN_MASK), key=len)
    assert len(f".{'a' * MAX_CASE_ID_BYTES}_{longest}.nii.gz.4194304") == 255


def test_names_that_a_file_system_may_take_for_one_are_the_same():
    assert same_name("Jörg") == same_name(unicodedata.normalize("NFD", "JÖRG")) != same_name("Jorg")


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("sub1_T1w", ("sub1", "t1")),
        ("sub1_t1gd", ("sub1", "t1ce")),
        ("t1ce", ("", "t1ce")),
        ("sub1_FLAIR", ("sub1", "flair")),
        ("subt1", ("subt1", "pd")),
    ],
)
def test_sequence_is_read_off_the_name(stem, expected):
    assert split_sequence(stem, "pd") == expected


@pytest.mark.parametrize("sequence", ["", "flair,t1", "['t1']", "7", "T1", "swi"])
def test_a_sequence_that_is_none_is_refused_with_those_that_are(sequence):
    with pytest.raises(DataListError, match="write one of t1, t1ce, t2, flair, pd"):
        check_sequence(sequence)
    for gather in (gather_cases, partial(gather_sequence_cases, ["t1", "flair"])):
        with pytest.raises(DataListError, match="write one of"):
            gather(image="a.nii.gz", sequence=sequence)
