"""How well a method's reconstruction explains tissue without a lesion: what is unexplained there hides lesions."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import ResampleToMatch
from nibabel.affines import voxel_sizes
from sklearn.metrics import r2_score

from ..brains.lesion_free import lesion_free
from ..runs.case_evaluator import leaving_out
from ..runs.engine import finished_cases
from ..runs.tables import write_csv

logger = logging.getLogger(__name__)


def lesion_free_fit(
    image: np.ndarray, reconstruction: np.ndarray, free: np.ndarray, fluid_below: float
) -> dict[str, float]:
    """Coefficient of determination R2 of a reconstruction: 1 is perfect, 0 as good as the image's mean.

    Args:
        image: ``X Y Z``.
        reconstruction: ``X Y Z``, in the same units.
        free: ``X Y Z`` bool, the voxels that count.
        fluid_below: darker voxels of the image are fluid.

    Returns:
        ``r2`` without fluid and ``r2_with_fluid``, where every even grey does well.
    """
    image, reconstruction = np.asarray(image, dtype=float), np.asarray(reconstruction, dtype=float)
    tissue = free & (image >= fluid_below)
    return {
        name: float(r2_score(image[counted], reconstruction[counted]))
        for name, counted in (("r2", tissue), ("r2_with_fluid", free))
    }


class LesionFreeFit:
    """Handler for an evaluator of an anomaly Inferer: write ``lesion_free_fit.csv``, a row per case and their mean.

    All is measured on the network's grid, in units of ``6 x / p90 - 3``, on the brain away from labelled lesions.

    Args:
        output_dir: where the table goes.
        margin_mm: around a lesion, that does not count.
        fluid_below: see :func:`lesion_free_fit`; 0 is half of the p90.
    """

    def __init__(self, output_dir: str, margin_mm: float = 5.4, fluid_below: float = 0.0) -> None:
        self.output_dir, self.margin_mm, self.fluid_below = output_dir, margin_mm, fluid_below
        self.onto = ResampleToMatch(mode="nearest")
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            with leaving_out(engine, case):
                image, brain = (np.asarray(case["image"][n]) for n in (0, -1))
                label = np.zeros_like(brain)
                if case.get("label") is not None:
                    label = np.asarray(self.onto(case["label"], img_dst=case["image"])[0])
                free = lesion_free(brain, label, voxel_sizes(np.asarray(case["image"].affine)), self.margin_mm)
                fit = lesion_free_fit(image, np.asarray(case["pred"][1].cpu()), free, self.fluid_below)
                self.rows.append({"case_id": str(case["case_id"]), **fit})

    def _write(self, engine: Engine) -> None:
        mean = {name: float(np.mean([row[name] for row in self.rows])) for name in ("r2", "r2_with_fluid")}
        write_csv(os.path.join(self.output_dir, "lesion_free_fit.csv"), [*self.rows, {"case_id": "mean", **mean}])
        logger.info("lesion-free tissue, %d cases: R2 %.3f, with fluid %.3f", len(self.rows), *mean.values())
