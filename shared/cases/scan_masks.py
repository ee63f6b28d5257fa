"""Which brain mask and which label belong to which scan of a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from .bids_names import BidsName, mask_of
from .file_names import BRAIN_MASK, LABEL
from .folder_files import FolderFile


class ScanMasks:
    """The masks and labels of the scans of a folder.

    Args:
        files: of the folder, the scans among them.
    """

    def __init__(self, files: Iterable[FolderFile]) -> None:
        self.masks: dict[tuple[str, str], list[FolderFile]] = defaultdict(list)
        self.subjects: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.scans: dict[str, list[BidsName]] = defaultdict(list)
        for file in files:
            if file.name.kind == "image":
                self.scans[file.place] += [file.name.bids] if file.name.bids else []
                self.subjects[file.place].add(file.subject)
            else:
                self.masks[file.place, file.name.kind].append(file)

    def of(self, scan: FolderFile) -> dict[str, str]:
        """What a case gets from its scan: ``brain_mask`` and ``label``, or why it is refused.

        A mask is that of the scan whose subject and sequence its name states, or of all sequences of the subject where
        it states none; where a folder holds one subject, the only one is its. With the names of BIDS all entities
        match, or there is only one (:func:`~.bids_names.mask_of`).

        Returns:
            the paths by key; where it cannot be told which mask is that of the scan, ``missing``, ``reason`` and
            ``remedy`` in place of them.
        """
        case: dict[str, str] = {}
        for kind in (BRAIN_MASK, LABEL):
            own, others = self._find(scan, kind)
            if own:
                case[kind] = str(own.path)
            elif others:
                names = ", ".join(sorted(file.path.name for file in others))
                remedy = "Name it after the scan, or make a datalist that says which it is"
                return {"missing": kind, "reason": f"cannot be told which {kind} is its: {names}", "remedy": remedy}
        return case

    def _find(self, scan: FolderFile, kind: str) -> tuple[FolderFile | None, Sequence[FolderFile]]:
        """The mask of a scan; where it cannot be told, those that it could be."""
        masks = [m for m in self.masks.get((scan.place, kind), []) if m.name.sequence in ("", scan.name.sequence)]
        own = [mask for mask in masks if mask.subject == scan.subject or (scan.name.bids and mask.name.bids)]
        own = [mask for mask in own if mask.name.sequence] or own
        if scan.name.bids and own:
            by_path = {str(mask.path): mask for mask in own}
            names = {path: mask.name.bids for path, mask in by_path.items() if mask.name.bids}
            chosen, others = mask_of(scan.name.bids, names, self.scans[scan.place])
            return by_path[chosen] if chosen else None, [by_path[path] for path in others]
        if not own and len(self.subjects[scan.place]) == 1 and len(masks) == 1:
            own = masks
        return (own[0], ()) if len(own) == 1 else (None, own)

    def unused(self, cases: Iterable[Mapping[str, str]]) -> list[FolderFile]:
        """The masks and labels that no case has."""
        used = {path for case in cases for path in case.values()}
        return [mask for masks in self.masks.values() for mask in masks if str(mask.path) not in used]
