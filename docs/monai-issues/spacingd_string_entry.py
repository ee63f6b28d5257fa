"""Spacingd: an entry named `<key>_...` that is a string raises AttributeError.

MONAI Label keeps the path of the image under `image_path`, so that any bundle with `Spacingd(keys="image")` answers
HTTP 500 there. Since 1.6.0, `Spacingd` calls `.update` on every entry whose name begins with `<key>_`; 1.5.2 does not.
Expected: the entry is left alone. Found in 1.6.1: 'str' object has no attribute 'update'.
"""

import torch
from monai.data import MetaTensor
from monai.transforms import Spacingd

image = MetaTensor(torch.zeros(1, 8, 8, 8), meta={"filename_or_obj": "scan.nii.gz"})
data = {"image": image, "image_path": "scan.nii.gz"}
try:
    Spacingd(keys="image", pixdim=(2, 2, 2))(data)
except AttributeError as error:
    raise SystemExit(f"FAULT: {error}") from error
