"""The brain away from lesions: distances in mm on grids whose voxels are not cubes."""

from __future__ import annotations

import numpy as np
import pytest

from shared.brains.lesion_free import lesion_free


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
