"""The report on a classifier of radiographs, normal or fracture: accuracy, sensitivity, specificity and ROC curve."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..evaluation.class_metrics import class_metrics
from ..evaluation.ranking import counts_at_thresholds
from ..evaluation.statistics import Interval
from ..radiographs.door import CLASSES
from .network_report import NetworkReport
from .page import Html, figure

THRESHOLD = 0.5  # a case is called a fracture from this probability on

_UNDEFINED = Interval(np.nan, np.nan, np.nan)


class ClassifierReport(NetworkReport):
    """Handler for an evaluator of a classifier.

    A row holds ``case_id``, ``class`` and ``class_label``, ``probability`` (of a fracture), ``prediction`` (0 or 1) and
    ``correct``. The metrics are those of :func:`~..evaluation.class_metrics.class_metrics`; all are NaN where the cases
    are of one class only, and the page says so.

    Reads of each finished case ``pred`` (probabilities of the two classes, ``2``), ``class_label`` and ``case_id``.
    """

    def row(self, case: Mapping[str, Any]) -> dict[str, Any]:
        label, probability = int(case["class_label"]), float(case["pred"][1])
        row = {"case_id": str(case["case_id"]), "class": CLASSES[label], "class_label": label}
        prediction = int(probability >= THRESHOLD)
        return {**row, "probability": probability, "prediction": prediction, "correct": prediction == label}

    def metrics(self) -> dict[str, tuple[Interval, int]]:
        probabilities, labels = self._scores()
        counts = {"accuracy": labels.size, "sensitivity": int(labels.sum()), "specificity": int((labels == 0).sum())}
        counts["auc"] = labels.size
        if len(set(labels)) < 2:
            return {name: (_UNDEFINED, count) for name, count in counts.items()}
        intervals = class_metrics(probabilities, labels, THRESHOLD)
        return {name: (intervals[name], count) for name, count in counts.items()}

    def parts(self) -> Sequence[Html]:
        probabilities, labels = self._scores()
        if len(set(labels)) < 2:
            only, missing = CLASSES[labels[0]], CLASSES[1 - labels[0]]
            return [Html(f"<p>All cases are of the class {only}: metrics need cases of the class {missing} too.</p>")]
        caption = "ROC curve. The point is the threshold in use, the diagonal is chance."
        return [figure(roc_curve(probabilities, labels), "ROC curve", caption, "roc")]

    def _scores(self) -> tuple[np.ndarray, np.ndarray]:
        probabilities, labels = (np.array([row[key] for row in self.rows]) for key in ("probability", "class_label"))
        return probabilities, labels


def roc_points(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive and true-positive rate from threshold infinity down, ``K`` each, of two classes (0 and 1)."""
    _, true_positives, false_positives = counts_at_thresholds(probabilities, labels == 1)
    return tuple(np.append(0, counts) / counts[-1] for counts in (false_positives, true_positives))


def roc_curve(probabilities: np.ndarray, labels: np.ndarray) -> bytes:
    """Draw the ROC curve as a PNG file.

    Args:
        probabilities: ``N``, of class 1.
        labels: ``N``, 0 or 1, both present.
    """
    drawing = Figure(figsize=(4.2, 4), layout="tight")
    axes = FigureCanvasAgg(drawing).figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(*roc_points(probabilities, labels), color="#0b57d0")
    in_use = [float(np.mean(probabilities[labels == label] >= THRESHOLD)) for label in (0, 1)]
    axes.plot(*in_use, "o", color="#b3261e")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=120)
    return file.getvalue()
