"""From masks that a segmenter of radiographs predicts to label maps, as files on the grid of the radiograph's own."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from PIL import Image

from ..cases.file_names import LABEL, NIFTI
from ..runs.engine import finished_cases
from ..runs.files import replacing
from ..runs.nifti_files import write_like
from .screen import from_screen
from .transforms import from_square

logger = logging.getLogger(__name__)


class LabelMapd(MapTransform):
    """Bring predicted masks back to the grid of the file and lay them over each other.

    Args:
        keys: probabilities ``C S S`` of C structures on the square of :class:`~.transforms.SquareResized`.

    They become the volume of the file (:mod:`~.screen`) without channels, uint8, with its affine: n where the n-th
    structure is more likely than not, the last one of several, else 0. So MONAI Label writes it as it is; what it
    would fit to the metadata of ``image`` is right already, and ``image`` is to have none. Reads ``native_image``, the
    radiograph as :class:`~.transforms.ReadRadiographd` leaves it.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        native = d["native_image"]
        shape = [int(side) for side in native.meta["volume_shape"]]
        affine = np.asarray(native.meta["volume_affine"], dtype=np.float64)
        for key in self.key_iterator(d):
            likely = from_square(convert_to_tensor(d[key]).float().cpu(), native.shape[1:]) > 0.5
            label = np.zeros(native.shape[1:], np.uint8)
            for value, mask in enumerate(np.asarray(likely), 1):
                label[mask] = value
            d[key] = MetaTensor(from_screen(label, shape, affine).copy(), affine=torch.from_numpy(affine))
        return d


class LabelMaps:
    """Handler for an evaluator: write ``<case_id>_label`` of each finished case, a NIfTI file for NIfTI, else a PNG.

    Pixel for pixel it is the file of the radiograph, with the geometry of its NIfTI header; the values are those of
    :class:`LabelMapd`.
    MONAI's ``SaveImage`` knows one format, and no 2D images without resampling.

    Args:
        output_dir: where they go.

    Reads of each finished case ``case_id``, ``native_image`` and ``pred``.
    """

    def __init__(self, output_dir: str) -> None:
        self.folder = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for case in finished_cases(engine):
            file, label = case["native_image"].meta["filename_or_obj"], np.asarray(case["pred"])
            path = self.folder / f"{case['case_id']}_{LABEL}{'.nii.gz' if NIFTI.search(file) else '.png'}"
            if NIFTI.search(file):
                write_like(path, label, file)
            else:
                with replacing(path) as temporary:
                    Image.fromarray(label[..., 0].T.copy()).save(temporary, "PNG")
            logger.info("label map: %s", path)
