"""Grids of images drawn while a generative network trains: what its loss does not say, people see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image
from torch.utils.tensorboard import SummaryWriter


def image_grid(rows: Sequence[Sequence[torch.Tensor]]) -> np.ndarray:
    """Lay axial slices out as rows, each turned as it is read: anterior up, the patient's right on the left.

    Args:
        rows: of slices ``X Y`` in [0, 1], X growing to the patient's right, Y to the front (RAS), all of one size.

    Returns:
        ``height width`` uint8.
    """
    turned = [[np.asarray(x.detach().cpu().float().clamp(0, 1)).T[::-1, ::-1] for x in row] for row in rows]
    return (255 * np.block(turned)).round().astype(np.uint8)


class SampleGrid:
    """Handler for a trainer: after each epoch write ``samples.png`` and a TensorBoard image.

    Args:
        draw: makes the rows of :func:`image_grid`.
        output_dir: for the PNG, replaced each time, and ``samples``, the TensorBoard log that keeps all.
    """

    def __init__(self, draw: Callable[[], Sequence[Sequence[torch.Tensor]]], output_dir: str) -> None:
        self.draw, self.output_dir = draw, Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        grid = image_grid(self.draw())
        self.output_dir.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid).save(self.output_dir / "samples.png")
        # A folder of its own: TensorBoard reads the newest file of a folder alone, and would lose sight of the losses.
        with SummaryWriter(str(self.output_dir / "samples")) as log:
            log.add_image("samples", grid, engine.state.epoch, dataformats="HW")
