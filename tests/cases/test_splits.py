"""Sections of a datalist: patients are dealt out whole, by the seed, and a leak is found."""

from __future__ import annotations

import pytest

from shared.cases.splits import check_splits, split_by_patient
from shared.runs.errors import DataListError


def test_check_splits_finds_a_patient_in_two_sections():
    visits = [{"case_id": f"p_{v}", "patient_id": "p"} for v in (1, 2)]
    check_splits({"training": visits, "test": [{"case_id": "q"}], "about": {}})
    with pytest.raises(DataListError, match="'p' is in 'training' and 'test'"):
        check_splits({"training": visits[:1], "test": visits[1:]})


def test_split_deals_out_patients_whatever_the_order():
    cases = [{"case_id": f"p{p:02d}_{v}", "patient_id": f"p{p:02d}"} for p in range(20) for v in range(3)]
    sections = split_by_patient(cases, (0.5, 0.25, 0.25), seed=1)
    assert [len(sections[s]) for s in ("training", "validation", "test")] == [30, 15, 15]
    check_splits(sections)
    assert split_by_patient(cases[::-1], (0.5, 0.25, 0.25), seed=1) == sections
    assert split_by_patient(cases, (0.5, 0.25, 0.25), seed=2) != sections


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_split_refuses_fractions_that_are_no_shares(fractions):
    with pytest.raises(DataListError, match="three shares"):
        split_by_patient([{"case_id": "a"}], fractions)


def test_a_case_that_is_listed_twice_is_named():
    with pytest.raises(DataListError, match="case_id 'a' occurs twice in 'test'"):
        check_splits({"test": [{"case_id": "a"}, {"case_id": "b"}, {"case_id": "a"}]})
