"""Write a datalist (JSON, Decathlon style) for the bundles: ``python -m tools.make_datalist KIND SOURCE OUTPUT.json``.

KIND says how SOURCE is laid out:

- ``folder``: NIfTI files whose names hold a subject and a sequence in any order and case, such as
  ``anna_t1_brain.nii.gz`` or ``BraTS-GLI-00001-000-t2f.nii.gz``, or that lie in a folder for each subject or sequence.
  ``--sequence`` says which it is where no name does, ``--channels`` what nnU-Net's ``_0000``, ``_0001`` are. Labels
  (``seg``, ``label``, ``lesion``, ``gt``, ``labelsTr``) and brain masks (``brain_mask``) go to the scan of their name.
  The patient is the ``sub-XXX`` in the path, the folder of a subject, or the name without ``_ses-1``, ``_visit2``.
- ``bids``: ``sub-*/[ses-*/]anat/*_{T1w,T2w,FLAIR,PDw}.nii.gz``; a session is a case and all of a subject stay together.
  Sessions without ``--sequence`` are left out. Masks (``*_desc-brain_mask``, ``*_label-lesion_mask``), also in
  ``derivatives``, go to the scan whose entities they have, or are the only one of the session and agree with no other
  scan better. A scan whose mask cannot be told is left out and named, with exit code 2.
- ``brats2020``, ``brats2021``: the folder of ``BraTS20_Training_001``, ... or of ``BraTS2021_00000``, ...
- ``wmh``: the WMH segmentation challenge, ``Utrecht/0/pre/FLAIR.nii.gz``, ``pre/T1.nii.gz`` and ``wmh.nii.gz``.
- ``msd``: Medical Segmentation Decathlon ``Task01_BrainTumour``. Its files are 4D and the bundles take 3D: each
  labelled file is split into one per sequence in the folder ``<OUTPUT>_volumes`` beside OUTPUT (several GB in all).
- ``ixi``, ``ixi_raw``, ``lgg2d``, ``ms_mni``: the folders of ``../shared/data``, with the split they bring. Scans that
  ``findings.csv`` of an ``ixi`` folder calls not healthy are left out.
- ``chest_xray``, ``lgg2d_slices``: for MaC-DM, the chest radiographs of ``../shared/data`` (``tibia_mask`` is that of
  the lungs; no lesion masks) and axial FLAIR slices of its ``lgg2d`` (``tibia_mask`` is that of the brain), written as
  PNG to the folder ``<OUTPUT>_slices`` beside OUTPUT (28 MB). Class 1 is abnormal, or has a lesion.
- ``implanted``: ``../shared/data`` itself. Its IXI validation and test subjects with the SOOP lesions of
  ``implanted_lesions.csv`` at three contrasts, written beside OUTPUT (about 25 MB), and the same subjects healthy.
- ``merge``: the datalists (``*.json``) below SOURCE become one. A case of a single sequence is listed as ``image``, so
  that one network can learn from several sequences.

Other sets need no KIND of their own: BraTS since 2023 and multiple sclerosis of Ljubljana (Lesjak 2017, "MSLUB") are
``folder``, ATLAS 2.0 is ``bids``, and ISLES 2022 ``bids --sequence flair`` (its labels are drawn on the DWI: bring them
to the grid of the FLAIR first). With ``--fractions 0 0 1`` all cases are for the test.

With ``--fold K`` the patients of training and validation are dealt anew, the K-th of five parts to the validation.
Patients, not files, are dealt to the sections, by the seed; too few rather than too many where names leave it open, and
empty sections are named. Paths are relative to OUTPUT. The same image in two sections, under any name, is an error.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.cases.datalist_files import PATHS, read_datalist, resolve_path
from shared.cases.file_names import SEQUENCES
from shared.cases.folder_cases import FoundCases, subjects_of_folder
from shared.cases.folds import cross_validation_fold
from shared.cases.radiograph_cases import MASKS
from shared.cases.splits import SECTIONS, check_splits, split_by_patient
from shared.datasets.bids_cases import bids_cases
from shared.datasets.brain_sources import (
    brats_cases,
    ixi_sections,
    lgg2d_sections,
    ms_mni_sections,
    wmh_cases,
)
from shared.datasets.implants import implanted_sections
from shared.datasets.msd_cases import msd_cases
from shared.datasets.radiograph_sources import chest_xray_cases, lgg2d_slice_sections
from shared.runs.errors import DataListError, InputError
from shared.runs.tables import write_json

Case = dict[str, Any]
_IMPLANTED_LESIONS = Path(__file__).with_name("implanted_lesions.csv")
_PATHS = (*PATHS, *MASKS)


def folder_cases(source: Path, options: argparse.Namespace) -> list[Case]:
    """Cases of a folder of NIfTI files; the sequences of one subject are one case."""
    found = subjects_of_folder(source.absolute(), options.sequence or "", options.channels)
    return FoundCases(
        ({k: v for k, v in case.items() if k != "patient_id" or v != case["case_id"]} for case in found),
        found.passed_over,
    )


def lgg2d_slices(source: Path, options: argparse.Namespace) -> dict[str, list[Case]]:
    """Axial FLAIR slices of the lower-grade gliomas, written beside the output, with their own split of patients."""
    folder = options.output.with_name(options.output.stem + "_slices")
    return lgg2d_slice_sections(source, _rows(source / "patients.csv"), folder)


def merged_sections(source: Path, options: argparse.Namespace) -> dict[str, list[Case]]:
    """Sections of all datalists below a folder, in the order of their paths."""
    sections: dict[str, list[Case]] = {section: [] for section in SECTIONS}
    files = [file for file in sorted(source.rglob("*.json")) if file.resolve() != options.output.resolve()]
    if not files:
        raise DataListError(f"0 datalists (*.json) below {source}")
    for file in files:
        listed = read_datalist(file)
        for section in SECTIONS:
            for case in listed.get(section, []):
                base = file.parent.absolute()
                case = {k: resolve_path(v, base) if k in _PATHS else v for k, v in case.items()}
                present = [s for s in SEQUENCES if s in case]
                if len(present) == 1:
                    case["image"] = case.pop(present[0])
                sections[section].append(case)
    return sections


# KIND -> cases to be dealt out, or sections where the source brings its split. A new KIND is one line here.
KINDS: dict[str, Callable[[Path, argparse.Namespace], list[Case] | dict[str, list[Case]]]] = {
    "folder": folder_cases,
    "bids": lambda source, options: bids_cases(source.absolute(), options.sequence or "t1"),
    "brats2020": lambda source, _: brats_cases(source, "BraTS20_"),
    "brats2021": lambda source, _: brats_cases(source, "BraTS2021_"),
    "wmh": lambda source, _: wmh_cases(source),
    "msd": lambda source, options: msd_cases(
        source, _load(source / "dataset.json"), options.output.with_name(options.output.stem + "_volumes")
    ),
    "ixi": lambda source, _: ixi_sections(source, _rows(source / "subjects.csv"), _findings(source)),
    "ixi_raw": lambda source, _: ixi_sections(source, [], _findings(source)),
    "lgg2d": lambda source, _: lgg2d_sections(source, _rows(source / "patients.csv")),
    "ms_mni": lambda source, _: ms_mni_sections(source),
    "chest_xray": lambda source, _: chest_xray_cases(source, _rows(source / "split.csv")),
    "lgg2d_slices": lgg2d_slices,
    "implanted": lambda source, options: implanted_sections(source, _rows(_IMPLANTED_LESIONS), options.output.parent),
    "merge": merged_sections,
}


def write_datalist(sections: dict[str, list[Case]], output: Path, about: dict[str, Any]) -> None:
    """Write the list with paths relative to it; ``about`` says how it was made."""
    check_splits(sections)
    from shared.datasets.duplicates import check_duplicates  # late: --help answers at once

    check_duplicates(sections)
    base = Path(os.path.abspath(output)).parent
    listed = {
        s: [{k: _relative(v, base) if k in _PATHS else v for k, v in c.items()} for c in sections[s]] for s in SECTIONS
    }
    base.mkdir(parents=True, exist_ok=True)
    write_json(output, {"about": about, **listed})


def _relative(path: str, base: Path) -> str:
    try:
        return Path(os.path.relpath(os.path.abspath(path), base)).as_posix()
    except ValueError:  # another drive on Windows
        return Path(path).absolute().as_posix()


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataListError(f"{file} cannot be read ({error}); SOURCE must be the folder that holds it") from error


def _findings(source: Path) -> list[dict[str, str]]:
    file = source / "findings.csv"
    return _rows(file) if file.exists() else []


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise DataListError(
            f"{file} cannot be read ({error.strerror}); SOURCE must be the folder that holds it"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with one line on stderr when no list can be made, 2 where cases were left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("output", type=Path, metavar="OUTPUT.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fractions", type=float, nargs=3, default=(0.8, 0.1, 0.1), metavar=("TRAIN", "VAL", "TEST"))
    help_of_sequence = "of files whose name says none (folder), or that every case must have (bids: t1)"
    parser.add_argument("--sequence", choices=SEQUENCES, help=help_of_sequence)
    numbered = "sequences that nnU-Net numbers _0000, _0001 ..., in their order (folder)"
    parser.add_argument("--channels", nargs="+", choices=SEQUENCES, default=(), metavar="SEQUENCE", help=numbered)
    parser.add_argument("--fold", type=int, metavar="K", help="0 to 4, of a cross-validation; the test stays")
    options = parser.parse_args(arguments)
    try:
        if not options.source.is_dir():
            raise DataListError(f"{options.source} is not a folder")
        found = KINDS[options.kind](options.source, options)
        refused: list[Case] = []
        if isinstance(found, FoundCases):
            refused = [case for case in found if "reason" in case]
            for note in found.passed_over:
                print(f"passed over: {note}", file=sys.stderr)
            for case in refused:
                print(f"'{case['case_id']}' left out: {case['reason']}. {case['remedy']}.", file=sys.stderr)
        if isinstance(found, list):
            found = [case for case in found if case not in refused]
            sections = split_by_patient(found, options.fractions, options.seed)
            split: dict[str, Any] = {"seed": options.seed, "fractions": list(options.fractions)}
        else:
            sections, split = found, {"split": "the source's own"}
        if options.fold is not None:
            sections = cross_validation_fold(sections, options.fold, options.seed)
            split |= {"fold": options.fold, "seed": options.seed}
        write_datalist(sections, options.output, {"kind": options.kind, **split})
    except (DataListError, InputError) as error:
        print(f"make_datalist: {error}", file=sys.stderr)
        return 1
    patients = {case.get("patient_id", case["case_id"]) for cases in sections.values() for case in cases}
    if empty := [section for section in SECTIONS if not sections[section] and isinstance(found, list)]:
        told = f"the names tell of {len(patients)} patients" if len(patients) != 1 else f"all are of '{patients.pop()}'"
        print(f"0 cases in {' and '.join(empty)}: {told}, and a patient is in one section", file=sys.stderr)
    print(f"{options.output}: " + ", ".join(f"{len(sections[s])} {s}" for s in SECTIONS) + " cases")
    return 2 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
