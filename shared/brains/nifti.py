"""One NIfTI file, read whole once and checked: file, header, geometry. What it shows is checked in brain_check."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError

from ..cases.file_names import NIFTI
from ..cases.sequence_cases import NAME_VOLUMES
from ..runs.errors import InputError
from ..runs.files import check_is_file
from .volume import Volume, superior_axis

MAX_VOXELS = 512**3
MIN_VOXELS_PER_AXIS = 8
MIN_EXTENT_MM = 30.0
_BYTES_PER_VOXEL = 40  # image, mask, two maps and the pseudo-healthy brain in float32, each twice while it is resampled
_MAGIC = {348: b"n+1", 540: b"n+2"}  # size of the header -> single-file NIfTI-1, NIfTI-2
_RESAVE = "Save it again from the software that made it, with a valid affine in mm"


def read_volume(file: str, key: str, slices: bool = False) -> Volume:
    """Read one 3D volume (or 4D with one volume) and check all that does not depend on what it shows.

    Args:
        file: path of the NIfTI file.
        key: of the file in its case, for error messages.
        slices: also take few axial slices, one (``X Y 1``), or a 2D image, which becomes ``X Y 1``.

    Raises:
        InputError: missing, damaged or foreign file; not a 3D volume of real numbers; unusable geometry; NaN or inf.
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
    header = _parse_header(file, key, _read_start(file, key))
    shape, notes = _check_shape(file, key, header, slices, channels)
    _check_dtype(file, key, header)
    affine, geometry_notes = _check_geometry(file, key, header)
    _check_extent(file, key, shape, affine, slices)
    data = _read_data(file, key, header).reshape(*shape, -1)
    qform = header.get_qform(coded=True)[0]
    return [
        Volume(file, name, data[..., n], affine, notes + geometry_notes, qform)
        for n, name in enumerate(channels or [key])
    ]


def _is_gzip(file: str) -> bool:
    return file.lower().endswith(".gz")


def _read_start(file: str, key: str) -> bytes:
    """First 540 bytes, decompressed; nothing of the data yet."""
    path = Path(file)
    check_is_file(file, key)
    if not NIFTI.search(path.name):
        raise InputError(file, key, "is not named .nii or .nii.gz", "Convert it to NIfTI (DICOM: dcm2niix)")
    try:
        if path.stat().st_size == 0:
            raise InputError(file, key, "is empty (0 bytes)", "Copy or download it again")
        with gzip.open(path) if _is_gzip(file) else path.open("rb") as stream:
            return stream.read(540)
    except gzip.BadGzipFile as error:
        raise InputError(
            file, key, "is no .nii.gz: not gzip-compressed", "Convert it to NIfTI, or rename it"
        ) from error
    except (EOFError, zlib.error) as error:
        raise InputError(file, key, "is truncated or damaged", "Copy or download it again") from error
    except OSError as error:
        raise InputError(file, key, f"cannot be read ({error.strerror or error})", "Check its permissions") from error


def _parse_header(file: str, key: str, start: bytes) -> nib.Nifti1Header:
    """The header as it stands: nibabel's own reading mends pixdim silently."""
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")} & set(_MAGIC) if len(start) >= 348 else ()
    if not sizes:
        raise InputError(file, key, "is not a NIfTI file, whatever its name says", "Convert the original to NIfTI")
    size = next(iter(sizes))
    header_class = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = header_class(start[:size], check=False)
    if not bytes(header["magic"]).startswith(_MAGIC[size]):
        raise InputError(file, key, "is an ANALYZE or two-file NIfTI header", "Convert it to a single NIfTI file")
    return header


