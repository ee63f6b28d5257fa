"""TSGM's own way from a map to a mask: Otsu's threshold and a least area, slice by slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from nibabel.affines import voxel_sizes

from ...anomaly.components import large_areas
from ...anomaly.thresholds import otsu_by_slice
from ...brains.volume import superior_axis


class SliceOtsud(MapTransform):
    """Divide each slice of the map by its own Otsu threshold, and call anomaly what is above 1 and large enough.

    The map's ``uncertainty``, if there is one, is divided as well. Stands in for ThresholdMapd and LargeComponentsd
    where TSGM's code is to be matched; slices lie across the superior axis of the affine.

    Args:
        keys: raw anomaly maps, MetaTensor ``1 X Y Z``, at least 0, in any orientation; replaced by the map in units of
            its slice's threshold, 0 in slices that are constant.
        mask_key: where the mask goes, ``1 X Y Z`` uint8.
        min_area_mm2: only 8-connected components of a slice with a larger area stay (400 pixels of 1 mm in TSGM's
            code).

    Adds to the ``facts`` of the case ``threshold``, the median of the slices' thresholds (infinite where all of them
    are constant), and ``threshold_source``; there is no score, for there is no stored threshold.

    Raises:
        ValueError: ``min_area_mm2`` is below 0.
    """

    def __init__(
        self, keys: KeysCollection = "anomaly_map", mask_key: str = "pred", min_area_mm2: float = 400.0
    ) -> None:
        super().__init__(keys)
        if not min_area_mm2 >= 0:
            raise ValueError(f"min_area_mm2 is an area, at least 0, got {min_area_mm2}")
        self.mask_key, self.min_area_mm2 = mask_key, min_area_mm2

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            affine = np.asarray(d[key].affine)
            axis = superior_axis(affine)[0]
            pixel_mm2 = float(np.prod(np.delete(voxel_sizes(affine), axis)))
            thresholds = otsu_by_slice(np.asarray(d[key][0]), axis)
            finite = thresholds[np.isfinite(thresholds)]
            median = float(np.median(finite)) if finite.size else float("inf")
            found = {"score": float("nan"), "score_percentile": float("nan"), "threshold": median}
            d["facts"] = {**found, "threshold_source": "of this volume", **d.get("facts", {})}
            unit = torch.from_numpy(thresholds).to(d[key])
            d.update({name: d[name] / unit for name in (key, "uncertainty") if name in d})
            kept = large_areas(np.asarray(d[key][0]) > 1, axis, self.min_area_mm2 / pixel_mm2)
            d[self.mask_key] = MetaTensor(torch.from_numpy(kept[None].astype(np.uint8)), meta=dict(d[key].meta))
        return d
