"""A texture through the preprocessing of an inference and back to its own grid and intensities."""

from __future__ import annotations

from pathlib import Path

import monai.transforms as mt
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from nibabel.affines import voxel_sizes
from scipy.ndimage import binary_erosion

from shared.anomaly.native_maps import NativeMapsd
from shared.anomaly.threshold_map import ThresholdMapd
from shared.brains.loading import LoadVolumesd
from shared.brains.transforms import BrainMaskd, BrainNormalized, Spacingd
from tests.helpers.native_cases import affine_of, world

WAVE_MM, WAVE_HEIGHT = 40.0, 20.0


def texture(at: np.ndarray) -> np.ndarray:
    """Tissue: a wave along each axis of the world."""
    return 200 + WAVE_HEIGHT * np.sin(2 * np.pi * at / WAVE_MM).sum(axis=-1)


class Same(torch.nn.Module):
    """A network that returns the image as map and as pseudo-healthy brain."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :1] + 3, x[:, :1]], dim=1)


def preprocessing() -> mt.Compose:
    """The preprocessing of configs/inference.json."""
    keys = ["image", "brain_mask"]
    return mt.Compose(
        [
            LoadVolumesd([*keys, "label"]),
            BrainMaskd("image"),
            mt.CopyItemsd(keys, names=["native_image", "native_brain_mask"]),
            mt.Orientationd(keys, axcodes="RAS", labels=None),
            Spacingd(keys, pixdim=[2, 2, 2], mode=["bilinear", "nearest"]),
            mt.CropForegroundd(keys, source_key="brain_mask", start_coord_key=None, end_coord_key=None),
            mt.SpatialPadd(keys, spatial_size=[48, 64, 48]),
            mt.DivisiblePadd(keys, k=16),
            BrainNormalized("image"),
            mt.ConcatItemsd(keys, name="image"),
        ]
    )


@pytest.mark.parametrize(
    ("axcodes", "spacing", "shape"),
    [
        ("LAS", (1, 1, 1), (84, 100, 76)),
        ("RAS", (2, 2, 2), (42, 50, 38)),
        ("PSR", (1, 2.5, 0.8), (100, 32, 105)),
    ],
)
def test_whole_chain_gives_the_input_back(
    tmp_path: Path, axcodes: str, spacing: tuple[float, float, float], shape: tuple[int, int, int]
):
    affine = affine_of(axcodes, spacing, shape)
    at = world(affine, shape)
    brain = np.linalg.norm((at - (5, -10, 15)) / (36, 44, 32), axis=-1) < 1
    expected = np.where(brain, texture(at), 0)
    nib.save(nib.Nifti1Image(expected.astype(np.float32), affine), tmp_path / "scan.nii.gz")
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            Dataset([{"case_id": "a", "image": str(tmp_path / "scan.nii.gz")}], preprocessing()), batch_size=1
        ),
        network=Same(),
        inferer=SimpleInferer(),
        postprocessing=mt.Compose([NativeMapsd(), ThresholdMapd(threshold=3.0)]),
    )
    evaluator.run()
    (output,) = evaluator.state.output
    pseudo_healthy, anomaly_map = (np.asarray(output[name][0]) for name in ("pseudo_healthy", "anomaly_map"))
    np.testing.assert_allclose(np.asarray(output["pseudo_healthy"].affine), affine, atol=1e-4)

    deep = binary_erosion(brain, structure=_ball_mm(6, voxel_sizes(affine)))
    assert deep.sum() > 0.3 * brain.sum()
    error = np.abs(pseudo_healthy - expected)[deep]
    # The wave's second derivatives, times h^2 / 8 for each linear interpolation and sigma^2 / 2 for the blur before
    # thinning out (0.42 voxels of 2 mm, less those of the file).
    curvature = 3 * WAVE_HEIGHT * (2 * np.pi / WAVE_MM) ** 2
    bound = curvature * ((2**2 + max(spacing) ** 2) / 8 + (0.42 * 2) ** 2 / 2)
    assert error.max() < (bound if spacing != (2, 2, 2) else 1e-3)  # voxels on voxels
    assert not pseudo_healthy[~brain].any()
    scale = float(np.percentile(expected[brain], 90)) / 6
    np.testing.assert_allclose(anomaly_map[deep], expected[deep] / scale / 3.0, rtol=0.03)
    np.testing.assert_array_equal(np.asarray(output["pred"][0]) > 0, anomaly_map > 1)


def _ball_mm(radius: float, spacing: np.ndarray) -> np.ndarray:
    """Structuring element, ``X Y Z`` bool."""
    reach = np.ceil(radius / spacing).astype(int)
    grid = np.moveaxis(np.indices(2 * reach + 1), 0, -1) - reach
    return np.linalg.norm(grid * spacing, axis=-1) <= radius
