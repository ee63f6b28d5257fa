"""Which patient a case is of, told from the names of folders and files alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Sequence

from .file_names import same_name

_DATE = r"(19|20)\d\d[-_.]?\d\d[-_.]?\d\d([-_.t]?\d{4,6}(\.\d+)?)?"
_VISIT = (
    r"(ses|session|visit|wave|round|run|tp|timepoint|week|month|year|day|scan|exam|study)([-_]\w+|\d+[a-z]?|[a-z])?"
    r"|(v|t|m|w|y|d|fu|mr|mri|ct)\d+|follow[-_. ]?up|baseline|bl|screening|admission|discharge"
    r"|(pre|post)([-_. ]?(op|operative|surgery|treatment|therapy))?|before|after|first|second|third|initial"
    rf"|early|late|acute|subacute|chronic|rescan|retest|{_DATE}"
)
_LAST_VISIT = re.compile(rf"[-_. ]({_VISIT})$", re.IGNORECASE)
_INNER_VISIT = re.compile(
    r"[-_. ](ses|session|visit|wave|tp|timepoint|week|month|year|day|scan|fu|v)[-_]?\d+[-_. ].*$", re.IGNORECASE
)  # what follows it is no part of the patient either
_SPAN = r"\d(\.\d+)?[-_. ]?t(esla)?|\d+(h|d|w|m|mo|y)|\d+[-_. ]?(hour|day|week|month|year)s?"  # 1.5T, 12m
_NUMBER = r"patient|pat|pt|p|subject|subj|sub|case|id"  # before the number of a patient
_LAST_SPAN = re.compile(rf"[-_. ]({_SPAN}|(19|20)\d\d)$", re.IGNORECASE)
_NO_SPAN = re.compile(rf"(.*[-_. ])?({_NUMBER}|s|training|test|site|group|study|brats)", re.IGNORECASE)
_NUMBERED_SCAN = re.compile(r"(brats(-[a-z]+)+-\d{4,5}|brats1[789](_\w+){2}|upenn-gbm-\d{5})[-_]\d+", re.IGNORECASE)
_GROUP = r"(site|cent(er|re)|hospital|scanner|group|cohort|batch|fold|part|task|dataset|study)[-_. ]?\d+"
_NUMBERED_PATIENT = re.compile(
    rf"(?!(.*[-_. ])?{_GROUP}[-_. ]\w+$)"
    r"(?P<patient>(.*[-_. ])?("
    rf"({_NUMBER}|s|training|test)([-_. ]?\d+|[-_. ][a-z])|(?!(19|20)\d\d[-_. ])\d+"
    r"))[-_. ]([a-z]|\d{1,2})",
    re.IGNORECASE,
)  # behind a patient's own number, which no year and no site is, a letter or a small number is a visit
_ONLY_VISIT = re.compile(f"{_VISIT}|{_SPAN}", re.IGNORECASE)
_PATIENT = re.compile(rf"({_NUMBER})[-_. ]?\d+", re.IGNORECASE)
_SMALL_NUMBER = re.compile(r"\d{1,2}|(19|20)\d\d")  # or a year
_NUMBERED_GROUP = re.compile(_GROUP, re.IGNORECASE)
_NO_PATIENT = re.compile(
    r"((train|test|val|valid)(ing|idation)?|(un|pre)?processed|preproc|raw|orig(inal)?s?)([-_ ]?(set|data))?",
    re.IGNORECASE,
)
_MOST_VISITS = 9
_BIDS = re.compile(r"sub-[A-Za-z0-9]+")


def patients_of(subjects: Sequence[tuple[str, str]]) -> list[str]:
    """Name the patients of subjects; where names leave it open, in favour of too few patients.

    What names a visit counts for nothing (``_ses-1``, ``_visit2``, ``week-4``, ``_T0``, ``_pre-op``, ``_12m``, ``_3T``,
    a date or year, the last number of ``BraTS-GLI-00001-000``). ``sub-XXX`` of BIDS is the patient. Else it is the
    folder, also where sessions lie in it, unless the folders of that level hold more names each than there are folders:
    they are sites or groups. A folder called ``train``, ``test``, ``val``, ``raw`` or ``preprocessed`` is no patient. A
    letter or a small number is a visit behind a patient's number (``p4_A``, ``case_001_2``). A small number in a folder
    (``anna/1``) is one too, but not where one folder alone holds such or where it holds more than nine. A name that
    goes on after another (``anna_bias``) is of that patient.

    Args:
        subjects: for each the folder, posix style, without those of images and sequences, and the name; either may be
            empty.
    """
    patients = [_BIDS.search(f"{place}/{name}") for place, name in subjects]
    paths = [() if bids else _path(place, name) for bids, (place, name) in zip(patients, subjects)]
    numbers: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in paths:
        if (at := _small_number(path)) is not None:
            numbers[path[:at]].add(path[at])
    many = {above for above, found in numbers.items() if len(numbers) == 1 or len(found) > _MOST_VISITS}
    chains = [_chain(path, many) for path in paths]
    while _level_is_of_groups([chain for chain in chains if chain]):
        chains = [chain[1:] or chain for chain in chains]
    named = [bids.group() if bids else "".join(chain[:1]) for bids, chain in zip(patients, chains)]
    spelling: dict[str, str] = {}
    for patient in named:
        spelling.setdefault(same_name(patient), patient)
    return [spelling[_shortest(same_name(patient), spelling)] for patient in named]


def _path(place: str, name: str) -> tuple[str, ...]:
    """The names from the top to the subject, this one without visits, and without folders of sections."""
    while (shorter := _without_visit(name)) != name:
        name = shorter
    parts = [part for part in (*place.split("/"), name) if part]
    return tuple(part for part in parts if not _NO_PATIENT.fullmatch(part)) or tuple(parts)


def _small_number(path: tuple[str, ...]) -> int | None:
    """The place of the first small number below folders that hold no number, or that of a group."""
    at = next((n for n, part in enumerate(path) if re.search(r"\d", part) and not _NUMBERED_GROUP.fullmatch(part)), 0)
    return at if at and _SMALL_NUMBER.fullmatch(path[at]) else None


def _chain(path: tuple[str, ...], numbered: Container[tuple[str, ...]]) -> tuple[str, ...]:
    """The path without visits, from a patient's number on, if there is one; where the subject repeats a folder, to it.

    Args:
        path: names from the top to the subject.
        numbered: folders in which small numbers are patients.
    """
    at = _small_number(path)
    patient = at if path[:at] in numbered else None
    visits = [bool(_ONLY_VISIT.fullmatch(part) or _SMALL_NUMBER.fullmatch(part)) for part in path]
    named = [part for n, part in enumerate(path) if n == patient or not visits[n]] or path
    chain = [_without_visit(part) for part in named]
    chain = chain[next((n for n, part in enumerate(chain) if _PATIENT.fullmatch(part)), 0) :]
    compared = [same_name(part) for part in chain]
    return tuple(chain[: compared.index(compared[-1]) + 1] if chain else ())


def _without_visit(name: str) -> str:
    if numbered := _NUMBERED_SCAN.fullmatch(name):
        return numbered.group(1)
    shorter = _INNER_VISIT.sub("", _LAST_VISIT.sub("", name))
    if (span := _LAST_SPAN.search(shorter)) and not _NO_SPAN.fullmatch(shorter[: span.start()]):
        shorter = shorter[: span.start()]  # "patient_2019" is a number
    behind = _NUMBERED_PATIENT.fullmatch(shorter)
    return behind["patient"] if behind else shorter


def _shortest(name: str, names: Container[str]) -> str:
    """The shortest of some names that a name begins with, up to a separator."""
    ends = [found.start() for found in re.finditer(r"[-_. ]", name)]
    return next((name[:end] for end in ends if name[:end] in names), name)


def _level_is_of_groups(chains: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first names are those of groups of patients: fewer than what each of them holds.

    What each of several folders holds by the same names is no patient (``anna/scan_a``, ``bert/scan_a``), unless these
    tell numbers alone apart.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for chain in chains:
        below[chain[0]] |= {same_name(chain[1])} if len(chain) > 1 else set()
    names = set[str]().union(*below.values())
    if all(map(_PATIENT.fullmatch, below)) or not names:
        return False
    alike = len(below) > 1 and all(found == names for found in below.values())
    numbered = len({re.sub(r"\d+", "#", name) for name in names}) == 1 and all(re.search(r"\d", n) for n in names)
    if alike and not numbered and not any(map(_NUMBERED_GROUP.fullmatch, below)):
        return False
    return sum(map(len, below.values())) > len(below) ** 2
