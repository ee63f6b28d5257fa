"""A radiograph that differs in every corner, and its files."""

from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
from PIL import Image

PICTURE = np.add.outer(100 * np.arange(48), np.arange(40) ** 2).astype(np.uint16)  # rows, columns; 0 ... 6221
DOWN_MM, RIGHT_MM = 0.3, 0.2


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
