"""The transform that loads volumes as the door has read them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import SpaceKeys

from .nifti import NiftiFile, open_nifti


class LoadVolumesd(MapTransform):
    """Load NIfTI files as ``C X Y Z`` float32 by what the door reads them with, so that what has passed it is loaded.

    MONAI's ``LoadImaged`` keeps further axes of 1 (``X Y Z 1 1`` becomes ``1 X Y Z 1``), leaves a 2D image without its
    slice axis (here ``1 X Y 1``), and takes damaged files. Metadata are named as there: ``affine`` and
    ``original_affine`` (4 4, voxel indices to mm), ``space`` (RAS+), ``spatial_shape``, ``filename_or_obj``.

    Args:
        keys: paths; those a case does not have are passed over.

    Raises:
        InputError: see :func:`~.nifti.open_nifti`; the door has refused such files, MONAI Label has none.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = _meta_tensor(open_nifti(str(d[key]), str(key)))
        return d


def _meta_tensor(found: NiftiFile) -> MetaTensor:
    meta = {
        "original_affine": found.affine.copy(),
        "space": SpaceKeys.RAS,
        "spatial_shape": np.array(found.shape),
        "original_channel_dim": np.nan,  # without it MONAI's writer takes a volume for flat
        "filename_or_obj": found.file,
    }
    volumes = np.ascontiguousarray(np.moveaxis(found.read(), -1, 0))
    return MetaTensor(volumes, affine=torch.from_numpy(found.affine), meta=meta)
