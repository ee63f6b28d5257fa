"""Whether the files of a case lie on one grid."""

from __future__ import annotations

from ..runs.errors import InputError
from .one_grid import are_one_grid, are_one_grid_by_qform, corner_shift
from .volume import Volume


def check_same_grid(other: Volume, image: Volume) -> None:
    """Check that two files of a case have one shape, and corners within a tenth of a voxel of each other.

    Raises:
        InputError: they do not.
    """
    remedy = f"Resample it to the grid of {image.file} (nearest neighbour)"
    if other.data.shape != image.data.shape:
        problem = f"has shape {other.data.shape}, but {image.file} has {image.data.shape}"
        raise InputError(other.file, other.key, problem, remedy)
    if not are_one_grid(image.grid, other.grid):
        check_forms(other, image)
        shift = corner_shift(image.grid, other.grid)
        problem = f"its affine differs from that of {image.file} by up to {shift:.3g} mm"
        raise InputError(other.file, other.key, problem, remedy)


def check_forms(other: Volume, image: Volume) -> None:
    """Refuse a file that lies on the image by the qform of one of them, and elsewhere by the sform, which is used.

    ITK, and so Slicer, reads the qform of many scans whose two forms differ, and writes it into both forms of a mask
    that is drawn there.

    Raises:
        InputError: such a file.
    """
    if are_one_grid_by_qform(image, other):
        shift = corner_shift(image.grid, other.grid)
        problem = (
            f"lies on {image.file} by the qform, but {shift:.3g} mm beside it by the sform, from which that differs"
        )
        remedy = f"If it was made on that scan, give it the header of {image.file}, such as by FSL's fslcpgeom"
        raise InputError(other.file, other.key, problem, remedy)
