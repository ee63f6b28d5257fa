"""Files of scans whose headers state all that a header can say of where the voxels lie."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

SHAPE = (5, 6, 7)
SIZES = np.diag([1.0, 1.5, 4.0])
STANDARD = from_matvec(SIZES @ np.diag([-1, 1, 1]), [90, -126, -72])  # left-handed: qfac is -1
SCANNER = from_matvec(euler2mat(0.1, 0.2, -0.3) @ SIZES, [-70, -80, -40])
HEADERS: dict[str, dict[str, Any]] = {
    f"sform {sform} qform {qform}": {"sform": (STANDARD, sform), "qform": (SCANNER, qform)}
    for sform, qform in itertools.product((0, 1, 2, 4), (0, 1, 3))
} | {
    "qfac -1": {"sform": (SCANNER, 1), "qform": (STANDARD, 1)},
    "without units": {"sform": (STANDARD, 1), "qform": (STANDARD, 1), "units": 0},
    "mm and s": {"sform": (STANDARD, 1), "qform": (STANDARD, 1), "units": 10},
    "sheared": {"sform": (from_matvec([[1, 0.2, 0], [0, 1, 0], [0, 0.1, 4]]), 2), "qform": (SCANNER, 1)},
}


def scan_file(
    path: Path, header: dict[str, Any], shape: tuple[int, ...] = SHAPE, version: Any = nib.Nifti1Image
) -> Path:
    """A file of a scan whose header has these forms with their codes, and these units."""
    blank = version.header_class()
    blank["descrip"], blank["pixdim"][1:4] = b"of the scan", np.diag(SIZES)
    image = version(np.ones(shape, np.int16), None, blank)
    image.header.set_sform(*header["sform"])
    image.header.set_qform(*header["qform"], strip_shears=True)
    image.header["xyzt_units"] = header.get("units", 2)
    path.parent.mkdir(exist_ok=True)
    nib.save(image, path)
    return path


def geometry(path: Path) -> dict[str, Any]:
    """Of a file, as its header states it."""
    header = nib.load(path).header
    names = ("sform_code", "srow_x", "srow_y", "srow_z", "qform_code", "quatern_b", "quatern_c", "quatern_d")
    return {
        name: header[name].tolist() for name in (*names, "qoffset_x", "qoffset_y", "qoffset_z", "pixdim", "xyzt_units")
    }
