"""Radiographs and their masks from PNG, DICOM and NIfTI files, as they stand on the screen.

Pixels are ``X Y`` with X down the rows and Y along the columns, so ``pyplot.imshow(data, cmap="gray")`` shows them
upright. PNG is taken as stored, DICOM as a viewer shows it (:mod:`.dicom`): air is dark. NIfTI is turned by its affine
as a viewer does (:mod:`.screen`); this is how ITK and with it ITK-SNAP and 3D Slicer write a PNG as NIfTI, so masks
drawn there match.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from monai.data.image_reader import NibabelReader, PILReader
from scipy import ndimage

from ..cases.file_names import NIFTI
from ..runs.errors import InputError
from ..runs.few_values import why_labels
from ..runs.files import check_is_file
from .dicom import read_dicom
from .screen import to_screen

MIN_SIDE = 32  # pixels
_GREY_SHARE = 0.01  # of all pixels: what the smoothed edges of a mask may take
_GREY_REACH = 5  # pixels: such an edge is within so wide a square around each of its pixels
_ONE = "Save the one you mean as a file of its own"
_GREY = "Save it as one grey channel of intensities, for example 16-bit PNG"
_AGAIN = "Copy or download it again, or save it again from the software that made it"


@dataclass
class Radiograph:
    """A 2D image that was read: ``data`` X Y float32, X down the rows; ``spacing`` mm along X and Y, None if unknown.

    The spacing of a DICOM file is that in the plane of the detector where the file states no other. ``volume_shape``
    and ``volume_affine`` are of the volume in a NIfTI file (:mod:`.screen`), None for other files.
    """

    file: str
    key: str
    data: np.ndarray
    spacing: tuple[float, float] | None = None
    warnings: list[str] = field(default_factory=list)
    volume_shape: tuple[int, int, int] | None = None
    volume_affine: np.ndarray | None = None


def read_radiograph(file: str, key: str) -> Radiograph:
    """Read one radiograph; the rescale slope and intercept of DICOM and NIfTI are applied, linear windows are not.

    Args:
        file: path of a PNG (8 or 16 bit, palette), NIfTI or DICOM file, this also without extension.
        key: of the file in its case, for error messages.

    Raises:
        InputError: missing, damaged or foreign file; colours that differ, transparency; several frames, slices or
            images; an unusable affine; fewer than 32 pixels in a row or column; NaN, inf; a constant image; a mask.
    """
    image = _read(file, key)
    if image.data.min() == image.data.max():
        raise InputError(file, key, f"is constant everywhere ({image.data.flat[0]:g})", "Pass the original radiograph")
    if why := why_labels(image.data, regions=False):
        raise InputError(file, key, f"is a mask or label map, no radiograph: {why}", "Pass the original radiograph")
    return image


def read_mask(file: str, key: str) -> Radiograph:
    """Read one mask as 0 and 1; of two levels that above 0 is the mask, with a note unless it is 255. It may be empty.

    Grey edges, which smooth resampling leaves, are cut in the middle: the pixels farther than 5 % of the range from
    both levels must be at most 1 % of all, 90 % of them beside both levels. A map of several labels is none of that.

    Raises:
        InputError: as :func:`read_radiograph` (but a constant 0 is an empty mask); more than two levels beyond grey
            edges, or none at 0.
    """
    mask = _read(file, key)
    low, high = float(mask.data.min()), float(mask.data.max())
    levels = f"{low:g} and {high:g}"
    between = np.count_nonzero((mask.data > low) & (mask.data < high))
    if between and not _only_edges_are_grey(mask.data, low, high):
        problem = f"is not binary: {between} pixels lie between its levels {levels}"
        raise InputError(file, key, problem, "Save it as 0 and 1, one structure a file, resampled by nearest neighbour")
    if low > 0:
        raise InputError(file, key, f"has no background (levels {levels})", "Save the mask as 1 and the rest as 0")
    if between:
        mask.warnings.append(f"{key}: {between} pixels between its levels {levels}, taken as the nearer one")
    elif high > 0 and (low, high) not in ((0, 1), (0, 255)):
        mask.warnings.append(f"{key}: levels {levels} taken as 0 and 1")
    mask.data = (mask.data > max(0.0, (low + high) / 2)).astype(np.float32)
    return mask


def _only_edges_are_grey(data: np.ndarray, low: float, high: float) -> bool:
    grey = (data > low + 0.05 * (high - low)) & (data < high - 0.05 * (high - low))
    contrast = ndimage.maximum_filter(data, _GREY_REACH) - ndimage.minimum_filter(data, _GREY_REACH)
    beside_one = grey & (contrast < 0.9 * (high - low))
    return grey.mean() <= _GREY_SHARE and beside_one.sum() <= 0.1 * grey.sum()


def _read(file: str, key: str) -> Radiograph:
    decode = _decoder(file, key)
    try:
        image = decode(file, key)
    except InputError:
        raise
    except Exception as error:  # what a decoder raises on a damaged file is anything from SyntaxError to RuntimeError
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(file, key, f"is damaged or no image ({reason[0]})", _AGAIN) from error
    if min(image.data.shape) < MIN_SIDE:
        size = " x ".join(map(str, image.data.shape))
        raise InputError(file, key, f"has only {size} pixels", f"Pass the whole image, at least {MIN_SIDE} a side")
    if bad := image.data.size - np.count_nonzero(np.isfinite(image.data)):
        raise InputError(file, key, f"has {bad} pixels that are NaN or infinite in float32", "Clean it: np.nan_to_num")
    return image


def _decoder(file: str, key: str) -> Callable[[str, str], Radiograph]:
    path = Path(file)
    check_is_file(file, key)
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError as error:
        raise InputError(file, key, f"cannot be read ({error.strerror})", "Check its permissions") from error
    if not start:
        raise InputError(file, key, "is empty (0 bytes)", "Copy or download it again")
    if NIFTI.search(path.name):
        return _from_nifti
    if start.startswith(b"\x89PNG"):
        return _from_png
    if start.endswith(b"DICM") or path.suffix.lower() in (".dcm", ".dicom"):
        return _from_dicom
    raise InputError(file, key, "is no PNG, DICOM or NIfTI file", "Convert the original to one, losslessly")


def _from_png(file: str, key: str) -> Radiograph:
    reader = PILReader(reverse_indexing=False)  # 16 bits stay 16 bits
    picture = reader.read(file)
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        raise InputError(file, key, f"holds {frames} frames, not one", _ONE)
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # the reader would return the indices into the palette
    return _one_channel(file, key, reader.get_data(picture)[0])


def _from_dicom(file: str, key: str) -> Radiograph:
    pixels, spacing, notes = read_dicom(file, key)
    image = _one_channel(file, key, pixels, spacing)
    image.warnings += notes
    return image


def _from_nifti(file: str, key: str) -> Radiograph:
    if file.lower().endswith(".gz"):
        with gzip.open(file) as stream:
            stream.read()  # to the end, so that its checksum is verified
    reader = NibabelReader()
    pixels, header = reader.get_data(reader.read(file))  # rescaled
    if pixels.dtype.kind not in "iuf":
        raise InputError(file, key, "holds colours or complex numbers, not intensities", _GREY)
    shape, affine = (*pixels.shape, 1, 1)[:3], header["affine"]
    if min(shape) > 1 or pixels.size != np.prod(shape):
        raise InputError(file, key, f"holds several images, not one (shape {pixels.shape})", _ONE)
    if header["xyzt_units"] & 7 in (1, 3):
        raise InputError(file, key, "is in metres or micrometres (xyzt_units)", "Save it with its pixel size in mm")
    if not np.isfinite(affine).all() or not np.linalg.det(affine):
        raise InputError(file, key, "its affine is singular or not finite", "Save it again with a valid affine in mm")
    data, spacing = to_screen(pixels.astype(np.float32).reshape(shape), affine)
    unknown = not header["sform_code"] and not header["qform_code"]
    notes = [f"{key}: no orientation in the NIfTI header, so it may be turned"] if unknown else []
    return Radiograph(file, key, data, spacing, notes, shape, affine)


def _one_channel(file: str, key: str, pixels: np.ndarray, spacing: tuple[float, float] | None = None) -> Radiograph:
    """Grey pixels ``X Y``, or the first of the equal ones of ``X Y C``, the last of 2 or 4 being the opacity."""
    if pixels.ndim == 2:
        return Radiograph(file, key, pixels.astype(np.float32), spacing)
    colours, opacity = np.split(pixels, [3 if pixels.shape[-1] > 2 else 1], axis=-1)
    if opacity.size and opacity.min() != opacity.max():
        raise InputError(file, key, "is transparent in places", "Save it without transparency")
    if (colours != colours[..., :1]).any():
        raise InputError(file, key, "is a colour image", _GREY)
    notes = [f"{key}: colour image with equal channels, one of them taken"] if colours.shape[-1] > 1 else []
    return Radiograph(file, key, colours[..., 0].astype(np.float32), spacing, notes)
