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
    ],
)
def test_the_mask_of_a_scan_has_its_entities_or_is_the_only_one(scan, masks, chosen, refused):
    names = {mask: name for mask in masks if (name := bids_name(mask))}
    of = bids_name(scan)
    assert of
    assert mask_of(of, names) == (None if chosen is None else masks[chosen], tuple(masks[n] for n in refused))
