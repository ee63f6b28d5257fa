"""NIfTI files that are written for a scan, with the geometry of its header as it stands."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from .files import replacing

_QFORM = ("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
_SFORM = ("sform_code", "srow_x", "srow_y", "srow_z")
_GEOMETRY = ("pixdim", "xyzt_units", *_QFORM, *_SFORM)


def write_like(file: Path, voxels: np.ndarray, source: str | Path, description: str = "") -> None:
    """Write voxels of a scan as NIfTI, in one step, so that any reader lays them on the scan.

    Readers differ in which of sform and qform they take (nibabel the sform; ITK, and so Slicer, often the qform), and
    what they take where neither has a code. Both forms with their codes, voxel sizes and units are therefore those of
    the scan, and so are the version of NIfTI and the number of axes in space; nothing else of its header is taken.

    Args:
        file: to be written, compressed where its name ends in ``.gz``; its folder is made where it is missing.
        voxels: ``X Y Z``, or ``X Y Z C`` for several volumes, on the grid of the scan and of the type to be written.
        source: NIfTI file of the scan, ``X Y`` or ``X Y Z`` with any further axes.
        description: becomes ``descrip`` of the header, at most 79 characters.
    """
    scan = nib.load(source)
    flat = len(scan.shape) < 3 and voxels.ndim == 3
    header = type(scan.header)()
    header.set_data_shape(scan.shape if flat else voxels.shape)  # first, since it sets sizes too
    header.set_data_dtype(voxels.dtype)
    for field in _GEOMETRY:
        header[field] = scan.header[field]
    header["descrip"] = description.encode()
    image = type(scan)(voxels.reshape(header.get_data_shape()), None, header)
    content = image.to_bytes()
    with replacing(file) as temporary:
        temporary.write_bytes(gzip.compress(content, 1, mtime=0) if file.suffix == ".gz" else content)
