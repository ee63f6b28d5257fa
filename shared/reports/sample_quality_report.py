"""The report on a set of generated radiographs: each measure beside that of radiographs never seen, and pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.described_radiographs import DescribedRadiographs
from ..evaluation.pixel_grid import pixel_grid_auc
from ..evaluation.sample_quality import (
    class_agreement,
    class_matched,
    feature_metrics,
    mask_agreement,
    memorisation_metrics,
    nearest_training,
    refuse_copies,
)
from ..evaluation.statistics import Interval
from ..radiographs.door import CLASSES, RadiographDoor
from ..runs.run_information import run_information
from ..runs.tables import write_csv, write_json
from ..runs.weights import sha256
from .page import Html, failed_cases, table, write_page
from .sample_quality_page import closest_pairs, disagreements, distance_histogram, measures_table

_MIN_SET = 5  # radiographs with features, for the discriminant and the kernel distance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """How sets of radiographs are held against each other.

    Attributes:
        match_classes: hold as many samples of each class against the held-out radiographs as have their class mix;
            False for samples without guidance, whose class says nothing: agreement with the class is left out.
        permutations: as in `real_or_generated_auc`.
        seed: of every choice and resampling.
    """

    match_classes: bool = True
    permutations: int = 200
    seed: int = 0


USUAL = Comparison()


class SampleQualityReport:
    """Compare samples with the radiographs that the generator was trained on and with held-out ones.

    What needs a network that was not given is left out, and the report says so.

    Args:
        output_dir: of ``report.csv`` (a row per sample), ``report.json`` (``metrics``: estimate, low and high by name)
            and ``report.html``.
        title: of the page.
        doors: of ``samples``, ``reference`` (the training images of the generator) and ``held_out``; all need
            ``class_label`` and the masks.
        describe: :func:`~..evaluation.described_radiographs.describe` with its networks; takes cases and ``name``.
        weights: files of the networks, by name; empty where there is none.
        comparison: how the sets are held against each other.
        class_names: of class 0 and 1.
    """

    def __init__(
        self,
        output_dir: str,
        title: str,
        doors: Mapping[str, RadiographDoor],
        describe: Callable[..., DescribedRadiographs],
        weights: Mapping[str, str],
        comparison: Comparison = USUAL,
        class_names: Sequence[str] = CLASSES,
    ) -> None:
        self.folder, self.title, self.doors, self.describe = Path(output_dir), title, doors, describe
        self.comparison, self.class_names = comparison, class_names
        files = {name: {"file": file, "sha256": sha256(file)} for name, file in weights.items() if file}
        self.facts = {**run_information(), **files, "match_classes": comparison.match_classes, "seed": comparison.seed}

    def run(self) -> None:
        """Measure, write the report and log where it is.

        Raises:
            DataListError: a held-out radiograph is a training image.
            ValueError: the samples or the training images lack a class of the held-out radiographs.
        """
        started = time.time()
        samples, reference, held_out = (
            self.describe(self.doors[name].cases, name=name) for name in ("samples", "reference", "held_out")
        )
        nearest = nearest_training(samples.radiographs, reference.radiographs)
        held_out_distances = nearest_training(held_out.radiographs, reference.radiographs)[0]
        refuse_copies(held_out_distances, held_out.case_ids)
        compared = np.arange(len(samples))
        if self.comparison.match_classes:
            compared = class_matched(samples.labels, held_out.labels, self.comparison.seed)
        metrics, left_out = self._said_by_networks(samples, reference, held_out, compared)
        metrics |= memorisation_metrics(nearest[0][compared], held_out_distances, self.comparison.seed)
        of_both = held_out.radiographs, samples.radiographs[compared]
        metrics["pixel_grid_auc"] = pixel_grid_auc(*of_both, self.comparison.seed)
        numbers = {"samples": len(samples), "compared": len(compared), "reference": len(reference)}
        self.facts |= {**numbers, "held_out": len(held_out), "seconds": time.time() - started}
        parts = [
            measures_table(metrics, self.class_names),
            distance_histogram(nearest[0][compared], held_out_distances),
            closest_pairs(samples, reference, *nearest),
        ]
        if "agreement" in metrics:
            parts.append(disagreements(samples, self.class_names))
        self._write(metrics, left_out, self._rows(samples, reference, compared, nearest), parts)

    def _said_by_networks(
        self,
        samples: DescribedRadiographs,
        reference: DescribedRadiographs,
        held_out: DescribedRadiographs,
        compared: np.ndarray,
    ) -> tuple[dict[str, Interval], dict[str, str]]:
        """Measures by name, and by what is left out why."""
        metrics: dict[str, Interval] = {}
        left_out: dict[str, str] = {}
        if not self.comparison.match_classes:
            left_out["agreement with the class"] = "the class of the samples says nothing (match_classes is false)"
        elif samples.probabilities is None:
            left_out["agreement with the class"] = "no classifier was given"
        else:
            metrics |= class_agreement(samples, held_out, compared, self.class_names)
        if samples.dice is None:
            left_out["Dice of the masks"] = "no segmenter was given"
        else:
            metrics |= mask_agreement(samples, held_out, compared)
        if samples.features is None:
            left_out["kernel distance and AUC"] = "no network for the features was given"
            return metrics, left_out
        of_reference = class_matched(reference.labels, held_out.labels, self.comparison.seed)
        if min(len(compared), len(of_reference), len(held_out)) < _MIN_SET:
            left_out["kernel distance and AUC"] = f"a set has fewer than {_MIN_SET} radiographs"
        else:
            logger.info("kernel distance, and %d permutations of real and generated", self.comparison.permutations)
            of_held_out = held_out.said("features")
            features = samples.features[compared], reference.said("features")[of_reference], of_held_out
            metrics |= feature_metrics(*features, self.comparison.permutations, self.comparison.seed)
        return metrics, left_out

    def _rows(
        self,
        samples: DescribedRadiographs,
        reference: DescribedRadiographs,
        compared: np.ndarray,
        nearest: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> list[dict[str, Any]]:
        rows = []
        for n, (distance, of_reference, mirrored) in enumerate(zip(*nearest)):
            label = int(samples.labels[n])
            row = {"case_id": samples.case_ids[n], "class_label": label, "class": self.class_names[label]}
            row["compared"] = bool(np.isin(n, compared))
            if samples.probabilities is not None:
                probability = float(samples.probabilities[n])
                row |= {"probability": probability, "verdict": self.class_names[int(probability >= 0.5)]}
            if samples.dice is not None:
                row |= dict(zip(("dice_tibia", "dice_lesion"), samples.dice[n].tolist()))
            near = {"nearest_case": reference.case_ids[of_reference], "nearest_mirrored": bool(mirrored)}
            rows.append({**row, **near, "nearest_distance": float(distance)})
        return rows

    def _write(
        self,
        metrics: Mapping[str, Interval],
        left_out: Mapping[str, str],
        rows: Sequence[Mapping[str, Any]],
        parts: Sequence[Html],
    ) -> None:
        failures = [failure for door in self.doors.values() for failure in door.failures]
        content = {"metrics": metrics, "left_out": left_out, "failures": failures}
        head = (
            "<p><b>{samples} samples, {compared} of them compared with {held_out} held-out radiographs; "
            "the generator was trained on {reference}.</b></p>"
            '<p class="note">Generated images, of no patient. Research use only; not a medical device.</p>'
        ).format_map(self.facts)
        missing = f"<h2>Left out</h2>{table(['measure', 'why'], list(left_out.items()))}" if left_out else ""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_csv(self.folder / "report.csv", rows)
        write_json(self.folder / "report.json", {"run": self.facts, **content})
        page = [Html(head), failed_cases(failures), *parts[:1], Html(missing), *parts[1:]]
        write_page(self.folder / "report.html", self.title, page, self.facts)
        logger.info("report: %s", self.folder / "report.html")
