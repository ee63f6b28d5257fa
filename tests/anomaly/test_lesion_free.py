"""Values of a map in lesion-free tissue."""

from __future__ import annotations

import numpy as np
import pytest
from monai.data import MetaTensor

from shared.anomaly.lesion_free import lesion_free_values


class TestLesionFreeValues:
    """Of 2 mm voxels in a row, the map is the number of the voxel and the first one lies outside the brain."""

    def case(self, label: list[int] | None) -> dict[str, MetaTensor | None]:
        affine = np.diag([-2.0, 5.0, 7.0, 1.0])
        brain, anomaly_map = np.ones((1, 6, 1, 1), np.float32), np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
        brain[0, 0] = 0
        case = {
            name: MetaTensor(x, affine=affine)
            for name, x in (("native_brain_mask", brain), ("anomaly_map", anomaly_map))
        }
        marked = None if label is None else np.isin(np.arange(6), label).astype(np.float32).reshape(1, 6, 1, 1)
        return {**case, "label": None if label is None else MetaTensor(marked, affine=affine)}

    @pytest.mark.parametrize(("margin_mm", "expected"), [(0.0, [1, 2, 4, 5]), (2.0, [1, 5]), (5.0, [])])
    def test_are_those_of_the_brain_beyond_the_margin(self, margin_mm: float, expected: list[int]):
        assert lesion_free_values(self.case([3]), margin_mm).tolist() == expected

    @pytest.mark.parametrize("label", [None, []])
    def test_of_a_healthy_case_are_those_of_the_brain(self, label: list[int] | None):
        assert lesion_free_values(self.case(label)).tolist() == [1, 2, 3, 4, 5]
        unlabelled = {key: value for key, value in self.case(None).items() if key != "label"}
        assert lesion_free_values(unlabelled).tolist() == [1, 2, 3, 4, 5]
