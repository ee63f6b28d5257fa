"""What the name of a file says: its ending, whose it is, which sequence, and whether it is an image at all."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from ..runs.errors import DataListError
from .bids_names import BidsName, bids_name

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

_SEQUENCE_OF_WORD = {
    **dict.fromkeys(("t1", "t1w", "t1n", "t1tse", "t1se", "t1mprage", "t1mpr"), "t1"),
    **dict.fromkeys(("t1ce", "t1c", "t1gd", "t1post", "t1+c", "t1wce", "t1wc", "t1wgd", "t1wks"), "t1ce"),
    **dict.fromkeys(("t2", "t2w", "t2tse", "t2se", "t2fse"), "t2"),
    **dict.fromkeys(("flair", "t2f", "t2flair"), "flair"),
    **dict.fromkeys(("pd", "pdw"), "pd"),
}
_OTHER_SEQUENCES = set(
    "dwi dti adc trace swi swan t2star t2starw bold asl cbf perf ct pet mra tof angio t1map t2map t1rho sbref epi "
    "inplanet1 inplanet2 unit1 mp2rage phasediff magnitude magnitude1 magnitude2 phase1 phase2 fieldmap".split()
)
_CONTRAST = {"ce", "gd", "gadolinium"}  # anywhere beside t1
_AFTER_T1 = {"c", "post", "postcontrast", "contrast", "pre", *_CONTRAST}  # right after it
_PREPARED = set(
    "brain bet hdbet synthstrip deepbet stripped skullstripped ss n4 bfc preproc reg registered coreg mni pp mprage 3d "
    "ax axial sag sagittal cor coronal tra".split()
)  # words that tell how a scan was made, not whose it is
_BRAIN_WORDS = {"brain", "bet", "hdbet", "synthstrip", "deepbet"}
_LESION = re.compile(r"lesion.*")
_LESION_PART = re.compile(r"(tumou?r|o?edema|core|necrosis|enhancing)s?\d*")
_TISSUE = re.compile(r"(wm|gm|csf|pve)\d*")
_DRAWN_BY = re.compile(r"(ground|manual|consensus|expert|rater|observer)\d*")
_TRUTH = re.compile(r"(label|gt|(ground)?truth|annotation)s?\d*")
_SEGMENTATION = re.compile(r"(seg|segm|segmentation)s?\d*")
_MASK = re.compile(r"(mask|roi)s?\d*")
_BRAIN_MASK = re.compile(r"brainmasks?|betmask|brainextractionmask")
_REGIONS = re.compile(r"(parc|aparc|aseg|wmparc|dseg|probseg|pveseg|atlas)\d*")


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
        words = _words("_".join([bids.suffix, *({"ce"} & {*bids.entities})]))
        kind = bids.mask_kind(pipeline) or _kind(words)
        subject = "_".join(f"{key}-{value}" for key, value in bids.scan.items() if key != "ce")
        return FileName(subject, _sequence(words)[0], kind, bids)
    words = _words(stem)
    sequence, used = _sequence(words)
    kind = _kind(words)
    used |= {place for place, word in words.items() if word in _PREPARED or _is_of_mask(word)}
    used |= {place for place in _last_of_mask(words) if kind != "image"}
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


def _words(stem: str) -> dict[int, str]:
    """The words of a name in lower case, by place among them and what is between them."""
    return {2 * n: word for n, word in enumerate(re.split(r"[-_. ]+", stem.lower()))}


def _sequence(words: Mapping[int, str]) -> tuple[str, set[int]]:
    """The sequence that words name, and the places of those that do so."""
    found = {place: _SEQUENCE_OF_WORD[word] for place, word in words.items() if word in _SEQUENCE_OF_WORD}
    names, used = set(found.values()), set(found)
    if names == {"t2", "flair"}:
        names = {"flair"}
    if "t1" in names:
        after = {p + 2 for p, name in found.items() if name == "t1" and words.get(p + 2) in _AFTER_T1}
        after |= {place for place, word in words.items() if word in _CONTRAST}
        if any(words[place] != "pre" for place in after):
            names = names - {"t1"} | {"t1ce"}
        used |= after
    if not names and "mprage" in words.values():
        return "t1", used
    if not names:
        used = {place for place, word in words.items() if word in _OTHER_SEQUENCES}
        names = {words[place] for place in used}
    return " and ".join(sorted(names)), used


def _is_of_mask(word: str) -> bool:
    patterns = (_LESION, _TRUTH, _SEGMENTATION, _MASK, _BRAIN_MASK, _REGIONS)
    return any(pattern.fullmatch(word) for pattern in patterns)


def _last_of_mask(words: Mapping[int, str]) -> list[int]:
    """Places of the last words, as far as they can be those of a mask: ``t1_tumor`` is one, ``tumor_1_t1`` is none."""
    patterns, last = (_LESION_PART, _TISSUE, _DRAWN_BY), list[int]()
    for place, word in reversed([*words.items()]):
        told = word in _PREPARED or _is_of_mask(word) or any(pattern.fullmatch(word) for pattern in patterns)
        if not (told or (words.get(place - 2) == "pve" and word.isdecimal())):
            break
        last.append(place)
    return last


def _kind(by_place: Mapping[int, str]) -> str:
    words, last = [*by_place.values()], [by_place[place] for place in _last_of_mask(by_place)]
    of_brain = bool(_BRAIN_WORDS & {*words})  # "t1_brain_seg" is tissue, or a lesion drawn on an extracted brain

    def has(pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(word) for word in words)

    if has(_LESION) or has(_TRUTH) or any(map(_LESION_PART.fullmatch, last)) or (has(_SEGMENTATION) and not of_brain):
        return "label"
    if has(_BRAIN_MASK) or (has(_MASK) and of_brain) or words[-2:] == ["brain", "segmentation"]:
        return "brain_mask"
    tissue = has(_SEGMENTATION) or has(_MASK) or has(_REGIONS) or any(map(_TISSUE.fullmatch, last))
    return "mask" if tissue else "image"
