"""The cases of a folder of NIfTI files, told from their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runs.errors import DataListError
from .file_names import SEQUENCES, same_name
from .folder_files import FolderFile, counted, read_folder
from .patients import patients_of
from .scan_masks import ScanMasks

_SHOWN = 10  # names in an error
_SAY = "Rename them, say which it is with --sequence, or list nnU-Net's _0000, _0001 ... with --channels"


class FoundCases(list[dict[str, Any]]):
    """Cases, and in ``passed_over`` what else was where they were found: how many files, and why.

    Raises:
        DataListError: the outputs of two cases would have one name.
    """

    def __init__(self, cases: Iterable[dict[str, Any]], passed_over: Sequence[str] = ()) -> None:
        super().__init__(cases)
        self.passed_over = list(passed_over)
        first: dict[str, dict[str, Any]] = {}
        for case in self:
            other = first.setdefault(same_name(case["case_id"]), case)
            if other is not case:
                files = " and ".join(
                    next(str(c[key]) for key in ("image", *SEQUENCES, "case_id") if key in c) for c in (other, case)
                )
                raise DataListError(f"{files} are both called '{case['case_id']}'; rename one of them")


def cases_of_folder(folder: Path, sequence: str) -> FoundCases:
    """One case per image below a folder, with its label and brain mask (:class:`~.scan_masks.ScanMasks`).

    Raises:
        DataListError: no folder, no image in it that is of the sequence or whose name states none.
    """
    files, passed_over = read_folder(folder)
    scans, others = _of_sequences(files, ("", sequence))
    if not scans:
        stated = sorted({file.name.sequence for file in files if file.name.kind == "image"} & {*SEQUENCES})
        remedy = f"; choose another sequence with --sequence {' or '.join(stated)}" if stated else ""
        raise DataListError(f"0 images of {sequence} below {folder}: {_why(files, others + passed_over)}{remedy}")
    masks = ScanMasks(files)
    cases = [
        {"case_id": scan.stem.replace("/", "_"), "image": str(scan.path), "sequence": sequence, **masks.of(scan)}
        for scan in scans
    ]
    unused = counted(masks.unused(cases), "named as masks or labels, of none of the images")
    return FoundCases(cases, others + unused + passed_over)


def subjects_of_folder(folder: Path, unnamed: str, channels: Sequence[str] = ()) -> FoundCases:
    """One case per subject: ``{"case_id", "patient_id", <sequence>: path, ...[, "brain_mask"][, "label"]}``.

    Where its sequences have masks of their own, ``brain_mask`` is that of the last of :data:`~.file_names.SEQUENCES`,
    ``t1_brain_mask`` and so on those of the others, and so with labels. With the names of BIDS a session is a case, and
    a further file of a sequence in it, such as another run, one of its own.

    Args:
        folder: of files whose names hold subject and sequence, or that lie in a folder for each subject or sequence.
        unnamed: sequence of a file whose name says none; empty: such a file is an error.
        channels: as for :func:`~.folder_files.read_folder`.

    Raises:
        DataListError: no folder, no image in it, one without a sequence, or two of one sequence of a subject.
    """
    files, passed_over = read_folder(folder, channels)
    scans, others = _of_sequences(files, ("", *SEQUENCES, unnamed))
    if not scans:
        raise DataListError(f"0 images below {folder}: {_why(files, others + passed_over)}")
    if nameless := [scan.stem for scan in scans if not (scan.name.sequence or unnamed)]:
        names = ", ".join(nameless[:_SHOWN]) + (", ..." if len(nameless) > _SHOWN else "")
        raise DataListError(
            f"{len(nameless)} of {len(scans)} names below {folder} state none of {', '.join(SEQUENCES)}: {names}. "
            + ("Rename them or leave them out" if len(nameless) < len(scans) else _SAY)
        )
    subjects, masks = _by_subject(scans, unnamed, folder), ScanMasks(files)
    firsts = [next(iter(subject.values())) for subject in subjects.values()]
    patients = patients_of([(first.place, first.name.subject) for first in firsts])
    cases = [
        {
            "case_id": _case_id(place, name) or folder.name,
            "patient_id": patient or folder.name,
            **{sequence: str(scan.path) for sequence, scan in subject.items()},
            **_masks(subject, masks),
        }
        for ((place, name), subject), patient in zip(subjects.items(), patients)
    ]
    unused = counted(masks.unused(cases), "named as masks or labels, of none of the images")
    return FoundCases(cases, others + unused + passed_over)


def _by_subject(
    scans: Iterable[FolderFile], unnamed: str, folder: Path
) -> dict[tuple[str, str], dict[str, FolderFile]]:
    """The scans by place and name of the subject, and by sequence."""
    subjects: dict[tuple[str, str], dict[str, FolderFile]] = {}
    spelling: dict[tuple[str, str], tuple[str, str]] = {}
    for scan in scans:
        sequence = scan.name.sequence or unnamed
        key = spelling.setdefault((scan.place, same_name(_session(scan))), (scan.place, _session(scan)))
        if scan.name.bids and sequence in subjects.get(key, ()):
            key = (scan.place, scan.name.subject)
        subject = subjects.setdefault(key, {})
        if sequence in subject:
            whose = f"are both the {sequence} of '{_case_id(*key) or folder.name}'; keep one of them"
            raise DataListError(f"{subject[sequence].path} and {scan.path} {whose}")
        subject[sequence] = scan
    return subjects


def _of_sequences(files: Iterable[FolderFile], sequences: Sequence[str]) -> tuple[list[FolderFile], list[str]]:
    """The images of some sequences, and notes on those that state another one."""
    scans, others = list[FolderFile](), defaultdict[str, list[FolderFile]](list)
    for file in files:
        if file.name.kind == "image" and file.name.sequence in sequences:
            scans.append(file)
        elif file.name.kind == "image":
            others[file.name.sequence].append(file)
    return scans, [note for name, group in sorted(others.items()) for note in counted(group, f"named {name}")]


def _why(files: Iterable[FolderFile], notes: Sequence[str]) -> str:
    """What is there in place of images."""
    masks = [file for file in files if file.name.kind != "image"]
    return "; ".join([*counted(masks, "named as masks or labels"), *notes])


def _session(scan: FolderFile) -> str:
    """The subject of a scan, with names of BIDS its session."""
    if scan.name.bids is None:
        return scan.name.subject
    space = scan.name.bids.entities.get("space")
    return "_".join([*scan.name.bids.session, *([f"space-{space}"] if space else [])])


def _case_id(place: str, subject: str) -> str:
    """Place and subject in one name, without folders that the subject repeats."""
    folders = [part for part in place.split("/") if part and not same_name(subject).startswith(same_name(part))]
    if subject.startswith("sub-"):
        folders = [part for part in folders if not part.startswith(("sub-", "ses-"))]
    return "_".join([*folders, subject] if subject else folders)


def _masks(scans: Mapping[str, FolderFile], masks: ScanMasks) -> dict[str, str]:
    """The masks of a subject, of its last sequence that has one, and those of the others by their sequence."""
    found = {name: masks.of(scans[name]) for name in sorted(scans, key=[*SEQUENCES, *scans].index)}
    taken = {key: mask for case in found.values() if "reason" not in case for key, mask in case.items()}
    if refused := [case for case in found.values() if "reason" in case and case["missing"] not in taken]:
        return refused[-1]
    by_sequence = [(name, key, mask) for name, case in found.items() for key, mask in case.items() if key in taken]
    return {**taken, **{f"{name}_{key}": mask for name, key, mask in by_sequence if mask != taken[key]}}
