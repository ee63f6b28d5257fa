"""Names of files of BIDS (https://bids.neuroimaging.io): entities, suffix, and which mask belongs to which scan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"(?P<entities>sub-[A-Za-z0-9+]+(_[a-z]+-[A-Za-z0-9+.]+)*)(_(?P<suffix>.*))?")
_OF_DERIVATIVES = ("desc", "label", "res")  # entities that a mask has and its scan has not
_INDICES = ("run", "echo", "flip", "inv", "split", "chunk")  # numbers: run-01 is run-1
_LESION = re.compile(r"lesion|stroke|tumou?r|wmh", re.IGNORECASE)
_BRAIN = re.compile(r"brain|bet|strip", re.IGNORECASE)
_CONTRAST = re.compile(r"post(?!-?op)|gad|gd|(?<!pre)(?<!no)(?<!non)[ck]ontrast|^(t1w?)?(ce|c|km)$", re.IGNORECASE)
_NO_AGENT = ("none", "no", "pre", "without", "0")


@dataclass(frozen=True)
class BidsName:
    """Entities, by key in their order, and suffix (the rest) of a name such as ``sub-01_run-1_desc-brain_mask``."""

    entities: Mapping[str, str]
    suffix: str

    @property
    def scan(self) -> dict[str, str]:
        """The entities that a mask shares with its scan."""
        return {key: value for key, value in self.entities.items() if key not in _OF_DERIVATIVES}

    @property
    def has_contrast(self) -> bool:
        """Whether a contrast agent was given: ``ce-gadolinium``, ``acq-post``."""
        said = (self.entities.get(key, "") for key in ("acq", "rec", "desc"))
        return self.entities.get("ce", "none").lower() not in _NO_AGENT or any(map(_CONTRAST.search, said))

    @property
    def sequence(self) -> tuple[str, bool]:
        """What tells the sequence of a scan: the suffix, and the contrast agent."""
        return self.suffix, self.has_contrast

    @property
    def compared(self) -> dict[str, str | int]:
        """The entities that a mask shares with its scan, those that are indices as numbers."""
        return {k: int(v) if k in _INDICES and v.isdecimal() else v for k, v in self.scan.items()}

    @property
    def session(self) -> tuple[str, ...]:
        """Subject and session, such as ``sub-01``, ``ses-2``."""
        return tuple(f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities)

    def mask_kind(self, pipeline: str = "") -> str:
        """What a mask shows: ``brain_mask``, ``label`` (lesions), ``mask`` (it does not say); empty: it is no mask.

        Args:
            pipeline: folder in ``derivatives``, which speaks for a mask without ``desc`` and ``label``.
        """
        if self.suffix in ("dseg", "probseg"):
            return "mask"
        if self.suffix not in ("mask", "msk"):  # ISLES 2022 calls the label of a lesion "msk"
            return ""
        said = " ".join(self.entities.get(key, "") for key in ("desc", "label")).strip() or pipeline
        silent = "label" if self.suffix == "msk" else "mask"
        return "label" if _LESION.search(said) else "brain_mask" if _BRAIN.search(said) else silent


def bids_name(stem: str) -> BidsName | None:
    """Entities and suffix of a name without its ending; None where it has not the form of BIDS."""
    found = _NAME.fullmatch(stem)
    if not found:
        return None
    return BidsName(dict(part.split("-", 1) for part in found["entities"].split("_")), found["suffix"] or "")


def mask_of(
    scan: BidsName, masks: Mapping[str, BidsName], scans: Iterable[BidsName] = ()
) -> tuple[str | None, Sequence[str]]:
    """The mask that was made of a scan, among those of one kind in its session.

    It is the one whose entities all match, or the only one, unless it names another scan (``run-1`` for ``run-2``) or
    more of another scan's entities than of this one's. One in another space is none of it.

    Args:
        scan: name of the image.
        masks: names by path.
        scans: names of all images of the session.

    Returns:
        path of the mask, or None; and, where there are masks but none can be told to be that of the scan, their paths.
    """
    here = {path: name for path, name in masks.items() if name.scan.get("space") == scan.scan.get("space")}
    equal = [path for path, name in here.items() if name.compared == scan.compared]
    agreeing = [path for path, name in here.items() if _agree(scan, name) and not _is_of_another(name, scan, scans)]
    for chosen in (equal, agreeing if len(here) == 1 else []):
        if len(chosen) == 1:
            return chosen[0], ()
    return None, tuple(here)


def _agree(scan: BidsName, mask: BidsName) -> bool:
    return all(scan.compared.get(key, value) == value for key, value in mask.compared.items())


def _is_of_another(mask: BidsName, scan: BidsName, scans: Iterable[BidsName]) -> bool:
    """Whether a mask agrees with another scan better: in more entities, or in all with one of the same sequence."""
    shared = len(mask.compared.items() & scan.compared.items())
    return any(
        len(mask.compared.items() & other.compared.items()) > shared
        or (other.sequence == scan.sequence and other.compared == mask.compared)
        for other in scans
        if _agree(other, mask)
    )
