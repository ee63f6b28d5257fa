"""A volume in memory: the superior axis of every orientation a file may have, and its largest slice."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from nibabel.eulerangles import euler2mat

from shared.brains.volume import Volume, largest_slice, superior_axis

CODES = ["".join(code) for order in permutations(("LR", "PA", "IS")) for code in product(*order)]


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize("axcodes", CODES)
def test_all_48_orientations(axcodes: str, tilt: float):
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axcodes), (10, 11, 12))
    affine = np.eye(4)
    affine[:3, :3] = euler2mat(tilt, -tilt, tilt) @ np.linalg.inv(turn[:3, :3]) @ np.diag([0.9, 1.0, 6.0])
    axis, direction = superior_axis(affine)
    assert axcodes[axis] == ("S" if direction == 1 else "I")
    assert direction * affine[2, axis] > 0, "a step along it goes up"
    assert len(CODES) == 48


def test_the_largest_slice_is_measured_in_plane():
    brain = np.zeros((10, 5, 20), bool)  # superior axis first, slices of 5 x 20 pixels
    brain[3], brain[7, :2] = True, True
    affine = np.array([[0, 2, 0, 0], [0, 0, 3, 0], [7, 0, 0, 0], [0, 0, 0, 1]])
    volume, area = largest_slice(Volume("x", "t1", np.arange(1000.0).reshape(10, 5, 20), affine), brain)
    assert volume.data.shape == (1, 5, 20) and volume.data[0, 0, 0] == 300
    assert area == pytest.approx(100 * 6 / 100)
