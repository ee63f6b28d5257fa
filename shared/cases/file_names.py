"""What the name of a file says: its ending, whose it is, which sequence, and whether it is an image at all."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass

from ..runs.errors import DataListError
from .bids_names import BidsName, bids_name
from .name_words import PREPARED, is_of_mask, kind_of, last_of_mask, sequence_of, words_of

SEQUENCES = ("t1", "t1ce", "t2", "flair", "pd")
MAPS = {"pred": "anomaly_mask", **{name: name for name in ("anomaly_map", "pseudo_healthy", "uncertainty")}}
"""The volumes that a bundle writes for a case, ``<case_id>_<name>.nii.gz``: names by key of the case."""
BRAIN_MASK, LABEL, OVERLAY = "brain_mask", "label", "overlay"
"""What else is written as ``<case_id>_<name>``: by the extraction of brains, MaC-DM's segmenter, and for a look."""
SAMPLE_FOLDERS, SAMPLES_TABLE = ("samples", "rejected"), "samples.csv"
"""What MaC-DM writes into the folder of a run: the images that it draws, and the table of them."""
MAX_CASE_ID_BYTES = 255 - max(len(f"._{name}.nii.gz.1234567") for name in (*MAPS.values(), BRAIN_MASK))
"""So that a name of 255 bytes, which file systems allow, holds the longest one, as it is called while it is written."""

NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
RADIOGRAPH = re.compile(r"\.(nii|nii\.gz|png|dcm|dicom)$", re.IGNORECASE)
"""Endings of the files that the bundles read: of brains, and of radiographs."""


def check_sequence(sequence: str) -> None:
    """Check the sequence that a user says an image is of.

    Raises:
        DataListError: it is none of :data:`SEQUENCES`.
    """
    if sequence not in SEQUENCES:
        raise DataListError(f"--sequence '{sequence}': write one of {', '.join(SEQUENCES)}")


@dataclass(frozen=True)
class FileName:
    """What a name says.

    Attributes:
        subject: what is left of the name without sequence, kind and words of processing; may be empty.
        sequence: one of :data:`SEQUENCES`, another one's own name, or several joined by " and "; empty: none is named.
        kind: ``image``, ``brain_mask``, ``label``, ``mask`` (of what, it does not say) or ``written`` (by a bundle).
        bids: entities of a name of BIDS.
    """

    subject: str
    sequence: str
    kind: str
    bids: BidsName | None = None


def stem_of(path: str | os.PathLike[str]) -> str:
    """The name of a file without the ending of an image, whatever other points it holds."""
    return RADIOGRAPH.sub("", os.path.basename(path))


def read_name(stem: str, pipeline: str = "") -> FileName:
    """Read a name without its ending: words between ``_``, ``-``, ``.`` and blanks, in any case and order.

    Args:
        stem: the name.
        pipeline: folder in ``derivatives`` of a file of BIDS (:meth:`~.bids_names.BidsName.mask_kind`).
    """
    bids, joined = bids_name(stem), f"_{re.sub('[-_. ]+', '_', stem.lower())}_"
    if any(f"_{name}_" in joined for name in (*MAPS.values(), OVERLAY)):
        return FileName(stem, "", "written")
    if bids:
        words = words_of(bids.suffix)
        sequence = sequence_of(words_of(f"{bids.suffix}_ce") if bids.has_contrast else words)[0]
        kind = bids.mask_kind(pipeline) or kind_of(words)
        if kind == "image" and not sequence:  # any other suffix is that of another image
            rest = [word for word in words.values() if word and word not in PREPARED and not word.isdecimal()]
            sequence = "_".join(rest)
        subject = "_".join(f"{key}-{value}" for key, value in bids.scan.items() if key != "ce")
        return FileName(subject, sequence, kind, bids)
    words = words_of(stem)
    sequence, used = sequence_of(words)
    kind = kind_of(words)
    used |= {place for place, word in words.items() if word in PREPARED or is_of_mask(word)}
    used |= {place for place in last_of_mask(words) if kind != "image"}
    parts = re.split(r"([-_. ]+)", stem)  # words at even places, what is between them at odd ones
    kept = [place for place in range(0, len(parts), 2) if place not in used and parts[place]]
    subject = "".join(parts[place] if place == kept[0] else "".join(parts[place - 1 : place + 1]) for place in kept)
    return FileName(subject, sequence, kind)


def same_name(name: str) -> str:
    """What two names share that a file system may take for one: neither case nor form of Unicode count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def split_sequence(stem: str, default: str) -> tuple[str, str]:
    """Split ``sub1_T1w`` into the subject ``sub1`` and the sequence ``t1``; ``default`` where none is named."""
    name = read_name(stem)
    return name.subject, name.sequence or default
