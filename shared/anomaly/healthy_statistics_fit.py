"""The handler that collects the statistics of healthy scans at each place of a template."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from nilearn import datasets
from scipy.ndimage import distance_transform_edt

from ..brains.template_registration import RasGrid, register, sample, transformed
from ..brains.units import denormalise
from ..runs.case_evaluator import leaving_out
from ..runs.engine import finished_cases
from ..runs.weights import sha256
from .healthy_statistics import HealthyStatistics
from .residuals import SmoothedResidual, match_tissues

logger = logging.getLogger(__name__)

MIN_SHARE = 0.1
"""Of the scans that have brain at a place, below which its statistics are those of the nearest place with more."""

FLOOR = 0.5
"""Share of the median variance that is added everywhere: a variance of few scans can be 0. Chosen on validation."""

STEP_MM = 4
"""Of the template's grid: as fine as what is smoothed by 4 mm needs."""


def mni_template() -> tuple[torch.Tensor, RasGrid]:
    """The T1 brain of MNI152 (ICBM 2009a, nonlinear, symmetric) that nilearn brings, ``X Y Z``, and its grid."""
    image = datasets.load_mni152_template(resolution=STEP_MM)
    origin = tuple(float(mm) for mm in image.affine[:3, 3])
    return torch.from_numpy(image.get_fdata(dtype=np.float32)), RasGrid((STEP_MM,) * 3, origin)


class Moments:
    """Mean and variance over scans at each place of a template, where their brains are.

    Args:
        places: number of places.
        quantities: number of quantities.
    """

    def __init__(self, quantities: int, places: int) -> None:
        self.scans, self.weight = 0, torch.zeros(places, dtype=torch.float64)
        self.sums, self.squares = torch.zeros(2, quantities, places, dtype=torch.float64)

    def add(self, values: torch.Tensor, brain: torch.Tensor) -> None:
        """Values ``Q N`` of one scan, and how much of each place, ``N``, is brain."""
        self.scans += 1
        self.weight += brain
        self.sums += brain * values
        self.squares += brain * values.double().square()

    def fitted(self, shape: torch.Size) -> torch.Tensor:
        """``1 + 2 Q *shape``: share of the scans, then mean and standard deviation of each quantity."""
        share = (self.weight / self.scans).reshape(shape).float()
        count = self.weight.clamp(min=1e-6)
        mean = self.sums / count
        variance = (self.squares / count - mean.square()).clamp(min=0)
        variance = variance + FLOOR * variance[:, share.flatten() > 0.5].median(dim=1, keepdim=True).values
        values = torch.stack([mean, variance.sqrt()], dim=1).flatten(0, 1).float()
        nearest = distance_transform_edt(share <= MIN_SHARE, return_distances=False, return_indices=True)
        values = values[:, np.ravel_multi_index(nearest, shape)]
        return torch.cat([share[None], values])


class HealthyStatisticsFit:
    """Handler for an evaluator over healthy scans: where and how much they depart from their reconstruction.

    Args:
        path: of the file of statistics.
        residual: of an image and its reconstruction, or of an image alone (against 0).
        weights: file of the weights in use.
        settings: of the method that shape the residual; stored, so that a run with others is told.

    Reads ``image`` (normalised, with the brain mask as last channel), ``pred`` (map and reconstruction) and ``case_id``
    of each case, all on one grid. A scan that cannot be registered is named and left out.
    """

    def __init__(self, path: str, residual: SmoothedResidual, weights: str, settings: Mapping[str, Any]) -> None:
        self.path, self.residual, self.weights, self.settings = path, residual, weights, settings
        self.template, self.grid = mni_template()
        self.points = self.grid.points(self.template.shape)
        self.moments = Moments(2, len(self.points))
        self.cases: list[str] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            with leaving_out(engine, case):
                image, brain = (torch.as_tensor(np.asarray(channel))[None, None] for channel in case["image"])
                reconstruction = torch.as_tensor(np.asarray(case["pred"][1]))[None, None]
                grid = RasGrid(self.residual.spacing)
                registration = register((denormalise(image) * brain)[0, 0], grid, self.template, self.grid)
                if registration.problem:
                    logger.warning("case '%s' is left out: %s", case["case_id"], registration.problem)
                    continue
                matched = match_tissues(reconstruction, image, brain)
                quantities = [self.residual(image, drawn, brain) for drawn in (matched, torch.zeros_like(image))]
                volumes = torch.cat([brain, *quantities])[:, 0]
                at = sample(volumes, grid, transformed(registration.to_brain, self.points))
                self.moments.add(at[1:] / at[0].clamp(min=1e-3), at[0])
                self.cases.append(str(case["case_id"]))

    def _write(self) -> None:
        if not self.cases:
            logger.error("no healthy scan is left: no statistics are written")
            return
        about = {"weights_sha256": sha256(self.weights), "settings": dict(self.settings), "cases": self.cases}
        volumes = torch.cat([self.template[None], self.moments.fitted(self.template.shape)])
        HealthyStatistics(volumes, self.grid, about).save(self.path)
        logger.info("%s: statistics of %d healthy scans", self.path, len(self.cases))
