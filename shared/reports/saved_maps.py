"""The volumes that an anomaly bundle writes for each case."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import SaveImage, SaveImaged

from ..cases.file_names import MAPS


class SaveCaseMapsd(SaveImaged):
    """Write ``<case_id>_<name>.nii.gz`` for each of :data:`~..cases.file_names.MAPS` that a case has, on its grid.

    MONAI Label leaves out what is a ``SaveImaged``, as this is, since it writes labels itself.

    Args:
        output_dir: made where it does not exist.

    Reads ``case_id``; without it a volume keeps the name of its input.
    """

    def __init__(self, output_dir: str) -> None:
        common: dict[str, Any] = {
            "output_dir": output_dir,
            "separate_folder": False,
            "resample": False,
            "print_log": False,
        }
        super().__init__(list(MAPS), allow_missing_keys=True, **common)
        self.writers = {
            key: SaveImage(**common, output_postfix=name, output_dtype=np.uint8 if key == "pred" else np.float32)
            for key, name in MAPS.items()
        }

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            if "case_id" in d:
                d[key].meta["filename_or_obj"] = f"{d['case_id']}.nii.gz"
            self.writers[key](d[key])
        return d
