"""A radiograph that differs in every corner, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

PICTURE = np.add.outer(100 * np.arange(48), np.arange(40) ** 2).astype(np.uint16)  # rows, columns; 0 ... 6221
DOWN_MM, RIGHT_MM = 0.3, 0.2
Tags = dict[str, Any]


def png(path: Path, pixels: np.ndarray = PICTURE, mode: str | None = None) -> Path:
    Image.fromarray(pixels, mode).save(path, "PNG")
    return path


def dicom(path: Path, pixels: np.ndarray = PICTURE, *swaps: tuple[bytes, bytes], sop: str = "1") -> Path:
    """A DICOM file by ITK (computed radiography); its writer leaves out many tags, so bytes are swapped afterwards."""
    image = itk.image_from_array(pixels)
    image.SetSpacing((RIGHT_MM, DOWN_MM, 1.0)[: pixels.ndim])
    tags = image.GetMetaDataDictionary()
    tags["0008|0016"] = f"1.2.840.10008.5.1.4.1.1.{sop}"
    image.SetMetaDataDictionary(tags)
    named = str(path.with_suffix(".dcm"))
    itk.ImageFileWriter.New(image, FileName=named, ImageIO=itk.GDCMImageIO.New()).Update()
    content = Path(named).read_bytes()
    for old, new in swaps:
        assert content.count(old) == 1 and len(old) == len(new)
        content = content.replace(old, new)
    Path(named).unlink()
    path.write_bytes(content)
    return path


def written(path: Path, stored: np.ndarray, tags: Tags | None = None) -> Path:
    """Stored pixels as an uncompressed file of computed radiography, with any tags."""
    bits = 8 * stored.dtype.itemsize
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3"
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3"
    file.Rows, file.Columns, file.SamplesPerPixel = *stored.shape[:2], 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = bits
    file.HighBit, file.PixelRepresentation = bits - 1, int(stored.dtype.kind == "i")
    file.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    for name, value in (tags or {}).items():
        setattr(file, name, value)
    file["PixelData"].VR = "OW"
    file.save_as(path)
    return path
