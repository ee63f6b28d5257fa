"""Made-up sets of described radiographs, of which every measure is known."""

from __future__ import annotations

import numpy as np

from shared.evaluation.described_radiographs import DescribedRadiographs

SIZE = 32


def described(seed: int, labels: list[int], **said: np.ndarray) -> DescribedRadiographs:
    """Radiographs of smooth noise, a tibia in each, a lesion in those of class 1."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(len(labels), SIZE, SIZE)).cumsum(1).cumsum(2)
    radiographs = (noise / np.abs(noise).max()).astype(np.float32)
    masks = np.zeros((len(labels), 2, SIZE, SIZE), bool)
    masks[:, 0, :20, 8:20] = True
    masks[np.array(labels) == 1, 1, 16:20, 8:12] = True
    names = [f"case{seed}_{n}" for n in range(len(labels))]
    return DescribedRadiographs(names, np.array(labels), radiographs, masks, **said)
