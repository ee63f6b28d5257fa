"""NIfTI files of a small brain with any header: what a header can say, and what it should not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import strategies as st
from nibabel.eulerangles import euler2mat

SPACINGS = ((8.0, 8.0, 8.0), (6.0, 7.5, 10.0))  # mm; few voxels, so that a file is checked in milliseconds
FIELD_MM = np.array([160.0, 190.0, 150.0])
HALF_AXES_MM = np.array([60.0, 75.0, 55.0])
REAL = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
OTHER = ("c8", "c16", "rgb")
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
SCALES = ((np.nan, np.nan), (0.0, 0.0), (0.0, 5.0), (1.0, 0.0), (0.5, 0.0), (100.0, 0.0), (1e-3, 0.0))
ODD_SCALES = ((-1.0, 0.0), (1.0, 7.0), (1.0, -60.0), (np.inf, 0.0), (1.0, np.nan), (1e-38, 0.0), (1e38, 0.0))
TRAILING = ((), (1,), (1, 1), (1, 1, 1, 1))


def brain(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Grey around white matter with a dark ball in the left front, by the place of each voxel (mm, RAS+); X Y Z."""
    x, y, z = (affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]).reshape(3, *shape)
    radius = np.sqrt(sum((at / half) ** 2 for at, half in zip((x, y, z), HALF_AXES_MM)))
    values = np.where(radius < 0.8, 100, 70) + (np.round(x + 2 * y + 3 * z) % 7)
    ball = (x + 25) ** 2 + (y - 30) ** 2 + (z - 10) ** 2 < 15**2
    return np.where(radius < 1, np.where(ball, 20, values), 0)


@dataclass(frozen=True)
class AnyNifti:
    """What the header of a file says.

    Attributes:
        axes: order of the voxel axes in the world, and which of them fall.
        turn: rotation of the grid, radians about x, y and z.
        spacing: mm, along x, y and z.
        forms: codes of sform and qform.
        moved: mm along x that the grid lies beside its place, and the brain with it.
        qform_moved: mm that the qform lies beside the sform.
        fault: name in :data:`FAULTS`; empty: the header is as it should be.
    """

    axes: tuple[tuple[int, int, int], tuple[int, int, int]] = ((0, 1, 2), (1, 1, 1))
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spacing: tuple[float, float, float] = SPACINGS[0]
    forms: tuple[int, int] = (1, 1)
    moved: float = 0.0
    qform_moved: float = 0.0
    units: int = 2
    dtype: str = "f4"
    scale: tuple[float, float] = SCALES[0]
    trailing: tuple[int, ...] = ()
    version: int = 1
    endianness: str = "<"
    ending: str = ".nii"
    gap: int = 0
    fault: str = ""

    @property
    def affine(self) -> np.ndarray:
        """Of the sform, ``4 4``, with the brain in the middle of the field."""
        order, signs = self.axes
        steps = euler2mat(*self.turn[::-1]) @ np.diag(np.array(self.spacing) * signs)[:, order]
        affine = np.eye(4)
        affine[:3, :3] = steps
        affine[:3, 3] = -steps @ (np.array(self.shape) - 1) / 2 + [self.moved, 0, 0]
        return affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """``X Y Z`` of the voxel axes."""
        x, y, z = (round(side / step) for side, step in zip(FIELD_MM, self.spacing))
        order = self.axes[0]
        return (x, y, z)[order[0]], (x, y, z)[order[1]], (x, y, z)[order[2]]


def header_of(recipe: AnyNifti) -> nib.Nifti1Header:
    """The header as the recipe says, without a fault."""
    header = (nib.Nifti1Header if recipe.version == 1 else nib.Nifti2Header)(endianness=recipe.endianness)
    header.set_data_shape((*recipe.shape, *recipe.trailing))
    header.set_data_dtype(RGB if recipe.dtype == "rgb" else np.dtype(recipe.dtype))
    header.set_zooms(np.linalg.norm(recipe.affine[:3, :3], axis=0).tolist() + [1.0] * len(recipe.trailing))
    moved = recipe.affine.copy()
    moved[0, 3] += recipe.qform_moved
    header.set_qform(moved, recipe.forms[1])
    header.set_sform(recipe.affine, recipe.forms[0])
    header["scl_slope"], header["scl_inter"] = recipe.scale
    header["xyzt_units"] = recipe.units
    header["magic"] = b"n+1" if recipe.version == 1 else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = len(header.binaryblock) + 4 + recipe.gap
    return header


def write(recipe: AnyNifti, path: Path, change: Callable[[np.ndarray], np.ndarray] = lambda voxels: voxels) -> Path:
    """Write the file beside ``path``, with the ending of the recipe; voxels are those of :func:`brain`, changed."""
    header = header_of(recipe)
    voxels = change(brain(replace(recipe, moved=0.0).affine, recipe.shape))
    values = voxels[..., None].astype("u1").repeat(3, -1) if recipe.dtype == "rgb" else voxels
    stored = values.astype(np.dtype("u1" if recipe.dtype == "rgb" else recipe.dtype).newbyteorder(recipe.endianness))
    if recipe.dtype == "rgb":  # colours of a voxel lie together
        data = np.moveaxis(stored, -1, 0).tobytes(order="F")
    else:
        data = stored.tobytes(order="F") * int(np.prod(recipe.trailing or (1,)))
    content = FAULTS[recipe.fault](header, data) if recipe.fault else contained(header, data)
    file = path.with_name(path.name + recipe.ending)
    file.write_bytes(gzip.compress(content, 1, mtime=0) if recipe.ending.lower().endswith(".gz") else content)
    return file


