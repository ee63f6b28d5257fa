"""What healthy brains look like at each place of a template: the mean and the spread of a quantity, and their file.

A residual of a given size means little where people differ (sulci, fissures) and much where they do not (deep white
matter). A case is registered to the template, and each of its voxels is held against the healthy scans at its place.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.nifti1 import Nifti1Extension

from ..brains.template_registration import RasGrid, register, sample, transformed
from ..brains.units import denormalise
from ..runs.errors import WeightsError
from ..runs.files import replacing
from ..runs.weights import sha256

logger = logging.getLogger(__name__)

QUANTITIES = ("residual", "intensity")
VOLUMES = ("template", "share", *(f"{quantity} {value}" for quantity in QUANTITIES for value in ("mean", "sd")))
"""Of the file: the template, the share of the scans whose brain lies there, mean and standard deviation of each."""

STEP = 1 / 2000
"""Resolution of the values in the file; 16 bits hold -16 to 16."""


@dataclass(frozen=True)
class Expected:
    """What healthy scans have at each voxel of a case.

    Attributes:
        mean, sd: of a quantity, of the shape of the case.
        registered: whether they are those of the voxel's place, and not an average over the brain.
        notes: what is to be said of them in the report.
    """

    mean: torch.Tensor
    sd: torch.Tensor
    registered: bool
    notes: Sequence[str]

    def deviation(self, values: torch.Tensor) -> torch.Tensor:
        """How many standard deviations values lie above the mean."""
        return (values - self.mean) / self.sd

    @property
    def facts(self) -> dict[str, Any]:
        """Of the case (:mod:`~..runs.facts`)."""
        return {"registered": self.registered, "notes": list(self.notes)}


@dataclass(frozen=True)
class HealthyStatistics:
    """Contents of ``healthy_residual.nii.gz``.

    Attributes:
        volumes: ``6 X Y Z`` on the template's grid, by :data:`VOLUMES`.
        grid: of the template.
        about: ``weights_sha256``, ``settings`` of the residual by name, and ``cases``, the ids of the scans.
        stale: what they belong to where that is not in use: other weights, or other settings; empty where they fit.
    """

    volumes: torch.Tensor
    grid: RasGrid
    about: Mapping[str, Any]
    stale: str = ""

    def expected(self, image: torch.Tensor, brain: torch.Tensor, spacing: Sequence[float], quantity: str) -> Expected:
        """Register a case to the template, and say what healthy scans have at each of its voxels.

        Where it cannot be registered, the average over the template stands at every voxel, and a note says so.

        Args:
            image: ``1 1 X Y Z``, normalised.
            brain: of that shape, 0/1.
            spacing: of its voxels in mm; the axes are right, anterior, superior.
            quantity: one of :data:`QUANTITIES`.
        """
        first = VOLUMES.index(f"{quantity} mean")
        statistics, grid = self.volumes[first : first + 2], RasGrid(spacing)
        foreground = (denormalise(image) * brain)[0, 0].float().cpu()
        registration = register(foreground, grid, self.volumes[0], self.grid)
        notes = [f"the statistics of healthy scans belong to {self.stale}: run configs/healthy_residual.json"]
        notes = notes if self.stale else []
        if registration.problem:
            notes.append(f"not registered, so that the statistics of healthy scans fit less: {registration.problem}")
            brains = self.volumes[1] > 0.5
            mean, sd = (torch.full_like(image, float(values[brains].mean())) for values in statistics)
        else:
            places = transformed(registration.to_template, grid.points(foreground.shape))
            mean, sd = sample(statistics, self.grid, places, beyond="border").reshape(2, *image.shape).to(image)
        return Expected(mean, sd, not registration.problem, notes)

    def save(self, path: str | Path) -> None:
        """Write the file atomically: NIfTI of 16 bits, ``X Y Z 6``, with ``about`` as JSON in its header."""
        affine = np.diag([*self.grid.spacing, 1.0])
        affine[:3, 3] = self.grid.origin
        stored = np.round(self.volumes.numpy().transpose(1, 2, 3, 0) / STEP).clip(-32768, 32767).astype(np.int16)
        image = nib.Nifti1Image(stored, affine)
        image.header.set_slope_inter(STEP, 0)
        image.header.set_xyzt_units("mm")
        image.header.extensions.append(Nifti1Extension("comment", json.dumps(dict(self.about)).encode()))
        with replacing(path) as temporary:
            temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))  # equal statistics give equal files


def load_statistics(path: str, weights: str, settings: Mapping[str, Any]) -> HealthyStatistics:
    """Read the statistics; those that belong to other weights or settings than those in use are stale: a warning.

    Raises:
        WeightsError: the file is missing or holds no statistics.
    """
    remedy = "Run configs/healthy_residual.json on healthy scans."
    if not Path(path).is_file():
        raise WeightsError(f"{path}: statistics of healthy scans missing. {remedy}")
    try:
        image = nib.load(path)
        (extension,) = image.header.extensions
        about = json.loads(extension.get_content())
        volumes = torch.from_numpy(image.get_fdata(dtype=np.float32).transpose(3, 0, 1, 2).copy())
        if len(volumes) != len(VOLUMES):
            raise ValueError(f"{len(volumes)} volumes in place of {len(VOLUMES)}")
        grid = RasGrid(tuple(map(float, image.header.get_zooms()[:3])), tuple(map(float, image.affine[:3, 3])))
        stored, belongs = about["settings"], about["weights_sha256"]
    except Exception as error:  # nibabel raises many kinds for files that are broken or something else
        raise WeightsError(f"{path}: no statistics of healthy scans ({type(error).__name__}). {remedy}") from error
    used = json.loads(json.dumps(dict(settings)))  # as they are read from a file
    changed = [name for name in used if stored.get(name) != used[name]]
    stale = f"other settings ({', '.join(changed)})" if changed else ""
    stale = stale if belongs == sha256(weights) else f"other weights than {weights}"
    if stale:
        logger.warning("%s: its statistics belong to %s and may not fit. %s", path, stale, remedy)
    return HealthyStatistics(volumes, grid, about, stale)
