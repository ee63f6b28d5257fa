"""The files of generated radiographs, in the folder of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..cases.file_names import SAMPLE_FOLDERS
from ..cases.radiograph_cases import MASKS
from ..runs.files import removing_after_error, replacing


def write_sample(folder: Path, sample: np.ndarray, case_id: str, accepted: bool) -> list[Path]:
    """Write the three files of a sample ``3 X Y``, to the folder of the accepted or of the rejected ones.

    Where one cannot be written, those before it are removed again.

    Returns:
        the files.
    """
    image = np.round((sample[0] + 1) / 2 * 65535).astype(np.uint16)
    pictures = {"image": image, **{key: 255 * (sample[i] > 0).astype(np.uint8) for i, key in enumerate(MASKS, 1)}}
    place, other = SAMPLE_FOLDERS if accepted else SAMPLE_FOLDERS[::-1]
    files = [folder / place / f"{case_id}_{key}.png" for key in pictures]
    written: list[Path] = []
    with removing_after_error(written):
        for file, pixels in zip(files, pictures.values(), strict=True):
            with replacing(file) as temporary:
                Image.fromarray(pixels).save(temporary, "PNG")
            written.append(file)
            (folder / other / file.name).unlink(missing_ok=True)  # of an earlier run
    return files


def samples_of(folder: Path, case_id: str) -> list[Path]:
    """The files in the folder of a run that are of a sample, or were drawn from a source."""
    names = [f"{escape(case_id)}_as_*", *(f"{escape(case_id)}_{key}.png" for key in ("image", *MASKS))]
    found = [file for place in SAMPLE_FOLDERS for name in names for file in (folder / place).glob(name)]
    return [file for file in found if file.is_file()]


def samples_of_others(folder: Path, case_ids: Collection[str]) -> list[str]:
    """Names, relative to the folder of a run, of the samples in it that are none of some."""
    found = [file for place in SAMPLE_FOLDERS for file in (folder / place).glob("*_image.png") if file.is_file()]
    return sorted(
        f"{file.parent.name}/{file.name}" for file in found if file.name[: -len("_image.png")] not in case_ids
    )


def listed_sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an accepted sample as a case of a datalist, with the names of its files relative to the folder."""
    case_id, source = row["case_id"], row["source_id"]
    files = {key: f"{SAMPLE_FOLDERS[0]}/{case_id}_{key}.png" for key in ("image", *MASKS)}
    group = {} if source is None else {"patient_id": str(source)}
    return {"case_id": case_id, **files, "class_label": row["class_label"], **group}
