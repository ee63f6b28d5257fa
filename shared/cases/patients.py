"""Which patient a case is of, told from the names of folders and files alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from .file_names import same_name

_VISIT = (
    r"(ses|session|visit|run|tp|timepoint|week|month|year|day|scan|exam|study)([-_]\w+|\d+)?"
    r"|(v|m|y|d|fu)\d+|followup|baseline|bl|preop|postop|pre|post|(19|20)\d\d[-_.]?\d\d[-_.]?\d\d"
)
_LAST_VISIT = re.compile(rf"[-_. ]({_VISIT})$", re.IGNORECASE)
_NUMBERED_SCAN = re.compile(r"(brats-[a-z]+-\d{5}|brats1[789](_\w+){2}|upenn-gbm-\d{5})[-_]\d+", re.IGNORECASE)
_ONLY_VISIT = re.compile(rf"({_VISIT})|\d{{1,2}}", re.IGNORECASE)
_BIDS = re.compile(r"sub-[A-Za-z0-9]+")


def patients_of(subjects: Sequence[tuple[str, str]]) -> list[str]:
    """Name the patients of subjects; where names leave it open, in favour of too few patients.

    What names a visit counts for nothing (``_ses-1``, ``_visit2``, ``week-4``, a date, the last number of
    ``BraTS-GLI-00001-000``). ``sub-XXX`` of BIDS is the patient. Else it is the folder, also where sessions lie in it,
    unless the folders of that level hold more names each than there are folders: they are sites or groups.

    Args:
        subjects: for each the folder, posix style, without those of images and sequences, and the name; either may be
            empty.
    """
    patients = [_BIDS.search(f"{place}/{name}") for place, name in subjects]
    chains = [() if bids else _chain(place, name) for bids, (place, name) in zip(patients, subjects)]
    while _level_is_of_groups([chain for chain in chains if chain]):
        chains = [chain[1:] or chain for chain in chains]
    named = [bids.group() if bids else "".join(chain[:1]) for bids, chain in zip(patients, chains)]
    spelling: dict[str, str] = {}
    return [spelling.setdefault(same_name(patient), patient) for patient in named]


def _chain(place: str, name: str) -> tuple[str, ...]:
    """The names from the top to the subject, without visits; where the subject repeats a folder, down to that."""
    while (shorter := _without_visit(name)) != name:
        name = shorter
    parts = [*(part for part in place.split("/") if part), name]
    named = [part for part in parts if part and not _ONLY_VISIT.fullmatch(part)] or [part for part in parts if part]
    chain = [_without_visit(part) for part in named]
    compared = [same_name(part) for part in chain]
    return tuple(chain[: compared.index(compared[-1]) + 1] if chain else ())


def _without_visit(name: str) -> str:
    numbered = _NUMBERED_SCAN.fullmatch(name)
    return numbered.group(1) if numbered else _LAST_VISIT.sub("", name)


def _level_is_of_groups(chains: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first names are those of groups of patients: fewer than what each of them holds."""
    below: dict[str, set[str]] = defaultdict(set)
    for chain in chains:
        below[chain[0]] |= {same_name(chain[1])} if len(chain) > 1 else set()
    return sum(map(len, below.values())) > len(below) ** 2
