"""Pairs of slices at the same height of the brain: without and with a lesion, for learning between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from torch.utils.data import Dataset

from ..runs.errors import DataListError
from ..runs.seeds import derive_seed

MASKS = ("brain_mask", "lesion_free")


class HeightMatchedPairs(Dataset):
    """Unpaired slices of two domains, drawn at equal relative height: lesions are rarest where slices are free of them.

    A network that tells or translates one domain from the other would otherwise learn height. Tenths of the brain's
    height that hold both domains are drawn alike, then a slice of each domain within the tenth. What the n-th item of
    an epoch is depends on (seed, epoch, n) only.

    Args:
        cases: each with ``case_id``, ``keys``, ``brain_mask``, ``lesion_free`` (0/1) and ``label`` (above 0 is lesion),
            ``Z X Y`` each, the lowest slice first; read once.
        keys: sequences of a case, stacked to ``S X Y`` in this order.
        transform: of one slice ``{"image": S X Y, "brain_mask": 1 X Y, "lesion_free": 1 X Y}``, for augmentation.
        length: of an epoch, in pairs.
        seed: of the draws.
        lesion_slices_too: the "healthy" slice may hold a lesion, which its ``lesion_free`` leaves out.
        min_share: of the largest slice's brain that a slice must hold; the height is that of these slices.
        min_lesion: pixels of a lesion that make a slice one of the domain "tumor".

    Raises:
        DataListError: no tenth of the height holds both domains.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        keys: Sequence[str],
        transform: Compose,
        length: int,
        seed: int = 0,
        lesion_slices_too: bool = False,
        min_share: float = 0.25,
        min_lesion: int = 30,
    ) -> None:
        self.transform, self.length, self.seed = transform, length, seed
        self.slices: list[dict[str, Any]] = []
        domains: dict[str, dict[int, list[int]]] = {"healthy": {}, "tumor": {}}
        for case in cases:
            brain, lesion = ((case[key] > 0).sum(dim=(1, 2)) for key in ("brain_mask", "label"))
            usable = (brain >= max(float(min_share * brain.max()), 1)).nonzero()[:, 0].tolist()
            for z in usable:
                tenth = min(9, 10 * (z - usable[0]) // max(usable[-1] - usable[0], 1))
                images = torch.stack([case[key][z] for key in keys])
                masks = {key: case[key][z][None] for key in MASKS}
                if lesion[z] == 0 or lesion_slices_too:
                    domains["healthy"].setdefault(tenth, []).append(len(self.slices))
                if lesion[z] >= min_lesion:
                    domains["tumor"].setdefault(tenth, []).append(len(self.slices))
                self.slices.append({"case_id": case["case_id"], "image": images, **masks})
        self.domains, self.tenths = domains, sorted(set(domains["healthy"]) & set(domains["tumor"]))
        if not self.tenths:
            raise DataListError(
                "no height of the brain has slices with a lesion and slices without; add labelled cases to the datalist"
            )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """``healthy`` and ``tumor`` ``S X Y``, each with ``_case_id``, ``_brain_mask`` and ``_lesion_free``."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        random = np.random.RandomState(derive_seed(self.seed, epoch, index))
        tenth = self.tenths[random.randint(len(self.tenths))]
        pair: dict[str, Any] = {}
        for domain, slices in self.domains.items():
            drawn = dict(self.slices[slices[tenth][random.randint(len(slices[tenth]))]])
            self.transform.set_random_state(seed=derive_seed(self.seed, epoch, index, domain))
            drawn = self.transform(drawn)
            pair[domain] = torch.as_tensor(np.asarray(drawn["image"]))
            pair[f"{domain}_case_id"] = drawn["case_id"]
            for mask in MASKS:
                pair[f"{domain}_{mask}"] = torch.as_tensor(np.asarray(drawn[mask]))
        return pair
