"""From a whole head to the mask of its brain, by deepbet: its networks, and what a brain must look like.

Fisch L et al. 2024, deepbet: fast brain extraction of T1-weighted MRI using convolutional neural networks. Computers in
Biology and Medicine 179:108845. The package holds its weights (MIT).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.utils import optional_import

from ..runs.errors import DataListError, InputError
from .volume import Volume, is_short
from .whole_head import MAX_BRAIN_LITRES, MAX_SKULL_FRACTION, skull_fraction

INSTALL = "pip install deepbet==1.0.2"
PREFERRED_SEQUENCES = ("t1", "t1ce", "flair", "t2", "pd")
"""Which sequence of a case its brain is extracted from: deepbet was trained on T1; on others it agrees within 3 %."""
# 23 brains that deepbet found in heads of IXI and of MS patients: 1.1 to 1.7 l, elongation 1.3 to 1.6, fill .94 to .97.
_MIN_LITRES = 0.3
_MAX_ELONGATION, _MIN_FILL = 2.0, 0.9
_OTHERWISE = "Extract the brain with another tool, such as HD-BET or SynthStrip, and pass its mask in the datalist"


def extractor() -> str:
    """Name and version of what extracts brains here, ``deepbet 1.0.2``; empty where it is not installed."""
    try:
        return f"deepbet {version('deepbet')}"
    except PackageNotFoundError:
        return ""


def how_to_extract(mode: str) -> str:
    """What a user can do so that brains are extracted in a mode, "auto" or "never"; empty where they are.

    Raises:
        DataListError: another mode.
    """
    if mode not in ("auto", "never"):
        raise DataListError(f"--extract_brain is auto or never, not '{mode}'")
    switch = "run with --extract_brain auto" if mode == "never" else ""
    return ", and ".join(filter(None, ("" if extractor() else INSTALL, switch)))


def is_head(volume: Volume, why: str | None, slices: bool = False) -> bool:
    """Whether a volume is a whole head; few ``slices`` are none.

    Args:
        volume: ``X Y Z``.
        why: it is no extracted brain, as :func:`~.whole_head.why_not_a_brain` says.
        slices: as for that function.
    """
    return bool(why) and not (slices and is_short(volume))


def brain_of_head(head: Volume, device: torch.device | str = "cpu") -> np.ndarray:
    """The brain of a whole head, ``X Y Z`` bool: the largest piece that deepbet finds, its holes filled.

    Args:
        head: ``X Y Z``, any orientation and spacing; T1 is best.
        device: where the networks run.

    Raises:
        InputError: nothing was found, or what was found is no brain by its size or its shape.
        ImportError: deepbet, or a package that it needs, is not installed; the message names it.
    """
    networks = _networks(str(torch.device(device)))
    try:
        _, found, _ = networks.run(nib.Nifti1Image(head.data, head.affine))
    except (AssertionError, ValueError) as error:  # so it says that it found nothing
        raise InputError(
            head.file, head.key, "is a whole head, and deepbet finds no brain in it", _OTHERWISE
        ) from error
    brain = np.asarray(found.dataobj) > 0
    if why := why_implausible(head, brain):
        raise InputError(
            head.file, head.key, f"was taken for a whole head, but what deepbet takes for its brain {why}", _OTHERWISE
        )
    return brain


def why_implausible(head: Volume, brain: np.ndarray) -> str:
    """Say why an extracted brain, ``X Y Z`` bool, cannot be one; empty if it may be one.

    Its volume, the ratio of the axes of the ellipsoid that has its moments, the share of that ellipsoid's volume that
    it fills, and whether bone lies under its surface.
    """
    litres = np.count_nonzero(brain) * head.voxel_litres
    if not _MIN_LITRES < litres < MAX_BRAIN_LITRES:
        return f"has {litres:.2f} l, a brain has 0.8 to 2.1 l (are the voxel sizes right?)"
    moments = np.linalg.eigvalsh(np.cov(head.affine[:3, :3] @ np.argwhere(brain).T))
    axes = np.sqrt(5 * moments)  # half axes, mm, smallest first
    elongation, fill = axes[-1] / axes[0], litres / (4e-6 / 3 * np.pi * np.prod(axes))
    if elongation > _MAX_ELONGATION:
        return f"is {elongation:.1f} times as long as it is wide (is the whole brain in the field of view?)"
    if fill < _MIN_FILL:
        return f"has the shape of no brain (fills {100 * fill:.0f} % of its ellipsoid)"
    alone = Volume(head.file, head.key, np.where(brain, head.data, 0), head.affine)
    return "still shows skull" if skull_fraction(alone) > MAX_SKULL_FRACTION else ""


@cache
def _networks(device: str) -> Any:
    """The networks of deepbet on a device, read once."""
    extraction, _ = optional_import("deepbet.bet", name="BrainExtraction", descriptor=f"{{}} ({INSTALL})")
    networks = extraction(no_gpu=True)  # else it takes the first GPU there is
    networks.model.to(device)
    networks.bbox_model.to(device)
    return networks
