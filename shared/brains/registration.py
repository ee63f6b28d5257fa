"""Rigid registration of the further sequences of a case to its image, for a patient who moved between them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import itk
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.itk_torch_bridge import metatensor_to_itk_image
from monai.transforms import Compose, MapTransform, ScaleIntensityRangePercentilesd

from .transforms import Spacingd
from .volume import SHORT_STACK_MM, Grid

MAX_MM, MAX_DEGREES = 30.0, 20.0  # nobody moves further within a head coil
_MM = 3.0  # voxels that are compared: moves are found to a tenth of them
_LEVELS = (2, 1)  # times as large, one after the other
_BINS, _FIRST_STEP_MM, _LAST_STEP_MM, _MAX_STEPS = 32, 2.0, 0.001, 200
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's axes; its own inverse
_Image = itk.Image[itk.F, 3]
_Metric = itk.MattesMutualInformationImageToImageMetricv4[_Image, _Image]
_Transform = itk.VersorRigid3DTransform[itk.D]


class RegisterRigidd(MapTransform):
    """Move the sequences of a case so that they lie on its image: their affines change, their voxels stay.

    Args:
        keys: sequences, ``1 X Y Z``, heads or brains; those a case does not have are passed over.
        image_key: image to lie on; of its channels, ``C X Y Z``, the first counts.

    Adds to the ``notes`` of the case how far each was moved; moves of more than 30 mm or 20 degrees, and those that
    do not make the two more alike, are not made.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image, other = d[self.image_key][:1], d[key]
            if min(*_extent(image), *_extent(other)) < SHORT_STACK_MM:
                note = "not registered: a stack of few slices does not show how it lies"
            else:
                move, better = register_rigid(image, other)
                mm, degrees = size_of(move, Grid.of(image))
                note = f"moved by {mm:.1f} mm and turned by {degrees:.1f} degrees"
                if mm > MAX_MM or degrees > MAX_DEGREES:
                    note = f"not registered: it would have been {note}, which is not likely"
                elif better:
                    d[key] = other.clone()
                    d[key].affine = torch.from_numpy(move) @ other.affine
                    note = f"registered: {note}"
                else:
                    note = "stays where it is: no rigid move makes it more like the image"
            d["notes"] = [*d.get("notes", []), f"{key}: {note}"]
        return d


def _extent(image: MetaTensor) -> np.ndarray:
    """In mm along each axis."""
    return np.asarray(image.shape[1:]) * np.asarray(image.pixdim)


def size_of(move: np.ndarray, grid: Grid) -> tuple[float, float]:
    """By how many mm a rigid move, ``4 4``, displaces the centre of a grid, and by how many degrees it turns."""
    centre = grid.affine @ [*(np.asarray(grid.shape) - 1) / 2, 1]
    cosine = np.clip((np.trace(move[:3, :3]) - 1) / 2, -1, 1)
    return float(np.linalg.norm(move @ centre - centre)), float(np.degrees(np.arccos(cosine)))


def register_rigid(image: MetaTensor, other: MetaTensor) -> tuple[np.ndarray, bool]:
    """Find the rigid move that makes two images of one head most alike, by Mattes' mutual information.

    All voxels of 6 mm and then of 3 mm are compared, by one thread and without chance: the answer is always the same.

    Args:
        image: ``1 X Y Z``, stays.
        other: ``1 X Y Z``, about where it belongs; 3.5 s on a CPU core.

    Returns:
        the move of ``other``, ``4 4`` in mm (RAS+), and whether it makes them more alike.
    """
    fixed, moving = _prepared(image), _prepared(other)
    grid = Grid.of(image)
    transform, unmoved = _Transform.New(), _Transform.New()
    for each in (transform, unmoved):
        each.SetCenter((_TO_LPS @ grid.affine @ [*(np.asarray(grid.shape) - 1) / 2, 1])[:3].tolist())
    metric = _metric()
    optimizer = itk.RegularStepGradientDescentOptimizerv4[itk.D].New(
        LearningRate=_FIRST_STEP_MM,
        MinimumStepLength=_LAST_STEP_MM,
        NumberOfIterations=_MAX_STEPS,
        ScalesEstimator=itk.RegistrationParameterScalesFromPhysicalShift[_Metric].New(Metric=metric),
        ReturnBestParametersAndValue=True,
        NumberOfWorkUnits=1,
    )
    method = itk.ImageRegistrationMethodv4[_Image, _Image].New(
        FixedImage=fixed, MovingImage=moving, Metric=metric, Optimizer=optimizer, InitialTransform=transform
    )
    method.SetNumberOfLevels(len(_LEVELS))
    method.SetShrinkFactorsPerLevel(_LEVELS)
    method.SetSmoothingSigmasPerLevel([_MM * (level - 1) for level in _LEVELS])
    method.InPlaceOn()
    method.Update()
    back = np.eye(4)  # from the image to the other
    back[:3, :3] = itk.array_from_matrix(transform.GetMatrix())
    back[:3, 3] = transform.GetOffset()
    move = np.linalg.inv(_TO_LPS @ back @ _TO_LPS)
    return move, _unlikeness(fixed, moving, transform) < _unlikeness(fixed, moving, unmoved)


def _prepared(image: MetaTensor) -> Any:
    """ITK's image of ``1 X Y Z`` in even voxels, without the brightest, which would leave few bins for the others."""
    steps = (
        Spacingd("image", pixdim=(_MM,) * 3, mode="bilinear"),
        ScaleIntensityRangePercentilesd("image", lower=0, upper=99.5, b_min=0, b_max=1, clip=True),
    )
    return metatensor_to_itk_image(Compose(steps)({"image": image})["image"], dtype=np.float32)


def _metric() -> Any:
    metric = _Metric.New(NumberOfHistogramBins=_BINS, UseFixedImageGradientFilter=False)
    metric.SetUseMovingImageGradientFilter(False)
    metric.SetMaximumNumberOfWorkUnits(1)
    return metric


def _unlikeness(fixed: Any, moving: Any, transform: Any) -> float:
    """Mutual information, negative."""
    metric = _metric()
    metric.SetFixedImage(fixed)
    metric.SetMovingImage(moving)
    metric.SetMovingTransform(transform)
    metric.Initialize()
    return metric.GetValue()
