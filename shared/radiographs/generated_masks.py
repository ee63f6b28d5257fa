"""The masks of generated radiographs: mended where they are rough, and rejected where they contradict the class."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import FillHoles, KeepLargestConnectedComponent, MapTransform
from monai.utils import convert_to_tensor
from scipy import ndimage

_ALL_AROUND = np.ones((3, 3))  # lesions are thin: their pixels hang together at corners too


class GeneratedMasksd(MapTransform):
    """Mend the masks of generated samples and say which samples are fit for use.

    The tibia, of other anatomy the organ, is the largest component of its channel, holes filled. The lesion is what its
    channel shows within ``margin`` of the tibia, without small components; a sample of class 0 has none. MaC-DM (arXiv
    2311.13688) does not say how its masks are refined.

    Args:
        keys: samples ``3 X Y``: radiograph in [-1, 1], tibia and lesion inside where above 0. Replaced by float32: the
            radiograph clipped, the masks as 0 and 1.
        min_probability: of the wanted class; 0 judges none, as without a classifier.
        min_tibia_share: of the image.
        min_lesion_pixels: of a component.
        max_normal_lesion: pixels of the lesion of a sample that is to have none, before it is emptied.
        margin: pixels.
        lesion_expected: class 1 shows a lesion; False where the network has not seen any lesion mask.
        tibia_parts: number of components kept, 2 for a pair of lungs.
        mask_names: of tibia and lesion, for the reasons.

    Reads ``class_label``, ``class_name`` and ``class_probability``, p(class_label | sample) by the classifier, which
    :class:`~..reports.sample_reports.SampleReports` takes from the inferer. Adds ``accepted`` (bool) and ``reason``
    (str, empty if accepted; several are joined by semicolons).
    """

    def __init__(
        self,
        keys: KeysCollection,
        min_probability: float = 0.9,
        min_tibia_share: float = 0.03,
        min_lesion_pixels: int = 8,
        max_normal_lesion: int = 16,
        margin: int = 3,
        lesion_expected: bool = True,
        tibia_parts: int = 1,
        mask_names: Sequence[str] = ("tibia", "lesion"),
    ) -> None:
        super().__init__(keys)
        self.min_probability, self.min_tibia_share = min_probability, min_tibia_share
        self.min_lesion_pixels, self.max_normal_lesion, self.margin = min_lesion_pixels, max_normal_lesion, margin
        self.lesion_expected, self.tibia_parts, self.mask_names = lesion_expected, tibia_parts, mask_names

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        has_lesion = self.lesion_expected and int(d["class_label"]) == 1
        probability = float(d["class_probability"]) if self.min_probability else 1.0
        for key in self.key_iterator(d):
            sample = convert_to_tensor(d[key]).detach().float().cpu()
            tibia = whole_tibia(sample[1] > 0, self.tibia_parts)
            lesion = lesion_of(sample[2] > 0, tibia, self.min_lesion_pixels, self.margin)
            found = self._contradictions(str(d["class_name"]), has_lesion, probability, tibia, lesion)
            reasons = _faults(sample[0]) + found
            radiograph = sample[0].nan_to_num(-1.0).clamp(-1, 1)
            d[key] = torch.stack([radiograph, tibia.float(), lesion.float() * has_lesion])
            d["accepted"], d["reason"] = not reasons, "; ".join(reasons)
        return d

    def _contradictions(
        self, class_name: str, has_lesion: bool, probability: float, tibia: torch.Tensor, lesion: torch.Tensor
    ) -> list[str]:
        (organ, wound), share, pixels = self.mask_names, float(tibia.float().mean()), int(lesion.sum())
        found = []
        if not probability >= self.min_probability:  # NaN is rejected too
            found.append(f"the classifier gives it {probability:.2f} for {class_name}")
        if share < self.min_tibia_share:
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
