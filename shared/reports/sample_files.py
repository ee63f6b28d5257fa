"""The files of generated radiographs, in the folder of a run."""

from __future__ import annotations

from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..cases.file_names import SAMPLE_FOLDERS
from ..cases.radiograph_cases import MASKS
from ..runs.files import replacing


def write_sample(folder: Path, sample: np.ndarray, case_id: str, accepted: bool) -> list[Path]:
    """Write the three files of a sample ``3 X Y``, to the folder of the accepted or of the rejected ones.

    Returns:
        the files.
    """
    image = np.round((sample[0] + 1) / 2 * 65535).astype(np.uint16)
    pictures = {"image": image, **{key: 255 * (sample[i] > 0).astype(np.uint8) for i, key in enumerate(MASKS, 1)}}
    place, other = SAMPLE_FOLDERS if accepted else SAMPLE_FOLDERS[::-1]
    files = [folder / place / f"{case_id}_{key}.png" for key in pictures]
    for file, pixels in zip(files, pictures.values(), strict=True):
        with replacing(file) as temporary:
            Image.fromarray(pixels).save(temporary, "PNG")
        (folder / other / file.name).unlink(missing_ok=True)  # of an earlier run
    return files


def samples_of(folder: Path, source_id: str) -> list[Path]:
    """The files in the folder of a run that were drawn from a source."""
    return [file for place in SAMPLE_FOLDERS for file in (folder / place).glob(f"{escape(source_id)}_as_*")]


def listed_sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an accepted sample as a case of a datalist, with the names of its files relative to the folder."""
    case_id, source = row["case_id"], row["source_id"]
    files = {key: f"{SAMPLE_FOLDERS[0]}/{case_id}_{key}.png" for key in ("image", *MASKS)}
    group = {} if source is None else {"patient_id": str(source)}
    return {"case_id": case_id, **files, "class_label": row["class_label"], **group}
