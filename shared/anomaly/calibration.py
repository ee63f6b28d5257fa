"""The stored threshold of a bundle: a quantile of the anomaly map on lesion-free tissue, and what it scored."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runs.errors import WeightsError
from ..runs.tables import write_json
from ..runs.weights import NO_WEIGHTS, sha256

logger = logging.getLogger(__name__)

RENAMED = {"fit": "fit_intensities", "use": "used_sequences"}
"""Settings that a calibration of before version 0.7.0 names otherwise."""

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Calibration:
    """Contents of ``calibration.json``.

    Attributes:
        threshold: on the raw anomaly map; the map is reported in units of it.
        rule: how it was chosen, in words.
        false_positive_rate: share of healthy or lesion-free brain voxels above ``threshold``.
        thresholds: the threshold for each false-positive rate.
        healthy_scores: share of these voxels above ``threshold`` in each scan, sorted.
        cases: ids of the scans.
        weights_sha256: of the weights they were run with.
        settings: of the method that shape the map, by name.
        healthy_quality: by name of a quality score, what each scan has, sorted; empty in older files.
        stale: what the threshold belongs to where that is not in use: other weights, or other settings, by name; empty
            where it fits. Not stored.
    """

    threshold: float
    rule: str
    false_positive_rate: float
    thresholds: dict[str, float]
    healthy_scores: list[float]
    cases: list[str]
    weights_sha256: str
    settings: dict[str, Any] = field(default_factory=dict)
    healthy_quality: dict[str, list[float]] = field(default_factory=dict)
    stale: str = field(default="", compare=False)

    def percentile(self, score: float) -> float:
        """Share of the healthy scans that score lower, in percent."""
        return _percentile(self.healthy_scores, score)

    def quality_percentile(self, name: str, value: float) -> float:
        """Share of the healthy scans whose quality score is lower, in percent; NaN where none of the name is stored."""
        healthy = self.healthy_quality.get(name)
        return _percentile(healthy, value) if healthy else float("nan")

    def save(self, path: str | Path) -> None:
        """Write the file atomically."""
        content = {k: v for k, v in asdict(self).items() if k != "stale"}
        write_json(path, content)


def _percentile(healthy: Sequence[float], value: float) -> float:
    return 100 * float(np.mean(np.asarray(healthy) < value))


def load_calibration(path: str, weights: str, settings: Mapping[str, Any] | None = None) -> Calibration:
    """Read the stored threshold; one that belongs to other weights or settings than those in use is stale: a warning.

    Raises:
        WeightsError: the file is missing or no calibration, or the weights are missing.
    """
    remedy = "Run configs/calibrate.json on healthy scans."
    if not Path(weights).is_file():
        raise WeightsError(f"{weights}: weights missing. {NO_WEIGHTS}")
    try:
        stored = Calibration(**json.loads(Path(path).read_text()))
        if not (float(stored.threshold) > 0 and len(stored.healthy_scores) > 0):
            raise ValueError("the threshold is not above 0, or there are no healthy scores")
    except OSError as error:
        raise WeightsError(f"{path}: calibration missing. {remedy}") from error
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: not a calibration file ({error}). {remedy}") from error
    stored = replace(stored, settings={RENAMED.get(name, name): value for name, value in stored.settings.items()})
    used = json.loads(json.dumps(dict(settings or {})))  # as they are read from a file
    changed = [name for name in used if stored.settings.get(name) != used[name]]
    belongs = f"other settings ({', '.join(changed)})" if changed else ""
    belongs = belongs if stored.weights_sha256 == sha256(weights) else f"other weights than {weights}"
    if belongs:
        logger.warning("%s: its threshold belongs to %s and may not fit. %s", path, belongs, remedy)
    return replace(stored, stale=belongs)


def calibrate(
    values: Sequence[np.ndarray],
    cases: Sequence[str],
    false_positive_rate: float,
    weights: str,
    labelled_left_out: bool = False,
    settings: Mapping[str, Any] | None = None,
    quality: Mapping[str, Sequence[float]] | None = None,
) -> Calibration:
    """Fit the threshold to healthy scans or lesion-free tissue, each scan weighted alike.

    Args:
        values: raw anomaly map in the brain, one array per scan.
        cases: their ids.
        false_positive_rate: share of these voxels left above the threshold.
        weights: file of the weights.
        labelled_left_out: ``values`` are of lesion-free tissue, for there are lesions in the scans; the rule says so.
        settings: of the method that shape the map.
        quality: by name of a quality score, its value in each scan.

    Raises:
        ValueError: no scan, a scan without brain voxels or with NaN, a rate outside (0, 1), a threshold of 0.
    """
    if not values or any(v.size == 0 or not np.isfinite(v).all() for v in values):
        raise ValueError("calibration needs healthy scans with finite maps and brain voxels in each")
    if not 0 < false_positive_rate < 1:
        raise ValueError(f"false_positive_rate is a share between 0 and 1 (0.01 for 1 %), got {false_positive_rate}")
    levels = np.linspace(0, 1, 20001)
    pooled = np.concatenate([np.interp(levels, np.linspace(0, 1, v.size), np.sort(v)) for v in values])
    rates = sorted({*FALSE_POSITIVE_RATES, false_positive_rate})
    thresholds = {f"{rate:g}": float(np.quantile(pooled, 1 - rate)) for rate in rates}
    threshold = thresholds[f"{false_positive_rate:g}"]
    if not threshold > 0:
        raise ValueError(f"the maps of the healthy scans are 0 at a false-positive rate of {false_positive_rate:g}")
    tissue = "lesion-free brain voxels of {} scans" if labelled_left_out else "brain voxels of {} healthy scans"
    return Calibration(
        threshold=threshold,
        rule=f"{100 * false_positive_rate:g} % of the {tissue.format(len(cases))} lie above it",
        false_positive_rate=false_positive_rate,
        thresholds=thresholds,
        healthy_scores=sorted(float(np.mean(v > threshold)) for v in values),
        cases=list(cases),
        weights_sha256=sha256(weights),
        settings=dict(settings or {}),
        healthy_quality={name: sorted(map(float, scores)) for name, scores in (quality or {}).items()},
    )
