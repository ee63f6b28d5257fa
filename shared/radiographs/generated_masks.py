"""The masks of generated radiographs: mended where they are rough, and rejected where they contradict the class."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import FillHoles, KeepLargestConnectedComponent, MapTransform
from monai.utils import convert_to_tensor
from scipy import ndimage

from ..runs.facts import facts_of

_ALL_AROUND = np.ones((3, 3))  # lesions are thin: their pixels hang together at corners too


@dataclass(frozen=True)
class Anatomy:
    """What the masks of generated radiographs are of.

    Attributes:
        parts: number of components of the organ, 2 for a pair of lungs.
        min_share: of the image that the organ must fill.
        lesion_expected: class 1 shows a lesion; False where the network has not seen any lesion mask.
        mask_names: of organ and lesion, for the reasons.
    """

    parts: int = 1
    min_share: float = 0.03
    lesion_expected: bool = True
    mask_names: Sequence[str] = ("tibia", "lesion")


TIBIA = Anatomy()


class GeneratedMasksd(MapTransform):
    """Mend the masks of generated samples and say which samples are fit for use.

    The tibia, of other anatomy the organ, is the largest component of its channel, holes filled. The lesion is what its
    channel shows within ``margin`` of the tibia, without small components; a sample of class 0 has none. MaC-DM (arXiv
    2311.13688) does not say how its masks are refined.

    Args:
        keys: samples ``3 X Y``: radiograph in [-1, 1], tibia and lesion inside where above 0. Replaced by float32: the
            radiograph clipped, the masks as 0 and 1.
        anatomy: what the masks are of.
        min_probability: of the wanted class; 0 judges none, as without a classifier.
        min_lesion_pixels: of a component.
        max_normal_lesion: pixels of the lesion of a sample that is to have none, before it is emptied.
        margin: pixels.

    Reads ``class_label``, ``class_name`` and, of the facts that come with a sample (:mod:`~..runs.facts`),
    ``class_probability``, p(class_label | sample) by the classifier. Adds ``facts``, ``accepted`` (bool) and ``reason``
    (str, empty if accepted; several are joined by semicolons).

    Raises:
        ValueError: ``min_probability`` is outside [0, 1]; in use: no classifier has judged a sample, and it is above 0.
    """

    def __init__(
        self,
        keys: KeysCollection,
        anatomy: Anatomy = TIBIA,
        min_probability: float = 0.9,
        min_lesion_pixels: int = 8,
        max_normal_lesion: int = 16,
        margin: int = 3,
    ) -> None:
        super().__init__(keys)
        if not 0 <= min_probability <= 1:
            raise ValueError(f"min_probability is a probability between 0 and 1, got {min_probability}")
        self.anatomy, self.min_probability = anatomy, min_probability
        self.min_lesion_pixels, self.max_normal_lesion, self.margin = min_lesion_pixels, max_normal_lesion, margin

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        has_lesion = self.anatomy.lesion_expected and int(d["class_label"]) == 1
        for key in self.key_iterator(d):
            d["facts"] = facts_of(d[key])
            probability = self._probability(d["facts"])
            sample = convert_to_tensor(d[key], track_meta=False).detach().float().cpu()
            tibia = whole_tibia(sample[1] > 0, self.anatomy.parts)
            lesion = lesion_of(sample[2] > 0, tibia, self.min_lesion_pixels, self.margin)
            found = self._contradictions(str(d["class_name"]), has_lesion, probability, tibia, lesion)
            reasons = _faults(sample[0]) + found
            radiograph = sample[0].nan_to_num(-1.0).clamp(-1, 1)
            d[key] = torch.stack([radiograph, tibia.float(), lesion.float() * has_lesion])
            d["accepted"], d["reason"] = not reasons, "; ".join(reasons)
        return d

    def _probability(self, facts: Mapping[str, Any]) -> float:
        probability = facts.get("class_probability") if self.min_probability else 1.0
        if probability is None:
            raise ValueError("no classifier has judged the sample: set min_probability to 0, or give a classifier")
        return float(probability)

    def _contradictions(
        self, class_name: str, has_lesion: bool, probability: float, tibia: torch.Tensor, lesion: torch.Tensor
    ) -> list[str]:
        (organ, wound), share, pixels = self.anatomy.mask_names, float(tibia.float().mean()), int(lesion.sum())
        found = []
        if not probability >= self.min_probability:  # NaN is rejected too
            found.append(f"the classifier gives it {probability:.2f} for {class_name}")
        if share < self.anatomy.min_share:
            found.append(f"only {100 * share:.1f} % of the image is {organ}" if share else f"no {organ}")
        if has_lesion and not pixels:
            found.append(f"no {wound}, but the class is {class_name}")
        if not has_lesion and pixels > self.max_normal_lesion:
            found.append(f"{pixels} pixels of {wound}, but the class is {class_name}")
        return found


def whole_tibia(mask: torch.Tensor, parts: int = 1) -> torch.Tensor:
    """The ``parts`` largest 4-connected components of a mask, their holes filled; ``X Y`` bool to ``X Y`` bool."""
    if not mask.any():
        return mask
    largest = KeepLargestConnectedComponent(connectivity=1, num_components=parts)
    return FillHoles(applied_labels=1)(largest(mask[None].float()))[0] > 0


def lesion_of(mask: torch.Tensor, tibia: torch.Tensor, min_pixels: int, margin: int) -> torch.Tensor:
    """The 8-connected components of at least ``min_pixels`` of what a mask shows in the tibia or ``margin`` beside it.

    Args:
        mask: ``X Y`` bool.
        tibia: ``X Y`` bool.
        min_pixels: those that lie within the margin count.
        margin: pixels around the tibia (Euclidean), at least 0.

    Returns:
        ``X Y`` bool.
    """
    if not tibia.any():
        return torch.zeros_like(mask)
    near = ndimage.distance_transform_edt(~np.asarray(tibia)) <= margin
    components, _ = ndimage.label(np.asarray(mask) & near, _ALL_AROUND)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background
    return torch.from_numpy((sizes >= max(min_pixels, 1))[components])


def _faults(radiograph: torch.Tensor) -> list[str]:
    if bad := int((~radiograph.isfinite()).sum()):
        return [f"{bad} pixels are NaN or infinite"]
    return ["the radiograph is constant"] if radiograph.min() == radiograph.max() else []
