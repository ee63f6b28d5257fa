"""One NIfTI file, read whole once and checked: shape, type, geometry. What it shows is checked in :mod:`.checks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from ..cases.sequence_cases import NAME_VOLUMES
from ..runs.errors import InputError
from .nifti_bytes import RESAVE, read_data, read_header
from .volume import Volume, superior_axis

MAX_VOXELS = 512**3
MIN_VOXELS_PER_AXIS = 8
MIN_EXTENT_MM = 30.0
_BYTES_PER_VOXEL = 40  # image, mask, two maps and the pseudo-healthy brain in float32, each twice while it is resampled


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI file whose header is good; its voxels are not read yet.

    ``shape`` is ``X Y Z``, of a 2D image ``X Y 1``; ``count`` is the number of its volumes; ``affine`` is 4 4, voxel
    indices to mm (RAS+); ``notes`` say what is unusual in its ``header``.
    """

    file: str
    key: str
    header: nib.Nifti1Header
    shape: tuple[int, ...]
    count: int
    affine: np.ndarray
    notes: list[str]

    def read(self) -> np.ndarray:
        """All volumes, ``X Y Z C`` float32, scaled as the header says.

        Raises:
            InputError: a damaged file; NaN or inf.
        """
        return read_data(self.file, self.key, self.header).reshape(*self.shape, self.count)


def open_nifti(file: str, key: str) -> NiftiFile:
    """Open a file for the door and for what loads it after the door, so that the two cannot disagree about it.

    Args:
        file: path of the NIfTI file.
        key: of the file in its case, for error messages.

    Raises:
        InputError: missing, damaged or foreign file; no real numbers; unusable geometry; too many voxels.
    """
    header = read_header(file, key)
    shape, count, notes = _check_shape(file, key, header)
    _check_dtype(file, key, header)
    affine, geometry_notes = _check_geometry(file, key, header)
    return NiftiFile(file, key, header, shape, count, affine, notes + geometry_notes)


def read_volume(file: str, key: str, slices: bool = False) -> Volume:
    """Read one 3D volume (or one with further axes of 1) and check all that does not depend on what it shows.

    Args:
        file: path of the NIfTI file.
        key: of the file in its case, for error messages.
        slices: also take few axial slices, one (``X Y 1``), or a 2D image, which becomes ``X Y 1``.

    Raises:
        InputError: as :func:`open_nifti`, or not one volume, or too small for a brain; NaN or inf.
    """
    return read_channels(file, key, None, slices)[0]


def read_channels(file: str, key: str, channels: Sequence[str] | None, slices: bool = False) -> list[Volume]:
    """Read a 4D file of several sequences, ``X Y Z C``, and check it as :func:`read_volume` does.

    Args:
        file: path of the NIfTI file.
        key: of the file in its case, for error messages.
        channels: names of its volumes, in their order. Empty: the file must hold one volume; None: so it must, and the
            method has no option to name several.
        slices: as for :func:`read_volume`.

    Returns:
        the volumes, each with the name of its channel as ``key``; without ``channels`` one volume.

    Raises:
        InputError: as :func:`read_volume`, or the file has another number of volumes than ``channels``.
    """
    found = open_nifti(file, key)
    _check_count(found, channels)
    _check_extent(found, slices)
    data, qform = found.read(), found.header.get_qform(coded=True)[0]
    return [
        Volume(file, name, data[..., n], found.affine, found.notes, qform) for n, name in enumerate(channels or [key])
    ]


def _check_shape(file: str, key: str, header: nib.Nifti1Header) -> tuple[tuple[int, ...], int, list[str]]:
    ndim = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : ndim + 1])
    if not 1 <= ndim <= 7 or min(shape) < 1:
        raise InputError(file, key, f"its header states the impossible shape {shape}", RESAVE)
    volume, count = (*shape, 1, 1)[:3], int(np.prod(shape[3:], dtype=float))
    voxels = np.prod(volume, dtype=float)
    if voxels > MAX_VOXELS:
        memory = voxels * _BYTES_PER_VOXEL / 2**30
        problem = f"has {voxels:.3g} voxels (shape {volume}) and would need about {memory:.0f} GiB of memory"
        raise InputError(file, key, problem, "Crop it to the head or resample it to 1 mm (at most 512 x 512 x 512)")
    notes = [f"{ndim}D file with one volume (shape {shape}) taken as 3D"] if ndim > 3 and count == 1 else []
    return volume, count, notes + [f"2D image (shape {shape}) taken as one axial slice"] * (ndim < 3)


