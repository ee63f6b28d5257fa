"""Cases of which any of several sequences may be given: as one 3D file each, or as the volumes of one 4D file."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..runs.errors import DataListError
from .datalist_files import PATHS, masks_of, read_section, resolve_listed, resolve_path
from .datalists import gather_cases
from .file_names import SEQUENCES, check_sequence, split_sequence, stem_of
from .folder_cases import FoundCases, subjects_of_folder

NAME_VOLUMES = """Name the volumes of a 4D --image in the order of the file: --channels "['flair','t1','t1ce','t2']\""""

_REFUSED = ("reason", "missing", "remedy")


def gather_sequence_cases(
    sequences: Sequence[str],
    files: Mapping[str, str | None] | None = None,
    image: str | None = None,
    dataset_dir: str | None = None,
    datalist: str | None = None,
    section: str = "test",
    sequence: str = "flair",
    channels: Sequence[str] = (),
) -> FoundCases:
    """List the cases of files of one brain, of a folder, or of one section of a datalist, with what each has.

    Args:
        sequences: that are used, in the method's fixed order; a case needs one of them.
        files: by sequence, of one brain in one session: one case; empty ones are ignored.
        image: a NIfTI file: one case, named after the file.
        dataset_dir: a folder: one case per subject, whose name and sequence its files state, with its label and brain
            mask (:func:`~.folder_cases.subjects_of_folder`).
        datalist: a Decathlon-style JSON list; its relative paths start at the list file.
        section: section of the datalist.
        sequence: that an ``image``, here or in a datalist, or a file whose name says none holds.
        channels: names of the volumes of such files, which are then 4D; empty where they are 3D.

    Returns:
        Cases ``{"case_id", "image", "sequence"[, <other sequence> ...][, "brain_mask"][, "label"][, "group"]}``, paths
        absolute: ``image`` is the primary sequence (:func:`primary_of`) and ``sequence`` its name; for a 4D file that
        is ``"image"``. Named sequences go before an ``image`` of the same case. A case with none of the ``sequences``
        has a ``reason`` and what is ``missing``, and one whose mask cannot be told a ``remedy``: the door reports it.

    Raises:
        DataListError: an unknown sequence, not exactly one source given, a file of a sequence that is not used, nothing
            found, a wrong list, a repeated case, leakage.
    """
    check_sequence(sequence)
    files = {name: file for name, file in (files or {}).items() if file}
    sources = {"image": image, "dataset_dir": dataset_dir, "datalist": datalist}
    chosen = [name for name, value in sources.items() if value not in (None, "")]
    if len(chosen) + bool(files) != 1:
        found = " and ".join(f"--{name}" for name in (*files, *chosen)) or "none"
        any_of = ", ".join(f"--{name} FILE" for name in sequences)
        raise DataListError(
            f"pass the sequences of one brain (any of {any_of}), or one of --image FILE, --dataset_dir FOLDER or "
            f"--datalist LIST.json; {found} given"
        )
    named = {name: f"--{name} FILE" for name in files}
    named |= {sequence: f"--image FILE --sequence {sequence}"} if image and not channels else {}
    if wrong := [option for name, option in named.items() if name not in sequences]:
        raise DataListError(f"{wrong[0]}: not one of the sequences in use ({', '.join(sequences)})")
    unnamed = "image" if channels else sequence
    if files:
        listed = FoundCases(
            [_of_files({name: resolve_path(str(file), Path.cwd()) for name, file in files.items()}, sequences)]
        )
    elif image:
        listed = gather_cases(image=image)
    elif dataset_dir:
        listed = subjects_of_folder(Path(resolve_path(dataset_dir, Path.cwd())), unnamed)
    else:
        list_file = Path(resolve_path(str(datalist), Path.cwd()))
        listed = FoundCases(_resolved(case, list_file) for case in read_section(list_file, section))
    return FoundCases((_case(entry, sequences, unnamed) for entry in listed), listed.passed_over)


def primary_of(present: Collection[str], sequences: Sequence[str]) -> str:
    """The last of the ``sequences``, in their fixed order, that is present: it gives a case its grid and picture.

    Raises:
        ValueError: none is present.
    """
    known = [name for name in sequences if name in present]
    if not known:
        raise ValueError(f"none of the sequences {', '.join(sequences)} is there, only {', '.join(present)}")
    return known[-1]


def check_channels(channels: Sequence[str], sequences: Sequence[str]) -> str:
    """Check the names of the volumes of 4D files.

    Returns:
        the primary sequence of such a file (:func:`primary_of`).

    Raises:
        DataListError: no list, a name that is none of a sequence or occurs twice, or none of the ``sequences``.
    """
    wrong = [] if isinstance(channels, str) else [name for name in channels if name not in SEQUENCES]
    if isinstance(channels, str) or wrong or len(set(channels)) < len(channels):
        rule = f"a list with a name for each volume, of {', '.join(SEQUENCES)}, none twice"
        raise DataListError(f"--channels {channels}: {rule}. {NAME_VOLUMES}")
    if not set(channels) & set(sequences):
        rule = f"the weights know only {', '.join(sequences)}"
        raise DataListError(f"--channels {list(channels)}: {rule}. {NAME_VOLUMES}")
    return primary_of(channels, sequences)


def _of_files(files: Mapping[str, str], sequences: Sequence[str]) -> dict[str, str]:
    folder, name = os.path.split(files[primary_of(files, sequences)])
    return {"case_id": split_sequence(stem_of(name), "")[0] or os.path.basename(folder), **files}


def _resolved(listed: Mapping[str, str], list_file: Path) -> dict[str, str]:
    paths = {key: listed.get(key) for key in PATHS}
    found = resolve_listed(paths, listed["case_id"], list_file)
    return {"case_id": listed["case_id"], **found, "group": str(listed.get("group") or "")}


def _case(listed: Mapping[str, str], sequences: Sequence[str], unnamed: str) -> dict[str, str]:
    """A case of what was found, ``image`` being of the sequence ``unnamed``."""
    case = {"case_id": listed["case_id"], **({"group": listed["group"]} if listed.get("group") else {})}
    if "reason" in listed:
        return {**case, "sequence": unnamed, **{key: listed[key] for key in _REFUSED}}
    present = {name: listed[name] for name in sequences if name in listed}
    if present:
        primary = primary_of(present, sequences)
        return {**case, **masks_of(listed, primary), "image": present.pop(primary), "sequence": primary, **present}
    if "image" in listed and unnamed in ("image", *sequences):
        return {**case, **masks_of(listed), "image": listed["image"], "sequence": unnamed}
    found = ", ".join(name for name in ("image", *SEQUENCES) if name in listed)
    reason = f"has none of {', '.join(sequences)} (it has {found})"
    return {**case, "sequence": unnamed, "reason": reason, "missing": " or ".join(sequences)}
