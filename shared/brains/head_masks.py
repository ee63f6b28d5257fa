"""The masks of whole heads among the cases of a run: extracted once, kept as files, used again for the same head."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from ..cases.file_names import BRAIN_MASK, SEQUENCES
from ..runs.errors import InputError
from ..runs.nifti_files import write_like
from ..runs.weights import sha256
from .extraction import brain_of_head, extractor, how_to_extract, is_head
from .intensity_zero import with_zero
from .nifti import read_volume
from .volume import Volume
from .whole_head import why_not_a_brain

_OURS = "extracted by "

logger = logging.getLogger(__name__)


class HeadMasks:
    """Extract the brain of a case that is a whole head, and write its mask, ``<case_id>_brain_mask.nii.gz``.

    The mask is uint8, with the geometry of the head; its ``descrip`` says what it was made from, so that a mask is used
    again for the same head only.

    Args:
        output_dir: where masks go.
        mode: "auto", or "never": whole heads are refused.
        device: where the networks of the extraction run.

    Attributes:
        offer: what a user can do so that brains are extracted; empty where they are.

    Raises:
        DataListError: another mode.
    """

    def __init__(self, output_dir: str, mode: str = "auto", device: torch.device | str = "cpu") -> None:
        self.folder, self.device, self.offer = Path(output_dir), device, how_to_extract(mode)

    def file(self, case: Mapping[str, Any]) -> Path:
        """Where the mask of a case goes."""
        return self.folder / f"{case['case_id']}_{BRAIN_MASK}.nii.gz"

    def is_given(self, case: Mapping[str, Any]) -> bool:
        """Whether a case has a brain mask that was not extracted by a run with this folder."""
        mask = str(case.get("brain_mask") or "")
        own = Path(mask).resolve() == self.file(case).resolve() and _origin(mask).startswith(_OURS)
        return bool(mask) and not own

    def remove_other(self, case: Mapping[str, Any]) -> None:
        """Remove the mask that an earlier run extracted for a case of this name from a file that is none of this case.

        Where the case comes with a mask of its own, that of an earlier run is removed too. What was not extracted here
        stays, and so does a mask that the case itself names.
        """
        file = self.file(case)
        origin = _origin(file) if file.is_file() else ""
        inputs = [Path(case[key]) for key in ("image", *SEQUENCES, "brain_mask") if case.get(key)]
        if not origin.startswith(_OURS) or file.resolve() in [path.resolve() for path in inputs]:
            return
        if self.is_given(case) or origin.split()[-1] not in [sha256(path)[:40] for path in inputs if path.is_file()]:
            logger.warning(
                "case '%s': removing %s, extracted by an earlier run from another file", case["case_id"], file
            )
            file.unlink(missing_ok=True)

    def extract(self, case: Mapping[str, Any], head: Volume) -> Volume:
        """The brain mask of a case, ``X Y Z`` float32 0/1 on the grid of ``head``, which is one of its sequences.

        Raises:
            InputError: as :func:`~.extraction.brain_of_head`, and then no mask is left behind; or a file of its name is
                there that was not extracted here.
        """
        file, origin = self.file(case), f"{_OURS}{extractor()} {head.key} {sha256(head.file)[:40]}"
        found = _origin(file) if file.is_file() else None
        if found != origin:
            if found is not None and not found.startswith(_OURS):
                problem = "lies where the mask of a whole head is to go, and was not extracted here"
                raise InputError(
                    str(file), "brain_mask", problem, "Pass it in a datalist, or choose another --output_dir"
                )
            logger.info("case '%s': extracting the brain of a whole head", case["case_id"])
            if found is not None:  # of another head: it must not stay where this one has no brain
                file.unlink()
            write_like(file, brain_of_head(head, self.device).astype(np.uint8), head.file, origin)
        return read_volume(str(file), "brain_mask", slices=True)

    def write_brain(self, case: Mapping[str, Any]) -> Path:
        """Write the scan of a case, ``<case_id>.nii.gz``, 0 outside the brain, beside its mask; returns its path.

        Where the case cannot be used now, what an earlier run has written of one of its name does not stay.

        Args:
            case: ``case_id``, ``image`` (the file of a whole head) and the name of its ``sequence``.

        Raises:
            InputError: as :meth:`extract`, a file that cannot be read, or one that is no whole head.
        """
        file, mask = self.folder / f"{case['case_id']}.nii.gz", self.file(case)
        earlier = mask.is_file() and _origin(mask).startswith(_OURS)
        try:
            head = with_zero(read_volume(case["image"], case["sequence"]))
            if not is_head(head, why_not_a_brain(head)):
                remedy = "Leave it out, if its brain was extracted before"
                raise InputError(head.file, head.key, "is no whole head", remedy)
            write_like(file, head.data * self.extract(case, head).data, head.file)
        except InputError:
            if earlier:
                logger.warning("case '%s': removing its brain and mask of an earlier run", case["case_id"])
                file.unlink(missing_ok=True)
                mask.unlink(missing_ok=True)
            raise
        return file


def _origin(mask: str | Path) -> str:
    try:
        return bytes(nib.load(mask).header["descrip"]).rstrip(b"\0").decode(errors="replace")
    except (OSError, EOFError, nib.filebasedimages.ImageFileError):
        return ""  # not of ours
