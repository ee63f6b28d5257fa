"""The report on a segmentation of tibia and lesion in radiographs: overlap, distances, and lesions found or missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ..evaluation.segmentation import FOUND_LESION_COVERAGE, surface_distances
from ..evaluation.statistics import Interval, mean_interval, share
from ..radiographs.door import CLASSES
from ..runs.files import replacing
from .network_report import NetworkReport
from .page import Html, figure
from .radiograph_grid import outlined, picture_grid

SHOWN = 12  # cases of each class on the page, evenly from the worst to the best

_NAMES = ("case_id", "class")
_METRICS = ("tibia_dice", "tibia_hd95_pixels", "lesion_dice", "lesion_hd95_pixels")
_SHARES = ("lesion_recall", "normals_with_false_positives")  # a case has 0 or 1


def overlap_metrics(mask: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Dice and HD95 of one mask.

    Args:
        mask: ``X Y``, above 0 is predicted.
        label: ``X Y``, above 0 is true.

    Returns:
        ``dice`` in [0, 1], NaN where the label is empty; ``hd95_pixels`` in pixels of this grid, the larger of the two
        directed 95th percentiles, NaN where either is empty.
    """
    mask, label = np.asarray(mask) > 0, np.asarray(label) > 0
    dice = 2 * (mask & label).sum() / (mask.sum() + label.sum()) if label.any() else np.nan
    hd95 = surface_distances(mask, label, (1.0, 1.0))[0] if mask.any() and label.any() else np.nan
    return {"dice": float(dice), "hd95_pixels": hd95}


class SegmenterReport(NetworkReport):
    """Handler for an evaluator of a network that outlines tibia and lesion.

    A row holds ``case_id``, ``class``, Dice and HD95 (in pixels of the network's grid) of both masks, and of fractures
    ``lesion_found`` (at least :data:`~..evaluation.segmentation.FOUND_LESION_COVERAGE` of the lesion is marked), of
    normals ``false_positive_pixels`` (marked as lesion); what does not apply is NaN. The metrics are the means over the
    cases with a value; the HD95 leaves out lesions of which nothing was marked, so it is to be read with
    ``lesion_recall``.
    Beside the report, ``masks.npz`` holds ``case_id`` (``N``) and bool ``predicted`` and ``reference`` (``N 2 X Y``).

    Reads of each finished case ``image`` ``1 X Y`` in [-1, 1], ``pred`` and ``label`` ``2 X Y`` (tibia and lesion, 0 or
    1), ``class_label`` and ``case_id``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.images: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def row(self, case: Mapping[str, Any]) -> dict[str, Any]:
        case_id, fractured = str(case["case_id"]), int(case["class_label"])
        image, pred, label = (np.asarray(case[key], dtype=np.float32) for key in ("image", "pred", "label"))
        self.images[case_id] = image, pred, label
        overlaps = {
            f"{name}_{metric}": value
            for name, mask, truth in zip(("tibia", "lesion"), pred, label, strict=True)
            for metric, value in overlap_metrics(mask, truth).items()
        }
        marked, lesion = pred[1] > 0, label[1] > 0
        found = float(marked[lesion].mean() >= FOUND_LESION_COVERAGE) if lesion.any() else np.nan
        false_positives = np.nan if fractured else float(marked.sum())
        row = {"case_id": case_id, "class": CLASSES[fractured], **overlaps}
        return {**row, "lesion_found": found, "false_positive_pixels": false_positives}

    def write(self) -> None:
        if self.rows:
            predicted, reference = (np.stack([case[n] > 0 for case in self.images.values()]) for n in (1, 2))
            with replacing(self.folder / "masks.npz") as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, case_id=list(self.images), predicted=predicted, reference=reference)
        super().write()

    def metrics(self) -> dict[str, tuple[Interval, int]]:
        columns = {key: np.array([row[key] for row in self.rows]) for key in self.rows[0] if key not in _NAMES}
        marked = columns["false_positive_pixels"]
        values = {key: columns[key] for key in _METRICS} | {
            "lesion_recall": columns["lesion_found"],
            "false_positive_pixels_per_normal": marked,
            "normals_with_false_positives": np.where(np.isnan(marked), np.nan, marked > 0),
        }
        return {
            key: ((share if key in _SHARES else mean_interval)(of_case), int(np.isfinite(of_case).sum()))
            for key, of_case in values.items()
        }

    def parts(self) -> Sequence[Html]:
        note = "<p>HD95 is in pixels of the network's grid. A lesion counts as found when at least "
        note += f"{100 * FOUND_LESION_COVERAGE:.0f} % of it is marked; one without any mark has no HD95.</p>"
        fractures = [row for row in self.rows if row["class"] == CLASSES[1]]
        normals = [row for row in self.rows if row["class"] == CLASSES[0]]
        ranked = {
            "fracture": sorted(fractures, key=lambda row: row["lesion_dice"]),
            "normal": sorted(normals, key=lambda row: -row["false_positive_pixels"]),
        }
        return [Html(note), *(self._pictures(name, rows) for name, rows in ranked.items() if rows)]

    def _pictures(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Html:
        chosen = np.unique(np.linspace(0, len(rows) - 1, SHOWN).round().astype(int))
        ids = [rows[i]["case_id"] for i in chosen]
        caption = (
            f"Row by row, from the worst to the best: {escape(', '.join(ids))}. Each as it is, then with the outlines "
            "of tibia (blue) and lesion (red) of the reference, then with those predicted."
        )
        picture = picture_grid([_tile(*self.images[case_id]) for case_id in ids])
        return Html(f"<h2>{name.capitalize()}</h2>{figure(picture, f'{name} cases', caption, name)}")


def _tile(image: np.ndarray, pred: np.ndarray, label: np.ndarray) -> np.ndarray:
    predicted = outlined(image[0], *pred)
    return np.hstack([outlined(image[0], *label), predicted[:, predicted.shape[1] // 2 :]])
