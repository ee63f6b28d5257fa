"""Ask a running MONAI Label server: ``python -m tools.ask_monai_label http://127.0.0.1:8000 MODEL IMAGE OUTPUT_DIR``.

IMAGE is a NIfTI file, or of the radiographs a PNG or DICOM file too. OUTPUT_DIR gets ``<name>_label.nii.gz`` or, for
PNG and DICOM, ``.png``, and ``<name>_overlay.png``: the image (of a volume the axial slice with most of the label) and
the same with the outlines of the label.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import requests
from PIL import Image

from shared.cases.file_names import LABEL, NIFTI, OVERLAY, stem_of
from shared.radiographs.screen import to_screen
from shared.reports.radiograph_grid import outlined, picture_grid
from shared.runs.files import replacing

ROOT = Path(__file__).resolve().parents[1]

PERCENTILES = (0.5, 99.5)  # of the image, black and white of the picture


def ask(server: str, model: str, image: Path, params: Mapping[str, Any]) -> bytes:
    """The file with the label that a model finds.

    Raises:
        OSError: no such image, no server, or another answer than a label.
    """
    with image.open("rb") as file:
        answer = requests.post(
            f"{server.rstrip('/')}/infer/{model}",
            params={"output": "image"},
            data={"params": json.dumps({"result_extension": extension(image), **params})},
            files={"file": (image.name, file)},
        )
    if not answer.ok:
        raise OSError(_detail(answer))
    return answer.content


def _detail(answer: requests.Response) -> str:
    """What the server says of an error."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError):
        return f"{answer.status_code} {answer.reason}"


def extension(image: Path) -> str:
    """The ending of the file with the label of an image."""
    return ".nii.gz" if NIFTI.search(image.name) else ".png"


def shown(image: Path, label: Path) -> tuple[np.ndarray, np.ndarray]:
    """Image and label as they stand on the screen, ``X Y`` each, X down the rows; of a volume one axial slice."""
    if not NIFTI.search(image.name):
        from shared.radiographs.reading import read_radiograph  # late: --help answers at once

        return read_radiograph(str(image), "image").data, np.asarray(Image.open(label))
    volumes = [nib.load(file) for file in (image, label)]
    planes = [nib.Nifti1Image(np.atleast_3d(volume.dataobj), volume.affine) for volume in volumes]
    if 1 not in planes[0].shape:
        planes = [nib.as_closest_canonical(volume) for volume in planes]
        height = int(np.argmax(np.count_nonzero(planes[1].dataobj, axis=(0, 1))))
        planes = [volume.slicer[:, :, height : height + 1] for volume in planes]
    pixels, found = (to_screen(np.asarray(plane.dataobj), plane.affine)[0] for plane in planes)
    return pixels, found


def overlay(pixels: np.ndarray, label: np.ndarray) -> bytes:
    """Draw an image, and beside it the same with the outlines of its label as a PNG file: the highest value red.

    Args:
        pixels: ``X Y``.
        label: ``X Y``, integers; where there is more than one above 0, all of them together are outlined blue.
    """
    units = np.interp(pixels, np.percentile(pixels, PERCENTILES), (-1, 1))
    highest = max(int(label.max()), 1)
    return picture_grid([outlined(units, (label > 0) & (highest > 1), label == highest)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with the problem on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", metavar="SERVER", help="its address")
    parser.add_argument("model", metavar="MODEL", help="one of those that the server offers")
    parser.add_argument("image", metavar="IMAGE", type=Path)
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=Path)
    parser.add_argument("--params", type=json.loads, default={}, help='options of the model: {"sequence": "flair"}')
    given = parser.parse_args(arguments)
    try:
        content = ask(given.server, given.model, given.image, given.params)
    except OSError as error:  # requests' own are of this kind
        print(f"ask_monai_label: {error}", file=sys.stderr)
        return 1
    label = given.output_dir / f"{stem_of(given.image)}_{LABEL}{extension(given.image)}"
    with replacing(label) as temporary:
        temporary.write_bytes(content)
    picture = label.with_name(f"{stem_of(given.image)}_{OVERLAY}.png")
    with replacing(picture) as temporary:
        temporary.write_bytes(overlay(*shown(given.image, label)))
    print(f"{label}\n{picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
