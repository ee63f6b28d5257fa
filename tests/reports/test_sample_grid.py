"""The grid is read as a radiologist reads, holds the values it is given, and leaves the log of the losses readable."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from shared.reports.sample_grid import SampleGrid, image_grid


def test_anterior_is_up_and_the_right_of_the_patient_on_the_left():
    axial = torch.zeros(3, 4)  # X grows to the right, Y to the front
    axial[2, 3], axial[0, 3], axial[2, 0] = 1.0, 0.6, 0.2
    grid = image_grid([[axial]])
    assert grid.shape == (4, 3) and grid.dtype == np.uint8
    assert (grid[0, 0], grid[0, 2], grid[3, 0]) == (255, 153, 51)
    assert np.count_nonzero(grid) == 3


def test_rows_and_columns_are_in_the_order_given():
    rows = [[torch.full((2, 3), (3 * row + column) / 255) for column in range(3)] for row in range(2)]
    grid = image_grid(rows)
    assert grid.shape == (6, 6)
    assert np.array_equal(grid, np.kron(np.arange(6).reshape(2, 3), np.ones((3, 2))))


def test_values_are_cut_to_black_and_white_and_rounded():
    values = torch.tensor([[-0.3], [0.0], [0.5], [1.0], [7.0]], dtype=torch.bfloat16, requires_grad=True)
    assert image_grid([[values]]).tolist() == [[255, 255, 128, 0, 0]]


def shown(folder: Path) -> dict[int, np.ndarray]:
    """Images of the log by epoch."""
    log = EventAccumulator(str(folder / "samples"), size_guidance={"images": 0}).Reload()
    return {e.step: np.asarray(Image.open(io.BytesIO(e.encoded_image_string))) for e in log.Images("samples")}


def test_after_an_epoch_the_picture_is_replaced_and_the_log_keeps_all(tmp_path):
    folder, engine = tmp_path / "new" / "eval", Engine(lambda engine, batch: None)
    handler = SampleGrid(lambda: [[torch.full((3, 5), engine.state.epoch / 255)]], str(folder))
    handler.attach(engine)
    engine.run([0, 0], max_epochs=4)
    assert {f.name for f in folder.iterdir()} == {"samples.png", "samples"}
    picture = Image.open(folder / "samples.png")
    assert picture.mode == "L" and np.array_equal(np.asarray(picture), np.full((5, 3), 4))
    images = shown(folder)
    assert list(images) == [1, 2, 3, 4]
    assert all(image.shape[:2] == (5, 3) and (image == epoch).all() for epoch, image in images.items())


def test_losses_logged_beside_it_are_seen_while_the_training_runs(tmp_path):
    engine = Engine(lambda engine, batch: None)
    SampleGrid(lambda: [[torch.zeros(2, 2)]], str(tmp_path)).attach(engine)
    reader, seen = EventAccumulator(str(tmp_path)), []
    with SummaryWriter(str(tmp_path)) as log:

        @engine.on("EPOCH_STARTED")
        def look(engine: Engine) -> None:
            log.add_scalar("loss", 0.5, engine.state.epoch)
            log.flush()
            seen.append([event.step for event in reader.Reload().Scalars("loss")])

        engine.run([0], max_epochs=3)
    assert seen == [[1], [1, 2], [1, 2, 3]]
