"""From what an anomaly Inferer returns to maps and a mask on the input's own grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, MedianSmooth, SpatialResample
from monai.utils import convert_to_tensor


class NativeMapsd(MapTransform):
    """Bring map and pseudo-healthy brain to the input's grid, and the latter to the input's intensities.

    Args:
        keys: predictions, ``2 *S`` (map, pseudo-healthy brain in normalised units) on the grid of ``image``.
        median_radius: of the median filter on the map, in voxels of the network's grid; 0 leaves it as it is.

    Adds ``anomaly_map`` and ``pseudo_healthy``, ``1 X Y Z`` float32, linearly interpolated, 0 outside the brain.
    Reads ``image`` (its affine, and the original affine and shape), ``native_brain_mask`` and ``intensity_scale``.
    """

    def __init__(self, keys: KeysCollection = "pred", median_radius: int = 0) -> None:
        super().__init__(keys)
        self.median_radius = median_radius
        self.resample = SpatialResample(mode="bilinear", padding_mode="zeros")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image, brain = d["image"], d["native_brain_mask"]
        for key in self.key_iterator(d):
            pred = torch.as_tensor(d[key]).detach().float().cpu()
            anomaly_map, pseudo_healthy = pred[:1], (pred[1:2] + 3) * float(d["intensity_scale"])
            if self.median_radius:
                anomaly_map = MedianSmooth(self.median_radius)(anomaly_map)
            for name, values in (("anomaly_map", anomaly_map), ("pseudo_healthy", pseudo_healthy)):
                native = self.resample(
                    MetaTensor(convert_to_tensor(values), affine=image.affine),  # without the old affine
                    dst_affine=image.meta["original_affine"],
                    spatial_size=tuple(brain.shape[1:]),
                )
                d[name] = MetaTensor(native.float() * (brain > 0).to(native), meta=dict(brain.meta))
        return d


class ThresholdMapd(MapTransform):
    """Divide the map by its threshold, and call anomaly what is above 1.

    Args:
        keys: raw anomaly maps, ``1 X Y Z``; replaced by the map in units of the threshold.
        threshold: on the raw map, above 0.
        mask_key: where the mask goes, ``1 X Y Z`` uint8.
    """

    def __init__(self, keys: KeysCollection = "anomaly_map", threshold: float = 1.0, mask_key: str = "pred") -> None:
        super().__init__(keys)
        if not threshold > 0:
            raise ValueError(f"the threshold must be above 0, got {threshold}")
        self.threshold, self.mask_key = threshold, mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = d[key] / self.threshold
            d[self.mask_key] = (d[key] > 1).to(torch.uint8)
        return d


class CaseNamed(MapTransform):
    """Name volumes after their case, so that ``SaveImaged`` writes ``<case_id>_<postfix>.nii.gz``.

    Args:
        keys: volumes with metadata. Without a ``case_id`` (MONAI Label) they keep their file's name.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            if "case_id" in d:
                d[key].meta["filename_or_obj"] = f"{d['case_id']}.nii.gz"
        return d
