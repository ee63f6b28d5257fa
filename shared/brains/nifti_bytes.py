"""The bytes of a NIfTI file: found, decompressed to their end, and taken apart into header and voxels."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError

from ..cases.file_names import NIFTI
from ..runs.errors import InputError
from ..runs.files import check_is_file

_MAGIC = {348: b"n+1", 540: b"n+2"}  # size of the header -> single-file NIfTI-1, NIfTI-2
RESAVE = "Save it again from the software that made it, with a valid affine in mm"
"""Remedy for a file that states what cannot be."""
_RENAME = "Rename it, so that it ends in .nii or .nii.gz"


def read_header(file: str, key: str) -> nib.Nifti1Header:
    """The header as it stands: nibabel's own reading mends pixdim silently.

    Args:
        file: path of the NIfTI file.
        key: of the file in its case, for error messages.

    Raises:
        InputError: missing, damaged or foreign file.
    """
    start = _read_start(file, key)
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")} & set(_MAGIC) if len(start) >= 348 else ()
    if not sizes:
        raise InputError(file, key, "is not a NIfTI file, whatever its name says", "Convert the original to NIfTI")
    size = next(iter(sizes))
    header_class = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = header_class(start[:size], check=False)
    if not bytes(header["magic"]).startswith(_MAGIC[size]):
        raise InputError(file, key, "is an ANALYZE or two-file NIfTI header", "Convert it to a single NIfTI file")
    if not header["vox_offset"] >= size:  # at 0 nibabel takes the header itself for voxels
        problem = f"states that its voxels begin at byte {header['vox_offset']:g}, within its header"
        raise InputError(file, key, problem, RESAVE)
    return header


def read_data(file: str, key: str, header: nib.Nifti1Header) -> np.ndarray:
    """All voxels, float32, in the shape that the header states and scaled as it says.

    Args:
        file: path of the NIfTI file.
        key: of the file in its case, for error messages.
        header: as :func:`read_header` gives it.

    Raises:
        InputError: damaged file; NaN or inf.
    """
    image_class = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    try:
        blob = Path(file).read_bytes()
        blob = gzip.decompress(blob) if _is_gzip(file) else blob  # to the end, so that its checksum is verified
        with LoggingOutputSuppressor(), np.errstate(over="ignore", invalid="ignore"):
            data = np.asarray(image_class.from_bytes(blob).dataobj, dtype=np.float32)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(file, key, "is truncated or damaged", "Copy or download it again") from error
    except (ValueError, HeaderDataError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(file, key, f"cannot be read as NIfTI ({error})", RESAVE) from error
    bad = int(data.size - np.count_nonzero(np.isfinite(data)))
    if bad:
        problem = f"has {bad} voxels ({100 * bad / data.size:.2g} %) that are NaN or infinite in float32"
        raise InputError(file, key, problem, "Clean it: numpy.nan_to_num(data, posinf=0, neginf=0)")
    return data


def _is_gzip(file: str) -> bool:
    return file.lower().endswith(".gz")


def _read_start(file: str, key: str) -> bytes:
    """First 540 bytes, decompressed; nothing of the data yet."""
    path = Path(file)
    try:
        check_is_file(file, key)
        if not NIFTI.search(path.name):
            raise InputError(file, key, "is not named .nii or .nii.gz", "Convert it to NIfTI (DICOM: dcm2niix)")
        if not re.search(r"\.(nii|NII)(\.(gz|GZ))?$", path.name):
            raise InputError(
                file, key, "its ending mixes small letters and capitals, which nibabel does not find", _RENAME
            )
        if not path.is_file():
            raise InputError(file, key, "is no regular file", "Pass a file, no pipe and no device")
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
