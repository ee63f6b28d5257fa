"""One map and one mask of a case out of the finished runs of several bundles, and what the report says of it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.affines import voxel_sizes

from ..anomaly.components import LargeComponentsd
from ..anomaly.consensus import geometric_mean
from ..anomaly.overmarked import RefuseOvermarkedd
from ..brains.intensity_zero import IntensityZerod
from ..brains.loading import LoadVolumesd
from ..brains.one_grid import are_one_grid
from ..brains.transforms import BrainMaskd
from ..brains.volume import Grid
from ..cases.file_names import BRAIN_MASK
from ..runs.errors import InputError
from .case_picture import case_picture
from .saved_maps import SaveCaseMapsd

_MAX_SHARE = 0.5  # of the brain, as for the bundles


@dataclass(frozen=True)
class Member:
    """A finished run of a bundle.

    Attributes:
        name: of the bundle, in short.
        folder: of its outputs.
        rows: of its report, by case id.
        failures: why it has no result, by case id.
    """

    name: str
    folder: Path
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str, folder: Path) -> Member:
        """The run whose ``report.json`` lies in a folder."""
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        failures = {case["case_id"]: case["error"] for case in report["failures"]}
        return cls(name, folder, {row["case_id"]: row for row in report["cases"]}, failures)

    def file(self, case_id: str, name: str) -> Path:
        """Of a case: ``anomaly_map``, ``pseudo_healthy``, ..."""
        return self.folder / f"{case_id}_{name}.nii.gz"


def fuse(case: Mapping[str, Any], members: Sequence[Member], output_dir: Path) -> tuple[dict[Hashable, Any], bytes]:
    """Write the consensus of the members' maps of a case: ``<case_id>_anomaly_map`` and ``<case_id>_anomaly_mask``.

    Args:
        case: ``case_id``, ``image`` and, if there, ``brain_mask``, ``label`` and ``group``.
        members: one without a result of this case is left out, and a warning in the report says so.
        output_dir: where the volumes go.

    Returns:
        The case with ``native_image``, ``native_brain_mask``, ``anomaly_map``, ``pred``, ``label`` where there is one,
        and the ``row`` of the report; and its picture, with the pseudo-healthy brain of the first member.

    Raises:
        InputError: no member has a result, a map lies on another grid than the image, or over half is marked.
    """
    case_id = str(case["case_id"])
    there = [member for member in members if case_id in member.rows]
    absent = [f"{one.name}: {one.failures.get(case_id, 'its run failed')}" for one in members if one not in there]
    if not there:
        problem = f"no bundle has a result ({'; '.join(absent)})"
        raise InputError(str(case["image"]), "image", problem, "See the messages of the bundles above")
    extracted = [str(file) for one in there if (file := one.file(case_id, BRAIN_MASK)).is_file()]
    files: dict[Hashable, Any] = {key: value for key, value in case.items()}
    files |= {"brain_mask": extracted[0]} if extracted else {}
    d = IntensityZerod("image")(LoadVolumesd(["image", "brain_mask", "label"])(files))
    head = np.asarray(d["image"][0]) if extracted else None
    d = dict(BrainMaskd("image")(d))
    d["native_image"], d["native_brain_mask"] = d["image"], d["brain_mask"]
    fused = geometric_mean([_map_of(one, case_id, d["image"]) for one in there]) * np.asarray(d["brain_mask"])
    for key, values in (("anomaly_map", fused), ("pred", (fused > 1).astype(np.uint8))):
        d[key] = MetaTensor(torch.from_numpy(values), meta=dict(d["image"].meta))
    d = RefuseOvermarkedd("pred", _MAX_SHARE)(LargeComponentsd("pred")(d))
    d = dict(SaveCaseMapsd(str(output_dir))(d))
    d["row"] = _row(d, there, absent)
    drawn = np.asarray(_load(there[0].file(case_id, "pseudo_healthy"))[-1])
    image, anomaly_map, mask = (np.asarray(d[key][0]) for key in ("image", "anomaly_map", "pred"))
    label = np.asarray(d["label"][0]) if "label" in d else None
    return d, case_picture(image, drawn, anomaly_map, mask, np.asarray(d["image"].affine), label, head)


def _load(file: Path) -> MetaTensor:
    return LoadVolumesd("volume")({"volume": str(file)})["volume"]


def _map_of(member: Member, case_id: str, image: MetaTensor) -> np.ndarray:
    """The anomaly map of a member, ``1 X Y Z``, on the grid of the image."""
    found = _load(file := member.file(case_id, "anomaly_map"))
    if not are_one_grid(Grid.of(found), Grid.of(image)):
        problem = f"lies on another grid than {image.meta['filename_or_obj']}"
        raise InputError(str(file), "anomaly_map", problem, "Give sequences on one grid, or leave this bundle out")
    return np.asarray(found)


def _row(d: Mapping[Hashable, Any], there: Sequence[Member], absent: Sequence[str]) -> dict[str, Any]:
    """What the report says of a case."""
    brain = np.asarray(d["native_brain_mask"]) > 0
    rows = {one.name: one.rows[d["case_id"]] for one in there}
    first = rows[there[0].name]
    return {
        "case_id": d["case_id"],
        "anomaly_ml": float(np.asarray(d["pred"]).sum() * np.prod(voxel_sizes(np.asarray(d["pred"].affine))) / 1000),
        "members": list(rows),
        "score": float((np.asarray(d["anomaly_map"])[brain] > 1).mean()),
        **{f"{name}_ml": row["anomaly_ml"] for name, row in rows.items()},
        **{key: first[key] for key in ("brain_litres", "brain_from")},
        "warnings": [
            *(f"without {reason}" for reason in absent),
            *(f"{name}: {warning}" for name, row in rows.items() for warning in row["warnings"]),
        ],
    }
