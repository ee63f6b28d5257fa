"""The handler that searches fusion weights on labelled validation patients."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor

from ..runs.engine import finished_cases
from ..runs.tables import write_json
from .fusion import search_weights, simplex
from .residuals import check_errors, signed_residual

logger = logging.getLogger(__name__)


class FusionSearch:
    """Handler for an evaluator over labelled validation patients: search the fusion weights and write them as JSON.

    Args:
        sequences: in the order of the Inferer's channels.
        errors: by sequence, what counts as abnormal in it (`signed_residual`).
        path: of the file: ``weights`` by sequence, their ``dice``, ``cases``, and the ``table`` of all, best first.
        step: of the weights.

    Reads ``case_id``, and on the network's grid: ``image`` (``S+1 X Y Z``: sequences, brain mask), ``pred`` as the
    Inferer returned it (``1+S+1 X Y Z``: map, pseudo-healthy images in the units of ``image``, standard deviation) and
    ``grid_label`` (``1 X Y Z``).

    Raises:
        ValueError: an error is missing or unknown; in use: a case lacks a sequence or its label, has other channels, or
            as in `search_weights`.
    """

    def __init__(self, sequences: Sequence[str], errors: Mapping[str, str], path: str, step: float = 0.1) -> None:
        check_errors(errors, sequences)
        simplex(len(sequences), step)  # refuses a wrong step before hours of sampling, not after
        self.sequences, self.errors, self.path, self.step = list(sequences), errors, path, step
        self.residuals: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.brains: list[np.ndarray] = []
        self.cases: list[str] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            name = str(case["case_id"])
            if case.get("grid_label") is None:
                raise ValueError(f"case '{name}' has no grid_label: search with labelled cases only")
            image, pred, label = (
                convert_to_tensor(case[key], track_meta=False).detach().float().cpu()
                for key in ("image", "pred", "grid_label")
            )
            self._check(name, image, pred, label)
            pairs = zip(self.sequences, image, pred[1:])  # without brain mask and standard deviation
            residual = [signed_residual(x, healthy, self.errors[sequence]) for sequence, x, healthy in pairs]
            self.residuals.append(torch.stack(residual).numpy())
            self.labels.append(label[0].numpy())
            self.brains.append(image[-1].numpy())
            self.cases.append(name)

    def _check(self, name: str, image: torch.Tensor, pred: torch.Tensor, label: torch.Tensor) -> None:
        """Refuse what would be read as something else, or would not count for every sequence."""
        count, grid = len(self.sequences), image.shape[1:]
        for key, volume, channels in (("image", image, count + 1), ("pred", pred, count + 2), ("grid_label", label, 1)):
            if volume.shape != (channels, *grid):
                raise ValueError(
                    f"case '{name}': {key} must be {channels} channels on the network's grid {tuple(grid)}, got shape "
                    f"{tuple(volume.shape)}: search among {', '.join(self.sequences)}, without any postprocessing"
                )
        absent = [sequence for sequence, volume in zip(self.sequences, image) if volume.isnan().any()]
        if absent:
            raise ValueError(f"case '{name}' lacks {', '.join(absent)}: search with cases that have all sequences")
        if not (label > 0).any():
            raise ValueError(f"case '{name}' has no lesion in its grid_label: search without it")

    def _write(self) -> None:
        best, table = search_weights(self.residuals, self.labels, self.brains, self.step)
        rows: list[dict[str, Any]] = [{"weights": dict(zip(self.sequences, w)), "dice": dice} for w, dice in table]
        write_json(self.path, {**rows[0], "cases": self.cases, "table": rows})
        weights = ", ".join(f"{sequence} {weight:g}" for sequence, weight in zip(self.sequences, best))
        logger.info("%s: fusion weights %s; validation Dice %.3f", self.path, weights, table[0][1])
