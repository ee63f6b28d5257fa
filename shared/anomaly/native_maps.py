"""From what an anomaly Inferer returns to maps on the input's own grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import GaussianSmooth, MapTransform, MedianSmooth, SpatialResample
from monai.utils import convert_to_tensor
from nibabel.affines import voxel_sizes

from ..brains.units import denormalise
from ..runs.facts import facts_of
from .thresholds import PEAK_PERCENTILE


class NativeMapsd(MapTransform):
    """Bring map and pseudo-healthy brain to the input's grid, and the latter to the input's intensities.

    Args:
        keys: predictions on the grid of ``image``: the map, the pseudo-healthy brain in normalised units (several: one
            for each sequence, NaN where it is absent) and, if there, the map's standard deviation; ``1+P X Y Z`` or
            ``1+P+1 X Y Z``.
        median_radius: of the median filter on the map, in voxels of the network's grid, one number or one per axis;
            0 leaves it as it is, (2, 2, 0) filters 5x5 in plane.
        smoothing_mm: standard deviation of a Gaussian on the map, in the brain only; 0 leaves it as it is. Where a map
            is signed, errors at edges cancel, those of a lesion do not.
        percentile_scaling: exponent e in [0, 1]; the filtered map is divided by (its 99.5th percentile in the brain)^e,
            so 0 leaves it as it is and 1 makes volumes alike. A map whose percentile is not above 0 stays as it is.
        reconstructions: P, the number of pseudo-healthy brains.

    Adds ``anomaly_map``, ``1 X Y Z``, at least 0; ``pseudo_healthy``, ``P X Y Z`` without the absent ones; if there is
    one, ``uncertainty``, ``1 X Y Z``, the standard deviation in the unit of the map. They are float32, linearly
    interpolated, 0 outside the brain. The ``facts`` of the Inferer (:mod:`~..runs.facts`) go into the case, those named
    ``notes`` to its notes. Reads ``image`` (its affine, and the original affine and shape; for smoothing and scaling
    also its last channel, the brain mask), ``native_brain_mask`` and ``intensity_scale`` (one, or a list of P).

    Raises:
        ValueError: a radius, a smoothing or an exponent outside its range; in use: a prediction of another number of
            channels, or not as many intensity scales.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        median_radius: int | Sequence[int] = 0,
        smoothing_mm: float = 0.0,
        percentile_scaling: float = 0.0,
        reconstructions: int = 1,
    ) -> None:
        super().__init__(keys)
        if np.any(np.less(median_radius, 0)) or not smoothing_mm >= 0:
            raise ValueError(f"median_radius and smoothing_mm are at least 0, got {median_radius} and {smoothing_mm}")
        if not 0 <= percentile_scaling <= 1:
            raise ValueError(f"percentile_scaling is an exponent between 0 and 1, got {percentile_scaling}")
        self.reconstructions = reconstructions
        self.median_radius, self.smoothing_mm, self.percentile_scaling = median_radius, smoothing_mm, percentile_scaling
        self.resample = SpatialResample(mode="bilinear", padding_mode="border")  # half a slice lies beyond the last

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image, brain = d["image"], d["native_brain_mask"]
        for key in self.key_iterator(d):
            d["facts"] = facts_of(d[key])
            if notes := d["facts"].pop("notes", []):
                d["notes"] = [*d.get("notes", []), *notes]
            pred = convert_to_tensor(d[key], track_meta=False).detach().float().cpu()
            scales = torch.as_tensor(d["intensity_scale"]).reshape(-1, 1, 1, 1).to(pred)
            if len(pred) - 1 - self.reconstructions not in (0, 1) or len(scales) != self.reconstructions:
                counts = f"{len(pred)} channels and {len(scales)} intensity scales"
                raise ValueError(f"the prediction has {counts}, not those of {self.reconstructions} sequences")
            anomaly_map, uncertainty = pred[:1], pred[1 + self.reconstructions :]
            pseudo_healthy = denormalise(pred[1 : 1 + self.reconstructions], scales)
            if np.any(self.median_radius):
                anomaly_map = MedianSmooth(self.median_radius)(anomaly_map)
            if self.smoothing_mm:
                inside = torch.as_tensor(image[-1:]).cpu()
                blur = GaussianSmooth([self.smoothing_mm / size for size in voxel_sizes(np.asarray(image.affine))])
                anomaly_map = blur(anomaly_map * inside) / blur(inside).clamp(min=1e-3) * inside
            anomaly_map = anomaly_map.clamp(min=0)
            if self.percentile_scaling:
                in_brain = anomaly_map[torch.as_tensor(image[-1:]).cpu() > 0]
                scale = float(np.percentile(np.asarray(in_brain), PEAK_PERCENTILE))
                unit = scale**self.percentile_scaling if scale > 0 else 1.0
                anomaly_map, uncertainty = anomaly_map / unit, uncertainty / unit
            present = ~pseudo_healthy.isnan().flatten(1).all(dim=1)
            maps = {"anomaly_map": anomaly_map, "pseudo_healthy": pseudo_healthy[present]}
            maps |= {"uncertainty": uncertainty} if len(uncertainty) else {}
            for name, values in maps.items():
                native = self.resample(
                    MetaTensor(convert_to_tensor(values), affine=image.affine),  # without the old affine
                    dst_affine=image.meta["original_affine"],
                    spatial_size=tuple(brain.shape[1:]),
                )
                d[name] = MetaTensor(native.float() * (brain > 0).to(native), meta=dict(brain.meta))
        return d
