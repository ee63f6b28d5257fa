"""The parts of the page on generated radiographs: measures beside their reference, distances, and pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..evaluation.described_radiographs import DescribedRadiographs
from ..evaluation.statistics import Interval
from .page import Html, figure, table
from .radiograph_grid import outlined, picture_grid

SHOWN = 12  # pictures of a kind
_OUTLINES = "as it is, then with the outlines of tibia (blue) and lesion (red)"


def measures_table(metrics: Mapping[str, Interval], class_names: Sequence[str]) -> Html:
    """The measures of `sample_quality` that there are, each beside what it is held against.

    Args:
        metrics: by name.
        class_names: of class 0 and 1.
    """
    held_out, identical = "held-out radiographs", "where both follow one law"
    rows = [("in their class, by the classifier", "agreement", "held_out_agreement", held_out)]
    for name in class_names:
        rows.append((f"{name}: in their class", f"agreement_{name}", f"held_out_agreement_{name}", held_out))
    for name in ("tibia", "lesion"):
        rows.append((f"Dice of the segmenter: {name}", f"dice_{name}", f"held_out_dice_{name}", held_out))
        rows.append((f"its difference to held-out: {name}", f"dice_{name}_difference", "0", identical))
    rows += [
        ("distance to the nearest training image", "nearest_distance", "held_out_nearest_distance", held_out),
        ("ratio of these distances", "nearest_distance_ratio", "1", f"{identical}; 0 where all is memorised"),
        ("nearer than 5 % of the held-out", "near_share", "0.05", f"{identical}; 1 where all is memorised"),
        ("kernel inception distance to held-out", "kernel_distance", "reference_kernel_distance", "training images"),
        ("AUC of a grid of 2 x 2 pixels", "pixel_grid_auc", "0.5", "where there is none"),
        ("AUC, real or generated", "real_or_generated_auc", "real_or_generated_auc_by_chance", "by chance"),
    ]
    cells = [
        (measure, _text(metrics[key]), _text(metrics[beside]) if beside in metrics else beside, meaning)
        for measure, key, beside, meaning in rows
        if key in metrics
    ]
    note = (
        "In parentheses 95 % intervals: Student's t of the mean Dice (Welch's of its difference), Wilson's of shares "
        "in their class, random halves for the kernel distance, permutations for the AUC by chance, and percentiles of "
        "a bootstrap of the others. Distances are medians."
    )
    return Html(f"<h2>Measures</h2><p>{note}</p>{table(['measure', 'samples', 'beside it', 'which is of'], cells)}")


def _text(interval: Interval) -> str:
    return "no case" if np.isnan(interval.estimate) else interval.text(".3g")


def distance_histogram(generated: np.ndarray, held_out: np.ndarray) -> Html:
    """Shares of the samples (`N`) and held-out radiographs (`M`) by their distance to the nearest training image."""
    drawing = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    bins = np.linspace(0, max(generated.max(), held_out.max()), 41).tolist()
    for distances, colour, name in ((held_out, "#7d8597", "held-out"), (generated, "#0b57d0", "samples")):
        weights = np.full(distances.size, 1 / distances.size)
        axes.hist(distances, bins, weights=weights, color=colour, alpha=0.6, label=f"{name} ({distances.size})")
    axes.axvline(np.quantile(held_out, 0.05), color="#1c1c1c", linestyle="--", label="5 % of the held-out")
    axes.set(xlabel="distance to the nearest training image", ylabel="share")
    axes.legend(frameon=False)
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=120, metadata={"Software": None})
    caption = "Where samples are nearer than held-out radiographs, the generator repeats what it was trained on."
    return Html(f"<h2>Memorising</h2>{figure(file.getvalue(), 'histogram of distances', caption, 'distances')}")


def closest_pairs(
    samples: DescribedRadiographs,
    reference: DescribedRadiographs,
    distances: np.ndarray,
    indices: np.ndarray,
    mirrored: np.ndarray,
) -> Html:
    """The samples nearest to a training image beside it; distances, indices and mirrored as by `nearest_training`."""
    tiles, names = [], []
    for n in np.argsort(distances, kind="stable")[:SHOWN]:
        of_reference, step = indices[n], -1 if mirrored[n] else 1
        training = (reference.radiographs[of_reference], *reference.masks[of_reference])
        tiles.append(np.hstack([_drawn(samples, n), outlined(*(image[:, ::step] for image in training))]))
        name = f"{samples.case_ids[n]} and {reference.case_ids[of_reference]}{' mirrored' if mirrored[n] else ''}"
        names.append(f"{name} ({distances[n]:.3g})")
    caption = f"Row by row, with their distance: {escape('; '.join(names))}. Each {_OUTLINES}, and so its neighbour."
    picture = figure(picture_grid(tiles), "samples beside training images", caption, "pairs")
    return Html(f"<h2>The closest pairs</h2>{picture}")


def disagreements(samples: DescribedRadiographs, class_names: Sequence[str]) -> Html:
    """The samples that the classifier puts in the other class, the surest first."""
    probabilities = samples.said("probabilities")
    of_own = np.where(samples.labels == 1, probabilities, 1 - probabilities)
    wrong = np.flatnonzero((probabilities >= 0.5) != samples.labels)
    heading = f"<h2>In another class, by the classifier: {len(wrong)} of {len(samples)}</h2>"
    if not len(wrong):
        return Html(heading)
    shown = wrong[np.argsort(of_own[wrong], kind="stable")][:SHOWN]
    names = [f"{samples.case_ids[n]} ({of_own[n]:.2f} for {class_names[samples.labels[n]]})" for n in shown]
    caption = f"Row by row, with the probability of their class: {escape('; '.join(names))}. Each {_OUTLINES}."
    tiles = [_drawn(samples, n) for n in shown]
    return Html(f"{heading}{figure(picture_grid(tiles), 'samples in another class', caption, 'disagreements')}")


def _drawn(samples: DescribedRadiographs, n: int) -> np.ndarray:
    return outlined(samples.radiographs[n], *samples.masks[n])
