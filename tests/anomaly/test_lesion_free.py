"""Lesion-free tissue: distances in mm on grids whose voxels are not cubes."""

from __future__ import annotations

import numpy as np
import pytest
from monai.data import MetaTensor

from shared.anomaly.lesion_free import lesion_free, lesion_free_values


class TestLesionFree:
    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.0, 6.0), (0.5, 3.0, 1.0)])
    @pytest.mark.parametrize("margin_mm", [0.0, 2.0, 5.0])
    def test_margin_is_in_mm_between_voxel_centres(self, spacing: tuple[float, float, float], margin_mm: float):
        shape, at = (25, 25, 25), (12, 11, 13)
        label, brain = np.zeros(shape), np.ones(shape)
        label[at], brain[:3] = 255, 0
        distance = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - at) * spacing, axis=-1)
        free = lesion_free(brain, label, spacing, margin_mm)
        np.testing.assert_array_equal(free, (brain > 0) & (distance > margin_mm))

    def test_without_a_labelled_voxel_it_is_the_brain(self):
        brain = np.random.default_rng(0).random((6, 7, 8)) < 0.5
        np.testing.assert_array_equal(lesion_free(brain, np.zeros(brain.shape), (1, 1, 1), 5.0), brain)


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
