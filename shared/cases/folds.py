"""Cross-validation over the patients of a datalist that may be used for choosing: those of training and validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from monai.data import partition_dataset

from ..runs.errors import DataListError

FOLDS = 5
_CHOOSING = ("training", "validation")


def cross_validation_fold(
    sections: Mapping[str, Sequence[Mapping[str, Any]]], fold: int, seed: int = 0, folds: int = FOLDS
) -> dict[str, list[dict[str, Any]]]:
    """Deal the patients of training and validation anew: one fold of them is the validation, the others the training.

    Over all folds each patient (``patient_id``, else ``case_id``) is validated once. The folds depend on the seed and
    the set of patients, not on their order or former section, and differ by one patient at most. The test stays.

    Args:
        sections: cases by section.
        fold: which one is the validation, 0 ... folds - 1.
        seed: of the deal.
        folds: their number.

    Raises:
        DataListError: there is no such fold, or there are fewer patients than folds.
    """
    by_patient: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case in sorted((case for s in _CHOOSING for case in sections[s]), key=lambda case: str(case["case_id"])):
        by_patient[str(case.get("patient_id", case["case_id"]))].append(dict(case))
    if not 0 <= fold < folds or len(by_patient) < folds:
        raise DataListError(f"there is no fold {fold}: {len(by_patient)} patients make the folds 0 to {folds - 1}")
    dealt = partition_dataset(sorted(by_patient), num_partitions=folds, shuffle=True, seed=seed)
    held = set(dealt[fold])
    parts = {s: [p for p in by_patient if (p in held) == (s == "validation")] for s in _CHOOSING}
    dealt_anew = {s: [case for p in patients for case in by_patient[p]] for s, patients in parts.items()}
    return {**{s: [dict(case) for case in cases] for s, cases in sections.items()}, **dealt_anew}
