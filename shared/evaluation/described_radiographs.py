"""Radiographs with what trained networks say of them: the material of `sample_quality`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.metrics import compute_dice
from monai.networks.nets import ResNet
from tqdm import tqdm

_SHOW_PROGRESS_FROM = 6  # batches


@dataclass
class DescribedRadiographs:
    """N radiographs, and what the networks that were given say of them.

    Attributes:
        case_ids: N.
        labels: `N` int, class 0 or 1.
        radiographs: `N X Y` float32 in [-1, 1].
        masks: `N 2 X Y` bool, tibia and lesion; a lesion mask may be empty.
        probabilities: `N`, of class 1 by the classifier, or None.
        features: `N D`, or None.
        dice: `N 2`, of the segmenter's masks with `masks`, NaN where the mask of `masks` is empty; or None.
    """

    case_ids: Sequence[str]
    labels: np.ndarray
    radiographs: np.ndarray
    masks: np.ndarray
    probabilities: np.ndarray | None = None
    features: np.ndarray | None = None
    dice: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.case_ids)

    def said(self, name: str) -> np.ndarray:
        """What a network said, ``probabilities``, ``features`` or ``dice``.

        Raises:
            ValueError: that network was not given.
        """
        values = getattr(self, name)
        if values is None:
            raise ValueError(f"no network was given that says the {name} of the radiographs")
        return values


def describe(
    cases: Sequence[Mapping[str, Any]],
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    classifier: torch.nn.Module | None = None,
    features: ResNet | None = None,
    segmenter: torch.nn.Module | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 32,
    name: str = "radiographs",
) -> DescribedRadiographs:
    """Read radiographs once and show them to the networks.

    Args:
        cases: with ``case_id`` and ``class_label``.
        read: adds to a case ``radiograph`` in [-1, 1], ``tibia_mask`` and ``lesion_mask`` of 0 and 1, each ``1 X Y``,
            all of one size.
        classifier: ``B 1 X Y`` to logits ``B 2``.
        features: its penultimate features are taken, those after the average pooling: its last layer is taken off.
        segmenter: ``B 1 X Y`` to logits ``B 2 X Y``, of tibia and lesion; a mask is where they are above 0.
        device: where the networks run.
        batch_size: radiographs at a time.
        name: of the progress bar.
    """
    if features is not None:
        features.fc = torch.nn.Identity()  # type: ignore[assignment]  # MONAI names the layer it makes, not what it takes
    given = {"probabilities": classifier, "features": features, "dice": segmenter}
    networks = {key: network.to(device).eval() for key, network in given.items() if network is not None}
    found: dict[str, list[np.ndarray]] = {key: [] for key in ("labels", "radiographs", "masks", *networks)}
    case_ids: list[str] = []
    loader = DataLoader(Dataset(cases, read), batch_size=batch_size)
    for batch in tqdm(loader, desc=name, unit="batch", disable=len(loader) < _SHOW_PROGRESS_FROM):
        radiographs = torch.as_tensor(batch["radiograph"]).float()
        masks = torch.cat([torch.as_tensor(batch[key]) for key in ("tibia_mask", "lesion_mask")], dim=1) > 0
        with torch.inference_mode():
            said = {key: network(radiographs.to(device)).float().cpu() for key, network in networks.items()}
        if "probabilities" in said:
            said["probabilities"] = said["probabilities"].softmax(dim=1)[:, 1]
        if "dice" in said:
            said["dice"] = compute_dice((said["dice"] > 0).float(), masks.float())
        case_ids += list(batch["case_id"])
        said |= {"labels": batch["class_label"], "radiographs": radiographs[:, 0], "masks": masks}
        for key, values in said.items():
            found[key].append(np.asarray(values))
    return DescribedRadiographs(case_ids, **{key: np.concatenate(values) for key, values in found.items()})
