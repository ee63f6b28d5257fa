"""How good generated radiographs are: measures of a set of samples beside those of radiographs never seen.

Measures over all classes compare sets of one class mix, those of a class take all its samples. The names of the
measures of held-out radiographs begin with ``held_out_``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..runs.errors import DataListError
from .described_radiographs import DescribedRadiographs
from .kernel_distance import kernel_distance
from .nearest_neighbours import blurred_pixels, memorisation, nearest_neighbours
from .real_or_generated import real_or_generated_auc
from .statistics import Interval, bootstrap_interval, mean_difference, mean_interval, share


def class_matched(labels: np.ndarray, like: np.ndarray, seed: int = 0) -> np.ndarray:
    """Choose as many cases as there can be with the class mix of another set.

    Args:
        labels: `N`, 0 or 1.
        like: `M`, 0 or 1, whose mix is wanted.
        seed: of the choice.

    Returns:
        indices into labels, increasing.

    Raises:
        ValueError: a class of ``like`` is missing in ``labels``.
    """
    shares = np.bincount(like, minlength=2) / len(like)
    counts = np.bincount(labels, minlength=2)
    total = min(count / share for count, share in zip(counts, shares) if share)
    if not total:
        lacking = int(np.argmin(np.where(shares > 0, counts, np.inf)))
        raise ValueError(
            f"no case of class {lacking} to match the class mix; add some (samples: or match_classes false)"
        )
    generator, wanted = np.random.default_rng(seed), np.round(total * shares).astype(int)
    chosen = [generator.permutation(np.flatnonzero(labels == n))[: wanted[n]] for n in (0, 1)]
    return np.sort(np.concatenate(chosen))


def class_agreement(
    samples: DescribedRadiographs, held_out: DescribedRadiographs, compared: np.ndarray, class_names: Sequence[str]
) -> dict[str, Interval]:
    """Share of the radiographs that the classifier puts in their class: ``agreement``, and ``agreement_<class>``."""
    metrics = {}
    for prefix, of, mixed in (("", samples, compared), ("held_out_", held_out, slice(None))):
        agrees = np.equal(of.said("probabilities") >= 0.5, of.labels)
        metrics[f"{prefix}agreement"] = share(agrees[mixed])
        for label, name in enumerate(class_names):
            metrics[f"{prefix}agreement_{name}"] = share(agrees[of.labels == label])
    return metrics


def mask_agreement(
    samples: DescribedRadiographs, held_out: DescribedRadiographs, compared: np.ndarray
) -> dict[str, Interval]:
    """Mean Dice of the segmenter with the masks, ``dice_tibia`` and ``dice_lesion`` (where there is one), and
    ``..._difference`` to that of the held-out radiographs."""
    metrics, dice, of_held_out = {}, samples.said("dice"), held_out.said("dice")
    for n, (name, values) in enumerate({"tibia": dice[compared, 0], "lesion": dice[:, 1]}.items()):
        metrics[f"dice_{name}"] = mean_interval(values)
        metrics[f"held_out_dice_{name}"] = mean_interval(of_held_out[:, n])
        metrics[f"dice_{name}_difference"] = mean_difference(values, of_held_out[:, n])
    return metrics


def nearest_training(queries: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest training image, or mirror image of one: generators are trained on both.

    Args:
        queries: `N X Y`.
        training: `M X Y`, Y across.

    Returns:
        Euclidean distances of slightly blurred pixels (`N`), indices into training (`N`), and whether it is nearest
        as its mirror image (`N` bool).
    """
    both = np.concatenate([training, training[..., ::-1]])
    distances, indices = nearest_neighbours(blurred_pixels(queries[:, None]), blurred_pixels(both[:, None]))
    return distances, indices % len(training), indices >= len(training)


def memorisation_metrics(generated: np.ndarray, held_out: np.ndarray, seed: int = 0) -> dict[str, Interval]:
    """Medians of the distances to the nearest training image, their ratio, and the share of near samples.

    Args:
        generated: `N`, by `nearest_training`.
        held_out: `M`.
        seed: of the bootstrap.

    Returns:
        ``nearest_distance``, ``held_out_nearest_distance``, ``nearest_distance_ratio`` and ``near_share``, the part of
        the samples nearer than the 5th percentile of the held-out radiographs (0.05 where nothing is memorised).
    """
    compared = memorisation(generated, held_out, seed=seed)
    return {
        "nearest_distance": bootstrap_interval(generated, np.median, seed=seed),
        "held_out_nearest_distance": bootstrap_interval(held_out, np.median, seed=seed),
        "nearest_distance_ratio": compared["median_ratio"],
        "near_share": compared["near_share"],
    }


def refuse_copies(distances: np.ndarray, case_ids: Sequence[str]) -> None:
    """Raises DataListError where a held-out radiograph is a training image, at distance 0 to it: leakage."""
    if copies := [case_id for case_id, distance in zip(case_ids, distances) if not distance]:
        raise DataListError(
            f"{len(copies)} held-out radiographs are training images ({', '.join(copies[:3])}): leakage; "
            "hold out radiographs that the generator was not trained on"
        )


def feature_metrics(
    samples: np.ndarray, reference: np.ndarray, held_out: np.ndarray, permutations: int = 200, seed: int = 0
) -> dict[str, Interval]:
    """Kernel inception distance to the held-out radiographs, and AUC of a discriminant of the two sets.

    Args:
        samples: `N D`, features, at least 5.
        reference: `M D`, of the training images, whose distance is the floor: held-out radiographs follow their law.
        held_out: `K D`, at least 5; all three sets of one class mix.
        permutations: as in `real_or_generated_auc`.
        seed: of the resampling.

    Returns:
        ``kernel_distance``, ``reference_kernel_distance``, ``real_or_generated_auc`` (without an interval), and
        ``real_or_generated_auc_by_chance``.
    """
    auc, chance = real_or_generated_auc(held_out, samples, permutations=permutations, seed=seed)
    return {
        "kernel_distance": kernel_distance(samples, held_out, seed=seed),
        "reference_kernel_distance": kernel_distance(reference, held_out, seed=seed),
        "real_or_generated_auc": Interval(auc, np.nan, np.nan),
        "real_or_generated_auc_by_chance": chance,
    }
