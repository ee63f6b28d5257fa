"""Bones whose volumes are known: no waves, no flare."""

from __future__ import annotations

import numpy as np

from shared.simulation.bone_shapes import LongBone, Waves

FLAT = Waves(np.zeros((1, 2)), np.zeros(1), np.zeros(1))
CYLINDER = LongBone(
    physis=(1.0, -2.0, 3.0),
    shaft=(5.0, 5.0),
    metaphysis=(5.0, 5.0),
    flare=10.0,
    lean=(0.0, 0.0),
    bow=0.0,
    dome=0.0,
    cortex=1.5,
    collar=1.5,
    calcification=0.8,
    compact=0.8,
    calcified=0.3,
    spongiosa=0.25,
    marrow=0.05,
    spongiosa_length=6.0,
    triangular=0.0,
    plate=FLAT,
    outline=FLAT,
)