def _check_shape(
    file: str, key: str, header: nib.Nifti1Header, slices: bool, channels: Sequence[str] | None
) -> tuple[tuple[int, ...], list[str]]:
    ndim = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : ndim + 1])
    if not 1 <= ndim <= 7 or min(shape) < 1:
        raise InputError(file, key, f"its header states the impossible shape {shape}", _RESAVE)
    volume, count = (*shape, 1, 1)[:3], int(np.prod(shape[3:], dtype=float))
    if channels and (count != len(channels) or len(shape) > 4):
        expected = f"{(*volume, len(channels))} as --channels says ({', '.join(channels)})"
        raise InputError(file, key, f"has shape {shape}, not {expected}", f"{NAME_VOLUMES}; a 3D file needs none")
    if count > 1 and not channels:
        extract = "Extract the one you mean, for example with nibabel.four_to_three"
        remedy = extract if channels is None else NAME_VOLUMES
        raise InputError(file, key, f"holds {count} volumes (shape {shape}), not one", remedy)
    if min(volume) == 1 and not slices:
        raise InputError(file, key, f"is a 2D image (shape {shape})", "Pass the 3D volume it comes from")
    if min(volume) == 1 and len(shape) > 3:  # MONAI's writer cannot give it back
        remedy = "Pass a file for each sequence" if channels else "Save it with 2 or 3 axes"
        raise InputError(file, key, f"is a 2D image with {len(shape)} axes (shape {shape})", remedy)
    voxels = np.prod(volume, dtype=float)
    if voxels > MAX_VOXELS:
        memory = voxels * _BYTES_PER_VOXEL / 2**30
        problem = f"has {voxels:.3g} voxels (shape {volume}) and would need about {memory:.0f} GiB of memory"
        raise InputError(file, key, problem, "Crop it to the head or resample it to 1 mm (at most 512 x 512 x 512)")
    notes = [f"4D file with one volume (shape {shape}) taken as 3D"] if len(shape) > 3 and count == 1 else []
    return volume, notes + [f"2D image (shape {shape}) taken as one axial slice"] * (len(shape) < 3)


def _check_dtype(file: str, key: str, header: nib.Nifti1Header) -> None:
    try:
        dtype = header.get_data_dtype()
    except HeaderDataError as error:
        raise InputError(file, key, f"has an unknown data type ({error})", _RESAVE) from error
    if dtype.fields:
        raise InputError(file, key, "holds RGB colours, not intensities", "Pass the original scan, not a rendered copy")
    if dtype.kind not in "iuf":
        raise InputError(file, key, f"holds {dtype} numbers", "Save the magnitude as float32 or int16")


def _check_geometry(file: str, key: str, header: nib.Nifti1Header) -> tuple[np.ndarray, list[str]]:
    if header["dim"][0] == 2 and header["pixdim"][3] == 0:
        header["pixdim"][3] = 1  # 2D images need not state a thickness; loaders take 1 mm
    pixdim = np.asarray(header["pixdim"][1:4], dtype=float)
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        raise InputError(file, key, f"states voxel sizes of {_mm(pixdim)} mm (pixdim)", _RESAVE)
    unit = {1: "metre", 3: "micrometre"}.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise InputError(file, key, f"is in {unit}s (xyzt_units)", "Save it again with affine and voxel sizes in mm")
    try:
        affine = np.asarray(header.get_best_affine(), dtype=float)
    except (ValueError, HeaderDataError) as error:
        raise InputError(file, key, f"has an invalid orientation ({error})", _RESAVE) from error
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not spacing.all() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-2:
        raise InputError(file, key, "its affine is singular or not finite", _RESAVE)
    return affine, _geometry_notes(header, spacing, pixdim)


def _check_extent(file: str, key: str, shape: tuple[int, ...], affine: np.ndarray, slices: bool) -> None:
    """Refuse what is too small for a brain; with ``slices`` only within the axial slices."""
    extent = np.linalg.norm(affine[:3, :3], axis=0) * shape
    thin = (np.array(shape) < MIN_VOXELS_PER_AXIS) | (extent < MIN_EXTENT_MM)
    if slices:
        thin[superior_axis(affine)[0]] = False
    size = f"{' x '.join(map(str, shape))} voxels, {_mm(extent)} mm"
    if slices and thin.sum() == 1:
        plane = ("sagittal", "coronal")[int(nib.io_orientation(affine)[thin, 0].item())]
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


def _read_data(file: str, key: str, header: nib.Nifti1Header) -> np.ndarray:
    image_class = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    try:
        blob = Path(file).read_bytes()
        blob = gzip.decompress(blob) if _is_gzip(file) else blob  # to the end, so that its checksum is verified
        with LoggingOutputSuppressor(), np.errstate(over="ignore", invalid="ignore"):
            data = np.asarray(image_class.from_bytes(blob).dataobj, dtype=np.float32)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(file, key, "is truncated or damaged", "Copy or download it again") from error
    except (ValueError, HeaderDataError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(file, key, f"cannot be read as NIfTI ({error})", _RESAVE) from error
    bad = int(data.size - np.count_nonzero(np.isfinite(data)))
    if bad:
        problem = f"has {bad} voxels ({100 * bad / data.size:.2g} %) that are NaN or infinite in float32"
        raise InputError(file, key, problem, "Clean it: numpy.nan_to_num(data, posinf=0, neginf=0)")
    return data


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{v:.3g}" for v in values)
