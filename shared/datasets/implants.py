"""Real lesion shapes implanted into healthy brains: the validation and test sets whose truth is known to the voxel.

Only the darkening is artificial. A lesion of contrast ``c`` has ``c`` times the local intensity: the texture, noise and
tissue borders of the healthy brain stay, scaled, and there is no swelling, no shrinking and no rim. Dice on implanted
lesions compares methods and settings; it is no estimate of the accuracy on patients.

The table ``tools/implanted_lesions.csv`` gives every subject one small (0.5 to 3 ml), one medium (3 to 12 ml) and one
large (12 to 60 ml) lesion of SOOP. It was drawn once: for each subject, in the order of their names, masks in an order
shuffled with seed 0, the first of each size, large ones first, that

- no subject had before, so that no lesion is in validation and in test;
- keeps at least 90 % of its volume inside the brain, and 80 % of it in one piece;
- has a label within 20 % of the volume of that part, in the size range;
- covers tissue: its median intensity is above 0.6, and at most 15 % of it below 0.4, of the brain's 90th percentile;
- stays, after a dilation of both by 2 mm, at least 4 mm away from the subject's other lesions.

IXI034 has the lesions that were drawn for IXI448, which turned out not to be healthy; they keep to these rules there.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from ..runs.errors import DataListError
from ..runs.nifti_files import write_like

CONTRASTS = (0.6, 0.75, 0.9)
SIZES = ("small", "medium", "large")
_HEALTHY = ("ixi_t1", "ixi_t1_more")
_SECTION_OF = {"val": "validation", "test": "test"}
_VOXEL_BLUR = 0.42  # averaging over a voxel blurs like a Gaussian of this many voxel widths


def lesion_weight(
    lesion: np.ndarray, affine_lesion: np.ndarray, shape: Sequence[int], affine_image: np.ndarray, edge_mm: float = 1.0
) -> np.ndarray:
    """Resample a binary lesion to an image grid as a fraction with a soft edge.

    Args:
        lesion: `X Y Z`, above 0 in the lesion, on a grid at least as fine as the image's.
        affine_lesion: 4 x 4, voxel to mm.
        shape: of the image grid.
        affine_image: 4 x 4, voxel to mm.
        edge_mm: standard deviation of the Gaussian that softens the edge, beyond the average over an image voxel.

    Returns:
        float32 of `shape`, 0 to 1; exactly 0 beyond four standard deviations of the blur and one voxel.
    """
    fine, coarse = nib.affines.voxel_sizes(affine_lesion), nib.affines.voxel_sizes(affine_image)
    sigma_mm = np.sqrt(edge_mm**2 + _VOXEL_BLUR**2 * max(np.mean(coarse) ** 2 - np.mean(fine) ** 2, 0.0))
    boxes = ndimage.find_objects((lesion > 0).astype(np.uint8))
    if not boxes:
        return np.zeros(shape, np.float32)
    margin = np.ceil(4 * sigma_mm / fine).astype(int) + 2
    inside = np.pad((lesion[boxes[0]] > 0).astype(np.float32), [(m, m) for m in margin])
    blurred = ndimage.gaussian_filter(inside, sigma_mm / fine, mode="constant", truncate=4.0)
    to_lesion = np.linalg.inv(affine_lesion) @ affine_image
    start = np.array([s.start for s in boxes[0]]) - margin
    weight = ndimage.affine_transform(
        blurred, to_lesion[:3, :3], to_lesion[:3, 3] - start, output_shape=tuple(shape), order=1
    )
    return np.clip(weight, 0, 1)


def implant(image: np.ndarray, weight: np.ndarray, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Give a brain a lesion of ``contrast`` times the local intensity: ``image * (1 - w * (1 - contrast))``.

    The local texture is kept, scaled by the contrast.

    Args:
        image: ``X Y Z``, brain-extracted, 0 outside the brain.
        weight: w, of that shape, as :func:`lesion_weight` gives it.
        contrast: intensity in the core of the lesion over the healthy one.

    Returns:
        The image with the lesion, float32, and the label, uint8, 1 where the weight in the brain is at least 0.5.
        Where the weight is 0 the image is unchanged bit for bit.
    """
    factor = 1 - weight * np.float32(1 - contrast)
    return image.astype(np.float32) * factor, ((weight >= 0.5) & (image != 0)).astype(np.uint8)


def implanted_sections(
    source: Path, table: Sequence[Mapping[str, str]], output_dir: Path
) -> dict[str, list[dict[str, Any]]]:
    """Write the implanted volumes and labels and list them, with the healthy originals, as datalist sections.

    Args:
        source: folder that holds ``ixi_t1``, ``ixi_t1_more`` and ``soop_lesion_masks``.
        table: rows with ``subject``, ``split`` (val, test) and the lesion ids ``small``, ``medium``, ``large``.
        output_dir: takes ``<subject>_c060_t1.nii.gz`` (float32), ``<subject>_c060_label.nii.gz`` (uint8), and so on.

    Returns:
        ``training`` (empty), ``validation`` and ``test``: per subject one case per contrast and a healthy one, which
        refers to the original file and has no label. ``group`` says ``contrast 0.6`` and so on, or
        ``healthy``.

    Raises:
        DataListError: a volume or a lesion of the table is missing or unreadable.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    sections: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for row in table:
        subject = row["subject"]
        folder = next((f for f in _HEALTHY if (source / f / f"{subject}_T1.nii.gz").exists()), _HEALTHY[0])
        healthy_file = source / folder / f"{subject}_T1.nii.gz"
        healthy = _load(healthy_file)
        lesions = [_load(source / "soop_lesion_masks" / f"{row[size]}_lesion.nii.gz") for size in SIZES]
        weights = [
            lesion_weight(m.get_fdata(dtype=np.float32), m.affine, healthy.shape, healthy.affine, edge_mm=1.0)
            for m in lesions
        ]
        cases = sections[_SECTION_OF[row["split"]]]
        for contrast in CONTRASTS:
            image, label = implant(healthy.get_fdata(dtype=np.float32), np.max(weights, axis=0), contrast)
            case_id = f"{subject}_c{round(100 * contrast):03d}"
            files = {"t1": output_dir / f"{case_id}_t1.nii.gz", "label": output_dir / f"{case_id}_label.nii.gz"}
            for key, data in (("t1", image), ("label", label)):
                write_like(files[key], data, healthy_file)
            paths = {key: str(file) for key, file in files.items()}
            cases.append({"case_id": case_id, "patient_id": subject, **paths, "group": f"contrast {contrast}"})
        healthy_case = {"case_id": f"{subject}_healthy", "patient_id": subject, "t1": str(healthy_file)}
        cases.append({**healthy_case, "group": "healthy"})
    return sections


def _load(file: Path) -> nib.Nifti1Image:
    try:
        image = nib.load(file)
        image.get_fdata(dtype=np.float32)  # read now and kept, so that a truncated file is named here
        return image
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise DataListError(
            f"{file} cannot be read ({error}); SOURCE must be the folder of ixi_t1, ixi_t1_more and soop_lesion_masks"
        ) from error
