"""The artefacts of IterMask3D's detection task, each in five severities, on healthy scans."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandBiasField, Transform

from ..runs.errors import DataListError
from ..runs.seeds import derive_seed
from .extraction_failures import BrainCut, SkullLeftIn
from .image_artefacts import MissingChunk, Zipper
from .kspace_artefacts import Ghosting, HeadMotion, KSpaceNoise, KSpaceSpike

SEVERITIES = (1, 2, 3, 4, 5)
CLEAN = "clean"

_ZIPPER = (60 / 192, 90 / 192, 120 / 192)
_CHUNKS = (5 / 192, 15 / 192, 30 / 192, 45 / 192, 60 / 192)


def _unit_vectors(rng: np.random.Generator, count: int) -> list[list[float]]:
    vectors = rng.standard_normal((count, 3))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()


def _nothing(rng: np.random.Generator) -> dict[str, Any]:
    return {}


def _noise(rng: np.random.Generator) -> dict[str, Any]:
    return {"seed": int(rng.integers(2**32))}


def _direction(rng: np.random.Generator) -> dict[str, Any]:
    return {"direction": _unit_vectors(rng, 1)[0]}


def _movements(rng: np.random.Generator) -> dict[str, Any]:
    """Two before and two after the middle of the scan, whose lines hold nearly all of the contrast."""
    starts = np.array([0.02, 0.25, 0.53, 0.76]) + rng.uniform(0, 0.05, 4)
    intervals = np.stack([starts, starts + rng.uniform(0.08, 0.16, 4)], axis=1)
    axes = {"rotation_axes": _unit_vectors(rng, 4), "translation_axes": _unit_vectors(rng, 4)}
    return {"intervals": intervals.tolist(), **axes}


@dataclass(frozen=True)
class Artefact:
    """A transform ``1 X Y Z`` (RAS, 0 outside the brain) to ``1 X Y Z``, its levels, and what else is drawn for it.

    Attributes:
        transform: deterministic in its parameters.
        levels: by parameter, its value at severity 1 to 5.
        draw: the other parameters, plain numbers and lists; the same at every severity.
        moves_mask: the brain mask is that of the corrupted image, in place of the healthy one.
    """

    transform: Callable[..., Transform]
    levels: Mapping[str, Sequence[Any]]
    draw: Callable[[np.random.Generator], dict[str, Any]] = _nothing
    moves_mask: bool = False


# The paper's levels, of its released code: 0.003 for the noise, three stripes of 5/192, chunks of 30/192, coefficients
# of 0.1 (severity 3 of each), 4 for the spike and 2 for the ghosts (severity 5). It has no motion and no levels for
# failed extractions. MONAI's bias field is one of Legendre polynomials, that of the paper one of monomials.
ARTEFACTS: dict[str, Artefact] = {
    "gaussian_noise": Artefact(KSpaceNoise, {"level": (0.001, 0.002, 0.003, 0.006, 0.012)}, _noise),
    "zipper": Artefact(
        Zipper,
        {
            "positions": (_ZIPPER[1:2], _ZIPPER[1:2], _ZIPPER, _ZIPPER, (*_ZIPPER, 30 / 192, 150 / 192)),
            "width": (2 / 192, 5 / 192, 5 / 192, 8 / 192, 8 / 192),
        },
        _noise,
    ),
    "top_chunk": Artefact(partial(MissingChunk, top=True), {"thickness": _CHUNKS}),
    "middle_chunk": Artefact(partial(MissingChunk, top=False), {"thickness": _CHUNKS}),
    "bias_field": Artefact(
        partial(RandBiasField, degree=3, prob=1.0),
        {"coeff_range": tuple((coefficient, coefficient) for coefficient in (0.03, 0.06, 0.1, 0.2, 0.3))},
    ),
    "spike": Artefact(KSpaceSpike, {"level": (0.25, 0.5, 1.0, 2.0, 4.0)}),
    "ghosting": Artefact(Ghosting, {"intensity": (0.25, 0.5, 1.0, 1.5, 2.0)}),
    "motion": Artefact(HeadMotion, {"degrees": (1, 2, 4, 6, 10), "mm": (1, 2, 4, 6, 10)}, _movements),
    "skull_left_in": Artefact(SkullLeftIn, {"coverage": (0.02, 0.05, 0.1, 0.2, 0.4)}, _direction, moves_mask=True),
    "brain_cut": Artefact(BrainCut, {"share": (0.01, 0.03, 0.06, 0.12, 0.25)}, _direction, moves_mask=True),
}


def artefact_parameters(artefact: str, severity: int, case_id: str, seed: int = 0) -> dict[str, Any]:
    """Parameters of an artefact's transform for a case; what is drawn depends on all but the severity.

    Raises:
        DataListError: no such artefact or severity.
    """
    if artefact not in ARTEFACTS:
        raise DataListError(f"no artefact '{artefact}': choose from {', '.join(ARTEFACTS)}")
    if severity not in SEVERITIES:
        raise DataListError(f"no severity {severity} of {artefact}: choose from 1 (mild) to 5")
    kind = ARTEFACTS[artefact]
    levels = {name: values[severity - 1] for name, values in kind.levels.items()}
    return levels | kind.draw(np.random.default_rng(derive_seed(seed, case_id, artefact)))


def corrupted_cases(
    cases: Sequence[Mapping[str, Any]], artefacts: Sequence[str], severities: Sequence[int], seed: int = 0
) -> list[dict[str, Any]]:
    """Each case as it is, and once for each artefact and severity.

    Args:
        cases: healthy, each with a ``case_id``.
        artefacts: of `ARTEFACTS`.
        severities: of `SEVERITIES`.
        seed: of what is drawn.

    Returns:
        the cases with ``artefact`` (``"clean"`` as they are), ``severity`` (0 as they are), ``artefact_parameters`` and
        ``healthy_id``, the id of the healthy case; ``case_id`` has the artefact and severity added.

    Raises:
        DataListError: no such artefact or severity, or none at all.
    """
    if not artefacts or not severities:
        raise DataListError(f"choose artefacts of {', '.join(ARTEFACTS)} and severities of 1 (mild) to 5")
    listed: list[dict[str, Any]] = []
    for case in cases:
        name = case["case_id"]
        listed.append({**case, "healthy_id": name, "artefact": CLEAN, "severity": 0, "artefact_parameters": {}})
        for artefact in artefacts:
            for severity in severities:
                parameters = artefact_parameters(artefact, severity, name, seed)
                about = {"artefact": artefact, "severity": severity, "artefact_parameters": parameters}
                listed.append({**case, "case_id": f"{name}_{artefact}_{severity}", "healthy_id": name, **about})
    return listed


class Artefactd(MapTransform):
    """Corrupt images as `corrupted_cases` says; the rest of the preprocessing sees them as if they came from the file.

    Args:
        keys: images, ``1 X Y Z``, RAS, 0 outside the brain.
        mask_key: their brain mask; taken out where the artefact moves it, for
            :class:`~..brains.transforms.BrainMaskd` to find it again.

    Reads ``artefact`` and ``artefact_parameters`` of the case, and takes the latter out; without them it is clean.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "brain_mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        parameters = d.pop("artefact_parameters", {})
        if d.get("artefact", CLEAN) != CLEAN:
            kind = ARTEFACTS[d["artefact"]]
            for key in self.key_iterator(d):
                d[key] = kind.transform(**parameters)(d[key])
            if kind.moves_mask:
                del d[self.mask_key]
        return d
