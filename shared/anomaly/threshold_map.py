"""From an anomaly map to its mask, and what is to be said of the threshold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from .calibration import Calibration
from .thresholds import gated_otsu, gated_peak

_MUCH = 0.1  # of the brain; hardly a lesion takes up as much, shading and a failed extraction often do

_Rule = Callable[[np.ndarray, np.ndarray, float], float]  # map, brain mask and stored threshold to a threshold


class ThresholdMapd(MapTransform):
    """Divide the map, and its ``uncertainty`` if there is one, by its threshold, and call anomaly what is above 1.

    Args:
        keys: raw anomaly maps, ``1 X Y Z``; replaced by the map in units of the threshold.
        threshold: a given one, on the raw map, in place of the stored one; 0: none is given.
        calibration: the stored threshold and what healthy scans score; None where there is none.
        mask_key: where the mask goes, ``1 X Y Z`` uint8.
        rule: "stored" takes the stored or given threshold for every volume; "otsu" takes Otsu's threshold of this very
            volume where it is higher, "peak" a share of its peak.
        peak_share: that share, 0 to 1.
        quality_score: a fact of the Inferer whose percentile among the healthy scans is said: how unlike them the
            volume is as a whole.

    Adds to the ``facts`` of the case ``score`` (share of the brain above the stored or given threshold, NaN without a
    calibration), ``score_percentile`` (among healthy scans, NaN where the threshold was given), ``threshold`` (of this
    volume on the raw map; with "otsu" infinite where nothing stands out, and then the map is 0), ``threshold_source``
    and, where asked for, ``quality_percentile``; to its ``notes`` that more is marked than in any healthy scan, or over
    a tenth of the brain, and that the stored threshold may not fit. Reads ``native_brain_mask``.

    Raises:
        ValueError: neither a threshold above 0 nor a calibration, or there is no such rule.
    """

    def __init__(
        self,
        keys: KeysCollection = "anomaly_map",
        threshold: float = 0.0,
        calibration: Calibration | None = None,
        mask_key: str = "pred",
        rule: str = "stored",
        peak_share: float = 0.25,
        quality_score: str = "",
    ) -> None:
        super().__init__(keys)
        if not threshold >= 0 or not (threshold or calibration):
            raise ValueError(
                f"the threshold must be above 0, got {threshold}, or be stored: there must be a calibration"
            )
        self.own_thresholds: dict[str, _Rule] = {"otsu": gated_otsu, "peak": partial(gated_peak, share=peak_share)}
        if rule not in ("stored", *self.own_thresholds):
            raise ValueError(
                f"the rule of the threshold is one of stored, {', '.join(self.own_thresholds)}, got '{rule}'"
            )
        self.calibration, self.mask_key, self.rule, self.quality_score = calibration, mask_key, rule, quality_score
        self.given = bool(threshold)
        if threshold or calibration is None:
            self.threshold, self.source = float(threshold), "given by --threshold"
            self.own_source = "of this volume"
        else:
            self.threshold, self.source = float(calibration.threshold), calibration.rule
            self.own_source = f"of this volume (stored: {self.source})"

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        brain = np.asarray(d["native_brain_mask"]) > 0
        for key in self.key_iterator(d):
            threshold, source = self.threshold, self.source
            if self.rule in self.own_thresholds:
                threshold = self.own_thresholds[self.rule](np.asarray(d[key]), brain, threshold)
                if threshold != self.threshold:
                    source = self.own_source
            d.update({name: d[name] / threshold for name in (key, "uncertainty") if name in d})
            d[self.mask_key] = (d[key] > 1).to(torch.uint8)
            raw = np.asarray(d[key])[brain] * (threshold if np.isfinite(threshold) else 0)
            found = {**self._scores(raw), "threshold": threshold, "threshold_source": source}
            d["facts"] = {**found, **d.get("facts", {}), **self._quality(d.get("facts", {}))}
            if notes := self._notes(found, float(np.asarray(d[self.mask_key])[brain].mean())):
                d["notes"] = [*d.get("notes", []), *notes]
        return d

    def _notes(self, found: Mapping[str, Any], marked: float) -> list[str]:
        """What is to be said of a case with these scores, of whose brain the share ``marked`` is in the mask."""
        notes, much = [], ""
        if self.calibration and found["score_percentile"] == 100:
            share, scans = 100 * found["score"], len(self.calibration.healthy_scores)
            than = f"more than in any of the {scans} scans it was fitted on"
            much = f"{share:.2g} % of the brain is above the stored threshold, {than}"
        elif marked > _MUCH:
            much = f"{100 * marked:.2g} % of the brain is marked"
        if much:
            why = "shading, another sequence, a failed extraction or a pathology"
            notes.append(f"{much}: {why}; look at the picture")
        if self.calibration and self.calibration.stale:
            stale = self.calibration.stale
            notes.append(f"the stored threshold belongs to {stale}: run configs/calibrate.json on healthy scans")
        return notes

    def _scores(self, raw: np.ndarray) -> dict[str, float]:
        if self.calibration is None:
            return {"score": float("nan"), "score_percentile": float("nan")}
        score = float((raw > self.threshold).mean())
        percentile = float("nan") if self.given else self.calibration.percentile(score)
        return {"score": score, "score_percentile": percentile}

    def _quality(self, facts: Mapping[str, Any]) -> dict[str, float]:
        if not self.quality_score:
            return {}
        if self.calibration is None:
            return {"quality_percentile": float("nan")}
        value = facts[self.quality_score]
        return {"quality_percentile": self.calibration.quality_percentile(self.quality_score, value)}