def contained(header: nib.Nifti1Header, data: bytes) -> bytes:
    """Header, no extension, a gap as ``vox_offset`` says, data."""
    start = header.binaryblock
    return start + bytes(max(0, int(header["vox_offset"]) - len(start))) + data


def _stating(**fields: object) -> Callable[[nib.Nifti1Header, bytes], bytes]:
    def state(header: nib.Nifti1Header, data: bytes) -> bytes:
        start = int(header["vox_offset"]) - len(header.binaryblock)  # where the data is, whatever is stated
        for name, value in fields.items():
            header[name] = value
        return header.binaryblock + bytes(start) + data

    return state


def _dim(*numbers: int) -> Callable[[nib.Nifti1Header, bytes], bytes]:
    return _stating(dim=[*numbers, *[1] * (8 - len(numbers))])


def _pixdim(*numbers: float) -> Callable[[nib.Nifti1Header, bytes], bytes]:
    return _stating(pixdim=[*numbers, *[1.0] * (8 - len(numbers))])


FAULTS: dict[str, Callable[[nib.Nifti1Header, bytes], bytes]] = {
    "no axis": _dim(0, 20, 24, 19),
    "nine axes": _dim(9, 20, 24, 19),
    "negative axis": _dim(3, 20, -24, 19),
    "empty axis": _dim(3, 20, 0, 19),
    "more voxels than there are": _dim(3, 40, 48, 38),
    "fewer voxels than there are": _dim(3, 10, 24, 10),
    "huge": _dim(3, 30000, 30000, 30000),
    "one slice": _dim(3, 20, 24, 1),
    "2D": _dim(2, 20, 24),
    "1D": _dim(1, 20),
    "two volumes": _dim(4, 10, 24, 9, 2),
    "vector": _dim(5, 10, 12, 9, 1, 3),
    "voxels of 0 mm": _pixdim(1, 8, 0, 8),
    "voxels of -8 mm": _pixdim(1, 8, -8, 8),
    "voxels of NaN mm": _pixdim(1, 8, np.nan, 8),
    "voxels of infinite size": _pixdim(1, np.inf, 8, 8),
    "qfac 0": _pixdim(0, 8, 8, 8),
    "qfac 7": _pixdim(7, 8, 8, 8),
    "qfac NaN": _pixdim(np.nan, 8, 8, 8),
    "sform of 0": _stating(sform_code=1, srow_x=[0, 0, 0, 0]),
    "sform of NaN": _stating(sform_code=1, srow_y=[0, np.nan, 0, 0]),
    "sform infinite": _stating(sform_code=1, srow_z=[0, 0, 8, np.inf]),
    "sform sheared": _stating(sform_code=1, srow_x=[8, 4, 0, -80], srow_y=[0, 8, 2, -95], srow_z=[0, 0, 8, -75]),
    "sform code -1": _stating(sform_code=-1),
    "sform code 99": _stating(sform_code=99),
    "quaternion too long": _stating(sform_code=0, qform_code=1, quatern_b=0.9, quatern_c=0.9, quatern_d=0.9),
    "quaternion NaN": _stating(sform_code=0, qform_code=1, quatern_b=np.nan),
    "metres": _stating(xyzt_units=1),
    "micrometres": _stating(xyzt_units=3),
    "no unit that there is": _stating(xyzt_units=7),
    "two files": _stating(magic=b"ni1"),
    "ANALYZE": _stating(magic=b"\0\0\0\0"),
    "no magic that there is": _stating(magic=b"abc"),
    "no type that there is": _stating(datatype=999),
    "no type": _stating(datatype=0),
    "1 bit": _stating(datatype=1, bitpix=1),
    "wrong bitpix": _stating(bitpix=3),
    "data before the header": _stating(vox_offset=100),
    "data at 0": _stating(vox_offset=0),
    "data beyond the end": _stating(vox_offset=2**30),
    "data at -5": _stating(vox_offset=-5),
    "cut": lambda header, data: contained(header, data)[: 400 + len(data) // 2],
    "cut in the header": lambda header, data: contained(header, data)[:200],
    "nothing": lambda header, data: b"",
    "text": lambda header, data: b"no image " * 99,
    "more behind it": lambda header, data: contained(header, data) + b"behind" * 1000,
}


def any_header(faults: bool = True) -> st.SearchStrategy[AnyNifti]:
    """All that a header can say; with ``faults`` also what it should not."""
    turns = st.tuples(*[st.sampled_from((0.0, 0.02, -0.3, 0.7))] * 3)
    signs = st.tuples(*[st.sampled_from((1, -1))] * 3)
    return st.builds(
        AnyNifti,
        axes=st.tuples(st.permutations((0, 1, 2)).map(tuple), signs),
        turn=st.one_of(st.just((0.0, 0.0, 0.0)), turns),
        spacing=st.sampled_from(SPACINGS),
        forms=st.tuples(st.integers(0, 5), st.integers(0, 5)),
        qform_moved=st.sampled_from((0.0, 0.0, 1e-4, 20.0)),
        units=st.sampled_from((2, 0, 10, 18, 26)),
        dtype=st.sampled_from((*REAL, *OTHER)),
        scale=st.sampled_from((*SCALES, *ODD_SCALES)),
        trailing=st.sampled_from(TRAILING),
        version=st.sampled_from((1, 2)),
        endianness=st.sampled_from("<>"),
        ending=st.sampled_from((".nii", ".nii.gz", ".NII.GZ", ".NII", ".nii.GZ")),
        gap=st.sampled_from((0, 16, 160)),
        fault=st.one_of(st.just(""), st.sampled_from(sorted(FAULTS))) if faults else st.just(""),
    )
