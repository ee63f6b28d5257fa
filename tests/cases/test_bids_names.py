"""Names of BIDS: entities and suffix, and which mask is that of which scan."""

from __future__ import annotations

import pytest

from shared.cases.bids_names import bids_name, mask_of


def test_entities_and_suffix():
    name = bids_name("sub-01_ses-2_run-1_desc-brain_mask")
    assert name and name.entities == {"sub": "01", "ses": "2", "run": "1", "desc": "brain"} and name.suffix == "mask"
    assert name.scan == {"sub": "01", "ses": "2", "run": "1"} and name.session == ("sub-01", "ses-2")
    assert [bids_name(stem) for stem in ("anna_t1", "sub-01-T1", "subject-1_T1w")] == [None] * 3


@pytest.mark.parametrize(
    ("entities", "given"),
    [("ce-gad", True), ("ce-none", False), ("acq-post", True), ("acq-axT1Gd", True), ("acq-ce", True),
     ("acq-pre", False), ("acq-nocontrast", False), ("acq-space", False), ("acq-postop", False), ("rec-norm", False)],
)  # fmt: skip
def test_whether_a_contrast_agent_was_given(entities, given):
    name = bids_name(f"sub-1_{entities}_T1w")
    assert name and name.has_contrast == given


@pytest.mark.parametrize(
    ("scan", "masks", "chosen", "refused"),
    [
        ("sub-1_run-2_T1w", ["sub-1_run-1_mask", "sub-1_run-2_mask"], 1, ()),
        ("sub-1_acq-a_T1w", ["sub-1_acq-b_mask", "sub-1_acq-a_rec-x_mask"], None, (0, 1)),
        ("sub-1_echo-1_part-mag_T1w", ["sub-1_mask"], 0, ()),
        ("sub-1_T1w", ["sub-1_run-1_mask", "sub-1_run-2_mask"], None, (0, 1)),
        ("sub-1_run-3_T1w", ["sub-1_run-1_mask", "sub-1_run-2_mask"], None, (0, 1)),
        ("sub-1_run-2_T1w", ["sub-1_run-1_mask"], None, (0,)),
        ("sub-1_run-2_T1w", ["sub-1_mask", "sub-1_run-2_label-x_res-1_mask"], 1, ()),
        ("sub-1_T1w", ["sub-1_desc-brain_mask", "sub-1_desc-bet_mask"], None, (0, 1)),
        ("sub-1_T1w", ["sub-1_space-MNI_mask"], None, ()),
        ("sub-1_space-MNI_T1w", ["sub-1_space-MNI_mask", "sub-1_mask"], 0, ()),
        ("sub-1_T1w", [], None, ()),
        ("sub-1_run-01_T1w", ["sub-1_run-1_mask"], 0, ()),
        ("sub-1_echo-2_run-1_T1w", ["sub-1_run-001_mask"], 0, ()),
        ("sub-1_acq-01_T1w", ["sub-1_acq-1_mask"], None, (0,)),
    ],
)
def test_the_mask_of_a_scan_has_its_entities_or_is_the_only_one(scan, masks, chosen, refused):
    names = {mask: name for mask in masks if (name := bids_name(mask))}
    of = bids_name(scan)
    assert of
    assert mask_of(of, names) == (None if chosen is None else masks[chosen], tuple(masks[n] for n in refused))


@pytest.mark.parametrize(
    ("scan", "others", "mask", "is_its"),
    [
        ("sub-1_T1w", ["sub-1_run-2_T1w"], "sub-1_run-2_mask", False),
        ("sub-1_T1w", ["sub-1_rec-norm_T1w"], "sub-1_rec-norm_mask", False),
        ("sub-1_T1w", ["sub-1_run-2_FLAIR"], "sub-1_run-02_mask", False),
        ("sub-1_T1w", ["sub-1_acq-a_run-2_T1w"], "sub-1_run-2_mask", False),
        ("sub-1_run-2_T1w", ["sub-1_T1w"], "sub-1_mask", False),
        ("sub-1_run-2_T1w", ["sub-1_T1w"], "sub-1_run-2_mask", True),
        ("sub-1_T1w", ["sub-1_run-2_T1w"], "sub-1_run-1_mask", True),
        ("sub-1_acq-mprage_T1w", ["sub-1_FLAIR"], "sub-1_mask", True),
        ("sub-1_T1w", ["sub-1_FLAIR"], "sub-1_mask", True),
        ("sub-1_ce-gad_T1w", ["sub-1_T1w"], "sub-1_mask", True),
    ],
)
def test_a_mask_that_agrees_better_with_another_scan_of_the_session_is_that_one_s(scan, others, mask, is_its):
    name, scans = bids_name(mask), [found for stem in (scan, *others) if (found := bids_name(stem))]
    assert name
    assert mask_of(scans[0], {mask: name}, scans) == ((mask, ()) if is_its else (None, (mask,)))
