"""The superior axis of every orientation a file may have."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from nibabel.eulerangles import euler2mat

from shared.brains.volume import superior_axis

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
