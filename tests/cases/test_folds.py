"""Folds: each patient is validated once, and nothing else moves."""

from __future__ import annotations

import pytest

from shared.cases.folds import cross_validation_fold
from shared.cases.splits import check_splits
from shared.runs.errors import DataListError

SECTIONS = {
    "training": [{"case_id": f"a{n}", "t1": f"a{n}.nii"} for n in range(30)],
    "validation": [{"case_id": f"b{n}", "t1": f"b{n}.nii"} for n in range(7)],
    "test": [{"case_id": f"c{n}", "t1": f"c{n}.nii"} for n in range(10)],
}


def names(cases) -> list[str]:
    return [case["case_id"] for case in cases]


def test_each_patient_is_validated_once_and_trained_on_in_all_other_folds():
    folds = [cross_validation_fold(SECTIONS, k) for k in range(5)]
    everyone = sorted(names(SECTIONS["training"] + SECTIONS["validation"]))
    assert sorted(name for fold in folds for name in names(fold["validation"])) == everyone
    assert sorted(len(fold["validation"]) for fold in folds) == [7, 7, 7, 8, 8]
    for fold in folds:
        check_splits(fold)
        assert sorted(names(fold["training"] + fold["validation"])) == everyone
        assert fold["test"] == SECTIONS["test"] and fold["training"][0]["t1"].endswith(".nii")


def test_folds_depend_on_the_seed_and_not_on_order_or_former_section():
    turned = {**SECTIONS, "training": SECTIONS["validation"], "validation": SECTIONS["training"][::-1]}
    assert cross_validation_fold(turned, 2) == cross_validation_fold(SECTIONS, 2)
    assert cross_validation_fold(SECTIONS, 2, seed=1) != cross_validation_fold(SECTIONS, 2)


def test_scans_of_a_patient_stay_together():
    scans = [{"case_id": f"p{n}_{visit}", "patient_id": f"p{n}"} for n in range(6) for visit in (1, 2)]
    for k in range(3):
        fold = cross_validation_fold({"training": scans, "validation": [], "test": []}, k, folds=3)
        check_splits(fold)
        assert len(fold["validation"]) == 4 and len(fold["training"]) == 8


@pytest.mark.parametrize(("fold", "patients"), [(5, 37), (-1, 37), (0, 4)])
def test_a_fold_that_cannot_be_is_an_error(fold, patients):
    cases = [{"case_id": str(n)} for n in range(patients)]
    with pytest.raises(DataListError, match=f"no fold {fold}: {patients} patients make the folds 0 to 4"):
        cross_validation_fold({"training": cases, "validation": [], "test": []}, fold)
