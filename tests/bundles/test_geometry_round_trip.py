"""Property: whatever grid a scan is stored on, what is found comes back on that grid, where it was.

Through the preprocessing of each bundle of anomalies as its inference.json has it, and the transforms that restore; the
network in between hands the image on as map and as pseudo-healthy brain.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from shared.anomaly.native_maps import NativeMapsd
from shared.anomaly.threshold_map import ThresholdMapd

BRAIN_MM, LESION_MM = np.array([20.0, 22.0, 18.0]), 9.0  # half axes of an ellipsoid and radius of a ball in it
TISSUE, LESION = 100, 200
SEQUENCE = {"itermask3d": "t1", "mmccd": "flair", "tsgm": "flair"}
quick = settings(max_examples=8, derandomize=True, deadline=None)

spacings = st.tuples(*[st.floats(0.5, 6.0)] * 3)
angles = st.tuples(*[st.floats(-0.6, 0.6)] * 3)  # radians about the three axes
offsets = st.tuples(*[st.floats(-7.0, 7.0)] * 3)  # mm, of the lesion from the centre of the brain
margins = st.tuples(*[st.tuples(st.integers(1, 3), st.integers(1, 4))] * 3)  # voxels before and behind the brain
stored = st.sampled_from([("|u1", 1.0), ("<i2", 0.5), (">i2", 0.01), ("<f4", 1.0), (">f4", 1.0), ("<f8", 1.0)])


def grid_of(
    axes: Sequence[int], flips: Sequence[bool], spacing: Sequence[float], turn: Sequence[float], margin: Any
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape of a grid around the brain, whose centre is at 5, -10, 15 mm."""
    directions = Rotation.from_euler("xyz", turn).as_matrix()[:, list(axes)] * np.where(flips, -1, 1)
    reach = np.sqrt((directions**2).T @ BRAIN_MM**2)  # of the ellipsoid along each axis of the grid
    count = np.ceil(2 * reach / spacing).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    first = (count - 1) / 2 + [before for before, _ in margin]
    affine[:3, 3] = np.array([5, -10, 15]) - affine[:3, :3] @ first
    return affine, tuple(int(n + sum(m)) for n, m in zip(count, margin))


def scan(
    affine: np.ndarray, shape: Sequence[int], offset: Sequence[float], dtype: str, slope: float
) -> SimpleNamespace:
    """The brain with its lesion on a grid, and the distance of each voxel from the lesion's centre in mm."""
    at = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3] - [5, -10, 15]
    brain, distance = np.linalg.norm(at / BRAIN_MM, axis=-1) < 1, np.linalg.norm(at - offset, axis=-1)
    data = np.where(brain, np.where(distance < LESION_MM, LESION, TISSUE), 0)
    header = nib.Nifti1Header(endianness="big" if dtype[0] == ">" else "little")
    header.set_data_dtype(np.dtype(dtype))
    image = nib.Nifti1Image(np.round(data / slope).astype(dtype), affine, header)
    image.header.set_slope_inter(slope, 0)
    return SimpleNamespace(image=image, brain=brain, distance=distance, at=at, lesion=brain & (distance < LESION_MM))


def restored(bundle: Any, name: str, image: nib.Nifti1Image) -> dict[str, Any]:
    """Read, prepare, hand on and restore."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        nib.save(image, path)
        case = {"case_id": "scan", "image": str(path), "sequence": SEQUENCE[name]}
        data = bundle.preprocessing(case)
    prepared = torch.as_tensor(data["image"])
    count = len(prepared) - 1
    shown = next(n for n in range(count) if not prepared[n].isnan().any())
    pred = torch.cat([prepared[shown : shown + 1] + 3, prepared[:count]])
    level = (TISSUE + LESION) / 2 / float(np.atleast_1d(data["intensity_scale"])[shown])
    data = NativeMapsd(reconstructions=count)({**data, "pred": pred})
    return ThresholdMapd("anomaly_map", threshold=level)(data)


@pytest.fixture(scope="module")
def bundle(request) -> SimpleNamespace:
    parser = request.getfixturevalue(request.param).parsed("inference", sequence=SEQUENCE[request.param])
    coarsest = max(parser.get("spacing") or [parser.get("pixel_mm"), parser.get("min_step_mm")])
    preprocessing = parser.get_parsed_content("preprocessing")
    return SimpleNamespace(name=request.param, preprocessing=preprocessing, coarsest=coarsest)


def assert_on_the_grid(found: dict[str, Any], image: nib.Nifti1Image, brain: np.ndarray) -> None:
    for key in ("anomaly_map", "pred", "pseudo_healthy"):
        assert found[key].shape == (1, *image.shape), key
        np.testing.assert_allclose(np.asarray(found[key].affine), image.affine, atol=1e-4)
        assert torch.isfinite(torch.as_tensor(found[key])).all()
        assert not np.asarray(found[key][0])[~brain].any(), key


def assert_in_its_place(found: dict[str, Any], made: SimpleNamespace, coarsest: float) -> None:
    """Voxels differ within half of the coarsest voxel's side (mm) of the ball's surface, its centre by less yet."""
    mask = np.asarray(found["pred"][0]) > 0
    wrong = mask != made.lesion
    assert np.abs(made.distance - LESION_MM)[wrong].max(initial=0) < coarsest / 2
    assert np.linalg.norm(made.at[mask].mean(axis=0) - made.at[made.lesion].mean(axis=0)) < coarsest / 4


@pytest.mark.parametrize("bundle", SEQUENCE, indirect=True)
@quick
@given(
    axes=st.sampled_from(list(permutations(range(3)))),
    flips=st.tuples(*[st.booleans()] * 3),
    spacing=spacings,
    turn=st.one_of(st.just((0.0, 0.0, 0.0)), angles),
    margin=margins,
    offset=offsets,
    how=stored,
)
def test_a_ball_in_a_volume_comes_back_where_it_was(bundle, axes, flips, spacing, turn, margin, offset, how):
    made = scan(*grid_of(axes, flips, spacing, turn, margin), offset, *how)
    found = restored(bundle, bundle.name, made.image)
    assert_on_the_grid(found, made.image, made.brain)
    assert_in_its_place(found, made, max(*spacing, bundle.coarsest))


@pytest.mark.parametrize("bundle", ["mmccd", "tsgm"], indirect=True)
@quick
@given(
    count=st.integers(1, 4),
    flips=st.tuples(*[st.booleans()] * 3),
    spacing=spacings,
    margin=margins,
    how=stored,
)
def test_a_ball_in_few_slices_comes_back_where_it_was(bundle, count, flips, spacing, margin, how):
    """Axial slices through the middle, for the methods that work on slices."""
    affine, shape = grid_of((0, 1, 2), flips, spacing, (0.0, 0.0, 0.0), margin)
    start = (shape[2] - count) // 2
    affine[:3, 3] += affine[:3, 2] * start
    made = scan(affine, (*shape[:2], count), (4.0, -5.0, 0.0), *how)
    found = restored(bundle, bundle.name, made.image)
    assert_on_the_grid(found, made.image, made.brain)
    assert_in_its_place(found, made, max(*spacing, bundle.coarsest))
