"""Sections of a datalist: no patient in two of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.errors import DataListError
from .file_names import same_name

SECTIONS = ("training", "validation", "test")


def check_splits(datalist: Mapping[str, Any]) -> None:
    """Check that no case is listed twice and no patient (``patient_id``, else ``case_id``) is in two sections.

    Names that a file system may take for one are one.

    Raises:
        DataListError: naming the case or patient and the sections.
    """
    section_of: dict[str, str] = {}
    for section, cases in ((s, c) for s, c in datalist.items() if isinstance(c, list)):
        named = [case for case in cases if isinstance(case, dict) and "case_id" in case]
        counts = Counter(same_name(str(case["case_id"])) for case in named)
        if repeated := [case["case_id"] for case in named if counts[same_name(str(case["case_id"]))] > 1]:
            names = " and ".join(f"'{name}'" for name in dict.fromkeys(repeated[:2]))
            raise DataListError(f"case_id {names} occurs twice in '{section}'; case ids must be unique")
        for name in {str(case.get(key)) for case in named for key in ("case_id", "patient_id") if case.get(key)}:
            if (other := section_of.setdefault(same_name(name), section)) != section:
                raise DataListError(f"'{name}' is in '{other}' and '{section}': leakage; split by patient")


def split_by_patient(
    cases: Sequence[Mapping[str, Any]], fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Deal patients (``patient_id``, else ``case_id``) to training, validation and test.

    The answer depends on the seed and the set of patients, not on the order of ``cases``.

    Raises:
        DataListError: ``fractions`` are not three non-negative numbers that sum to 1.
    """
    if len(fractions) != len(SECTIONS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataListError(f"fractions {tuple(fractions)} are not three shares (training, validation, test) of 1")
    by_patient: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: str(case["case_id"])):
        by_patient[str(case.get("patient_id", case["case_id"]))].append(dict(case))
    patients = sorted(by_patient)
    random.Random(seed).shuffle(patients)
    ends = [round(sum(fractions[: i + 1]) * len(patients)) for i in range(len(SECTIONS))]
    dealt = (sorted(patients[a:b]) for a, b in zip((0, *ends), ends, strict=False))
    return {s: [case for p in members for case in by_patient[p]] for s, members in zip(SECTIONS, dealt, strict=True)}
