"""The volumes that an anomaly bundle writes for each case."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import SaveImaged

from ..brains.intensity_zero import in_units_of_file
from ..cases.file_names import MAPS, NIFTI
from ..runs.files import removing_after_error
from ..runs.nifti_files import write_like


def map_files(folder: Path, case: Mapping[Any, Any]) -> dict[str, Path]:
    """Where the maps that a case holds go, by key; without a ``case_id`` they have the name of the scan."""
    scan = str(case["native_image"].meta.get("filename_or_obj", ""))
    case_id = case.get("case_id") or NIFTI.sub("", Path(scan).name)
    return {key: folder / f"{case_id}_{name}.nii.gz" for key, name in MAPS.items() if key in case}


class SaveCaseMapsd(SaveImaged):
    """Write ``<case_id>_<name>.nii.gz`` for each of :data:`~..cases.file_names.MAPS`, with the geometry of the scan.

    MONAI's own writer gives sform and qform one affine and the code 1, which :func:`~..runs.nifti_files.write_like`
    does not. MONAI Label leaves out what is a ``SaveImaged``, as this is, since it writes labels itself.

    Args:
        output_dir: made where it does not exist.

    Where one cannot be written, those before it are removed again: a case has all of its volumes or none.

    Reads ``native_image``, whose file is the scan; ``case_id``, without which a volume has the name of the scan; and
    ``intensity_zero`` (:class:`~..brains.intensity_zero.IntensityZerod`) with ``native_brain_mask``, where they are
    there, so that the pseudo-healthy brain has the intensities of the file.
    """

    def __init__(self, output_dir: str) -> None:
        super().__init__(list(MAPS), allow_missing_keys=True, output_dir=output_dir)
        self.folder = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        scan = str(d["native_image"].meta["filename_or_obj"])
        files = map_files(self.folder, d)
        written: list[Path] = []
        with removing_after_error(written):
            for key, file in files.items():
                channels = np.asarray(d[key])
                if key == "pseudo_healthy" and "intensity_zero" in d:
                    brain, zeros = np.asarray(d["native_brain_mask"][0]), np.asarray(d["intensity_zero"]["image"])
                    channels = in_units_of_file(channels, brain, zeros)
                channels = channels.astype(np.uint8 if key == "pred" else np.float32)
                voxels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
                write_like(file, voxels, scan)
                written.append(file)
        return d