def _check_count(found: NiftiFile, channels: Sequence[str] | None) -> None:
    shape = found.header.get_data_shape()
    if channels and found.count != len(channels):
        expected = f"{(*found.shape, len(channels))} as --channels says ({', '.join(channels)})"
        problem = f"has shape {shape}, not {expected}"
        raise InputError(found.file, found.key, problem, f"{NAME_VOLUMES}; a 3D file needs none")
    if found.count > 1 and not channels:
        extract = "Extract the one you mean, for example with nibabel.four_to_three"
        remedy = extract if channels is None else NAME_VOLUMES
        raise InputError(found.file, found.key, f"holds {found.count} volumes (shape {shape}), not one", remedy)


def _check_dtype(file: str, key: str, header: nib.Nifti1Header) -> None:
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):  # nibabel knows no name of the type, or not even its number
        dtype = np.dtype("V")
    if dtype.fields:
        raise InputError(file, key, "holds RGB colours, not intensities", "Pass the original scan, not a rendered copy")
    if dtype.kind == "V":
        raise InputError(file, key, f"states the unknown data type {header['datatype']}", RESAVE)
    if dtype.kind not in "iuf":
        raise InputError(file, key, f"holds {dtype} numbers", "Save the magnitude as float32 or int16")


def _check_geometry(file: str, key: str, header: nib.Nifti1Header) -> tuple[np.ndarray, list[str]]:
    if header["dim"][0] == 2 and header["pixdim"][3] == 0:
        header["pixdim"][3] = 1  # 2D images need not state a thickness; loaders take 1 mm
    if header["pixdim"][0] not in (-1, 1):  # of no meaning for an sform, and 1 by the standard for a qform
        header["pixdim"][0] = 1
    pixdim = np.asarray(header["pixdim"][1:4], dtype=float)
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        raise InputError(file, key, f"states voxel sizes of {_mm(pixdim)} mm (pixdim)", RESAVE)
    unit = {1: "metre", 3: "micrometre"}.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise InputError(file, key, f"is in {unit}s (xyzt_units)", "Save it again with affine and voxel sizes in mm")
    for form in ("sform", "qform"):
        if (code := int(header[f"{form}_code"])) not in range(6):  # which readers take for 0, or for any other
            raise InputError(file, key, f"states the unknown code {code} for its {form}", RESAVE)
    try:
        affine = np.asarray(header.get_best_affine(), dtype=float)
        header.get_qform(coded=True)
    except (ValueError, HeaderDataError) as error:
        remedy = f"{RESAVE}, or write its sform to its qform, as nibabel's set_qform does"
        raise InputError(file, key, f"its qform is no orientation ({error})", remedy) from error
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not spacing.all() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-2:
        raise InputError(file, key, "its affine is singular or not finite", RESAVE)
    return affine, _geometry_notes(header, spacing, pixdim)


def _check_extent(found: NiftiFile, slices: bool) -> None:
    """Refuse what is too small for a brain; with ``slices`` only within the axial slices."""
    file, key, shape = found.file, found.key, found.shape
    if min(shape) == 1 and not slices:
        problem = f"is a 2D image (shape {found.header.get_data_shape()})"
        raise InputError(file, key, problem, "Pass the 3D volume it comes from")
    extent = np.linalg.norm(found.affine[:3, :3], axis=0) * shape
    thin = (np.array(shape) < MIN_VOXELS_PER_AXIS) | (extent < MIN_EXTENT_MM)
    if slices:
        thin[superior_axis(found.affine)[0]] = False
    size = f"{' x '.join(map(str, shape))} voxels, {_mm(extent)} mm"
    if slices and thin.sum() == 1:
        plane = ("sagittal", "coronal")[int(nib.io_orientation(found.affine)[thin, 0].item())]
        problem = f"holds {shape[thin.argmax()]} {plane} slices ({size})"
        remedy = "Slices must be axial: pass axial slices or the whole volume, or mend the orientation in its header"
        raise InputError(file, key, problem, remedy)
    if thin.any():
        remedy = "Pass the whole volume, or mend its voxel sizes"
        raise InputError(file, key, f"is too small for a brain: {size}", remedy)


def _geometry_notes(header: nib.Nifti1Header, spacing: np.ndarray, pixdim: np.ndarray) -> list[str]:
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    notes = []
    if sform == 0 and qform == 0:
        notes.append("no affine in the header: voxel sizes from pixdim, orientation unknown")
    elif sform and not np.allclose(spacing, pixdim, rtol=0.01):
        notes.append(f"voxel sizes differ between affine ({_mm(spacing)} mm, used) and pixdim ({_mm(pixdim)} mm)")
    if sform and qform and not np.allclose(header.get_sform(), header.get_qform(), atol=0.05 * spacing.min()):
        notes.append("sform and qform differ: sform used")
    return notes


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{v:.3g}" for v in values)
