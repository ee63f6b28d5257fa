"""MONAI Label's app that serves the bundles, for the folder that ``tools.monai_label_app`` lays out.

It is imported in the environment of MONAI Label alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import name_to_device

from shared.cases.file_names import NIFTI
from shared.runs.nifti_files import write_like
from tools.monai_label_answers import prepared, told


class BundleTask(BundleInferTask):
    """Inference with a bundle whose labels of NIfTI files have the geometry of the file."""

    def writer(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the label as MONAI Label does, and over it, for a NIfTI file, the label as any reader lays it there.

        MONAI Label's own has the affine of the sform. In another format it gets that by which ITK, and so Slicer, reads
        the scan.
        """
        file, result = super().writer(data, *args, **kwargs)
        scan = str(data["image_path"])
        if isinstance(file, str) and NIFTI.search(scan):
            label = np.asarray(data[self.output_label_key]).astype(np.uint8)
            volume = label.reshape((*nib.load(scan).shape, 1)[:3])
            if NIFTI.search(file):
                write_like(Path(file), volume, scan)
            else:
                twin = Path(f"{file}.nii.gz")
                write_like(twin, volume, scan)
                itk.imwrite(itk.imread(str(twin)), file)
                twin.unlink()
        return file, result


class BundleApp(MONAILabelApp):
    """Inference with each bundle below ``model`` that ``models`` of the configuration names, and training where it can.

    MONAI Label's own app for bundles does this too, and besides fetches models and samples by uncertainty.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        self.bundles = {name: str(Path(app_dir) / "model" / name) for name in conf["models"].split(",")}
        super().__init__(app_dir, studies, conf, name="Bundles", description="Generative models for medical images")

    def infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Answer a request, or say what is wrong with it and what to do.

        Raises:
            HTTPException: with that text.
        """
        image, bundle = str(request["image"]), self.bundles.get(request.get("model", ""))
        try:
            if not bundle:
                return super().infer(request, datastore)
            if not Path(image).exists():
                image = (datastore or self.datastore()).get_image_uri(image) or image
            device = name_to_device(request.get("device"))  # clients send the name of the GPU
            with prepared({**request, "device": device}, image, Path(bundle)) as ready:
                return super().infer(ready, datastore)
        except Exception as error:
            raise HTTPException(*told(error, request, str(Path(image).parent), bundle or "")) from error

    def init_infers(self) -> dict[str, BundleTask]:
        return {name: BundleTask(folder, self.conf) for name, folder in self.bundles.items()}

    def init_trainers(self) -> dict[str, BundleTrainTask]:
        trainers = {name: BundleTrainTask(folder, self.conf) for name, folder in self.bundles.items()}
        return {name: trainer for name, trainer in trainers.items() if trainer.is_valid()}
