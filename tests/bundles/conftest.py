"""The real command, each in a process of its own, as users type it; every bundle's package is called ``scripts``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bundle:
    """A bundle in this checkout; ``root`` is relative to the root of the collection, where its command runs."""

    root: Path

    @property
    def folder(self) -> Path:
        """Absolute path of the bundle."""
        return ROOT / self.root

    def command(self, configs: str, options: Mapping[str, Any], root: Path) -> list[str]:
        """The command, without ``python``; ``configs`` are names of configs, separated by spaces, overlays last."""
        files = [str(root / "configs" / name) for name in configs.split()]
        given = {"config_file": files[0] if len(files) == 1 else files, "bundle_root": root, **options}
        words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
        return ["-m", "monai.bundle", "run", *words]

    def run(
        self, configs: str, options: Mapping[str, Any], cwd: Path | None = None, launcher: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, at the root with relative paths, or in another folder with absolute ones."""
        root = self.root if cwd is None else self.folder
        command = [sys.executable, *launcher, *self.command(configs, options, root)]
        return subprocess.run(command, cwd=cwd or ROOT, env=environment(), capture_output=True, text=True, timeout=900)

    def start(self, configs: str, options: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
        """Start in a process group of its own and return at once; both outputs go to ``log``."""
        command = [sys.executable, *self.command(configs, options, self.root)]
        with log.open("wb") as stream:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment(), stdout=stream, stderr=stream, start_new_session=True
            )


def environment() -> dict[str, str]:
    """Variables of the commands: no paths of this process, and the CPU, where equal runs are equal bit for bit."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def itermask3d() -> Bundle:
    return Bundle(Path("bundles") / "brain_mri_anomaly_itermask3d")


def reoriented(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    """The same volume with its voxel axes in another order and direction, such as ``LAS``."""
    start, end = nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    return image.as_reoriented(nib.orientations.ornt_transform(start, end))


def as_stored(image: nib.Nifti1Image, dtype: str, slope: float = 1.0) -> nib.Nifti1Image:
    """The same volume as integers of ``dtype`` (``>i2`` is big-endian int16) with ``scl_slope``."""
    header = nib.Nifti1Header(endianness="big" if dtype[0] == ">" else "little")
    header.set_data_dtype(np.dtype(dtype))
    stored = nib.Nifti1Image(np.round(image.get_fdata() / slope).astype(dtype), image.affine, header)
    stored.header.set_slope_inter(slope, 0)
    return stored
