"""Segmentation metrics of one volume: overlap, lesions, surface distances in mm, ranking of brain voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics.utils import get_edge_surface_distance
from scipy import ndimage

from .ranking import area_under_roc, average_precision, counts_at_thresholds

FOUND_LESION_COVERAGE = 0.1
"""A lesion of the label is found when at least this fraction of its voxels lies in the mask."""

NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=bool)


def segmentation_metrics(mask: np.ndarray, label: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    """Compare a predicted mask with its label, over the whole volume.

    Lesions are 26-connected components. A lesion of the label is found when at least `FOUND_LESION_COVERAGE` of it is
    in the mask (`lesion_recall`); a component of the mask is a true positive when it meets any voxel of the label
    (`lesion_precision`); `lesion_f1` is their harmonic mean. Surfaces are the voxels with a face neighbour outside.
    `hd95_mm` is the larger of the two directed 95th percentiles; `assd_mm` is the mean over the surface voxels of both,
    pooled (Heimann et al., IEEE TMI 28(8), 2009), unlike ITK's average Hausdorff distance, which averages over volumes.

    With an empty mask or label a ratio is NaN exactly where its denominator is zero, and:

        label   mask    dice, iou  precision  recall  lesion_precision  lesion_recall  lesion_f1  hd95_mm, assd_mm
        empty   empty   1          NaN        NaN     NaN               NaN            NaN        NaN
        empty   some    0          0          NaN     0                 NaN            NaN        NaN
        some    empty   0          NaN        0       NaN               0              0          NaN

    A missed case therefore leaves the mean of the distances and of the precision: give the number of cases beside it.

    Args:
        mask: `X Y Z`, above 0 is predicted anomalous.
        label: `X Y Z`, above 0 is anomalous.
        spacing: voxel size in mm along X, Y and Z.

    Returns:
        dice, iou, precision, recall, lesion_precision, lesion_recall, lesion_f1 in [0, 1]; hd95_mm, assd_mm in mm;
        volume_ml (of the mask), label_ml, false_positive_ml (mask outside the label) in ml.

    Raises:
        ValueError: mask and label differ in shape or are not 3D, or spacing is not three positive numbers.
    """
    mask, label = np.asarray(mask) > 0, np.asarray(label) > 0
    if mask.ndim != 3 or mask.shape != label.shape:
        raise ValueError(f"mask and label must be 3D on one grid, got shapes {mask.shape} and {label.shape}")
    spacing = tuple(float(size) for size in spacing)
    if len(spacing) != 3 or not all(np.isfinite(size) and size > 0 for size in spacing):
        raise ValueError(f"spacing must be three positive voxel sizes in mm, got {spacing}")

    # Both masks lie in the bounding box of their union; all that follows is cheaper there.
    box = ndimage.find_objects((mask | label).astype(np.uint8))
    mask, label = (mask[box[0]], label[box[0]]) if box else (mask[:0], label[:0])
    predicted, actual, both = (int(np.count_nonzero(volume)) for volume in (mask, label, mask & label))
    voxel_ml = float(np.prod(spacing)) / 1000
    hd95_mm, assd_mm = surface_distances(mask, label, spacing) if predicted and actual else (np.nan, np.nan)
    lesion_precision = float(np.mean(_coverage(mask, label) > 0)) if predicted else np.nan
    lesion_recall = float(np.mean(_coverage(label, mask) >= FOUND_LESION_COVERAGE)) if actual else np.nan
    return {
        "dice": 2 * both / (predicted + actual) if predicted + actual else 1.0,
        "iou": both / (predicted + actual - both) if predicted + actual else 1.0,
        "precision": both / predicted if predicted else np.nan,
        "recall": both / actual if actual else np.nan,
        "lesion_precision": lesion_precision,
        "lesion_recall": lesion_recall,
        "lesion_f1": _lesion_f1(lesion_precision, lesion_recall),
        "hd95_mm": hd95_mm,
        "assd_mm": assd_mm,
        "volume_ml": predicted * voxel_ml,
        "label_ml": actual * voxel_ml,
        "false_positive_ml": (predicted - both) * voxel_ml,
    }


def ranking_metrics(anomaly_map: np.ndarray, label: np.ndarray, brain_mask: np.ndarray) -> dict[str, float]:
    """Rank the voxels of the brain by the map; the background, which any map gets right, is left out.

    Args:
        anomaly_map: `X Y Z`, higher means more anomalous, in any unit; values outside the brain are not read.
        label: `X Y Z`, above 0 is anomalous.
        brain_mask: `X Y Z`, above 0 is brain.

    Returns:
        auprc (average precision) and auroc in [0, 1], NaN where the brain holds no anomalous or no normal voxel.

    Raises:
        ValueError: the shapes differ, the brain is empty, or the map is NaN somewhere in it.
    """
    scores, is_anomalous, _ = _in_brain(anomaly_map, label, brain_mask)
    _, true_positives, false_positives = counts_at_thresholds(scores, is_anomalous)
    return {
        "auprc": average_precision(true_positives, false_positives),
        "auroc": area_under_roc(true_positives, false_positives),
    }


def best_dice(anomaly_map: np.ndarray, label: np.ndarray, brain_mask: np.ndarray) -> tuple[float, float]:
    """Find the highest Dice that any one threshold of this map reaches: an oracle, which knows the label.

    The mask is `(anomaly_map > threshold) & brain_mask`. Label voxels outside the brain count as missed, so the value
    is an upper bound of the `dice` that `segmentation_metrics` gives to such a mask.

    Args:
        anomaly_map, label, brain_mask: as in `ranking_metrics`.

    Returns:
        Dice in [0, 1] and its threshold in the unit of the map (the highest, where several are best);
        (NaN, NaN) where the label is empty, for the oracle would be right for free by taking no voxel.

    Raises:
        ValueError: as in `ranking_metrics`.
    """
    scores, is_anomalous, labelled = _in_brain(anomaly_map, label, brain_mask)
    if labelled == 0:
        return float("nan"), float("nan")
    thresholds, true_positives, false_positives = counts_at_thresholds(scores, is_anomalous)
    dice = 2 * true_positives / (true_positives + false_positives + labelled)
    best = int(np.argmax(dice))
    # The counts are of `score >= threshold`, masks are `map > threshold`: step to the next lower number.
    return float(dice[best]), float(np.nextafter(thresholds[best], -np.inf))


def _in_brain(anomaly_map: np.ndarray, label: np.ndarray, brain_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores (`N`) and labels (`N`, bool) of the brain voxels, and the number of label voxels of the whole volume."""
    anomaly_map, label, brain = np.asarray(anomaly_map), np.asarray(label) > 0, np.asarray(brain_mask) > 0
    if not anomaly_map.shape == label.shape == brain.shape:
        raise ValueError(
            f"anomaly_map, label and brain_mask must be on one grid, "
            f"got shapes {anomaly_map.shape}, {label.shape} and {brain.shape}"
        )
    if not brain.any():
        raise ValueError("brain_mask is empty: no voxel to rank; give the mask of this case's brain")
    return anomaly_map[brain], label[brain], int(np.count_nonzero(label))


def surface_distances(mask: np.ndarray, label: np.ndarray, spacing: tuple[float, ...]) -> tuple[float, float]:
    """HD95 and ASSD in mm of two non-empty masks, ``X Y Z`` or ``X Y`` bool, from one set of distances."""
    _, distances, _ = get_edge_surface_distance(
        torch.from_numpy(mask), torch.from_numpy(label), spacing=spacing, symmetric=True
    )
    from_mask, from_label = (of_edge.double().numpy() for of_edge in distances)
    hd95 = max(np.percentile(from_mask, 95), np.percentile(from_label, 95))
    return float(hd95), float(np.concatenate([from_mask, from_label]).mean())


def _coverage(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Fraction of each 26-connected component of `mask` that lies in `other`."""
    components, count = ndimage.label(mask, structure=NEIGHBOURS_26)
    size = np.bincount(components[mask], minlength=count + 1)[1:]
    return np.bincount(components[mask & other], minlength=count + 1)[1:] / size


def _lesion_f1(precision: float, recall: float) -> float:
    """Harmonic mean; NaN without lesions in the label, 0 when nothing is found."""
    if np.isnan(recall):
        return float("nan")
    return 2 * precision * recall / (precision + recall) if recall > 0 else 0.0
