"""The real command, each in a process of its own, as users type it; every bundle's package is called ``scripts``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.bundle import ConfigParser

from shared.simulation.phantom_brain import make_phantom, write_phantom
from tests.helpers.paths import ROOT

NO_NETWORK = "NETWORK ACCESS"  # what no_network/sitecustomize.py prints of each attempt

PROPERTIES = """
import json, sys
from monai.bundle import ConfigWorkflow
root, overrides = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, root)
missing = {}
for config, kind in (("inference", "infer"), ("train", "train")):
    workflow = ConfigWorkflow(
        f"{root}/configs/{config}.json", f"{root}/configs/metadata.json", f"{root}/configs/logging.conf",
        workflow_type=kind, bundle_root=root, **overrides[kind],
    )
    workflow.initialize()
    missing[kind] = workflow.check_properties()
print(json.dumps(missing))
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle in this checkout; ``root`` is relative to the root of the collection, where its command runs."""

    root: Path

    @property
    def folder(self) -> Path:
        """Absolute path of the bundle."""
        return ROOT / self.root

    def config(self, name: str) -> dict[str, Any]:
        """A config as it is written."""
        return json.loads((self.folder / "configs" / name).read_text(encoding="utf-8"))

    def parsed(self, *names: str, **options: Any) -> ConfigParser:
        """Configs, overlays last, read in this process, where the package of the bundle is called ``shared``."""
        config = ConfigParser.load_config_files([str(self.folder / "configs" / f"{name}.json") for name in names])
        parser = ConfigParser(json.loads(json.dumps(config).replace("scripts.shared.", "shared.")))
        parser.update({"bundle_root": str(self.folder), **options})
        return parser

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
        done = subprocess.run(command, cwd=cwd or ROOT, env=environment(), capture_output=True, text=True, timeout=900)
        assert NO_NETWORK not in done.stderr, done.stderr
        return done

    def start(self, configs: str, options: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
        """Start in a process group of its own, at the root; it heeds Ctrl-C, as no background job of a shell would."""
        command = [sys.executable, *self.command(configs, options, self.root)]
        heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        with log.open("wb") as stream:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(),
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=heed,
            )

    def run_until(self, sign: Path, configs: str, options: Mapping[str, Any], log: Path) -> None:
        """Start and kill without warning once the file ``sign`` is there."""
        process = self.start(configs, options, log)
        deadline = time.monotonic() + 120
        while not sign.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, log.read_text()

    def missing_properties(self, inference: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, list[str]]:
        """What MONAI misses in both workflows; the check builds each property, so that there must be data."""
        overrides = {
            kind: {key: str(value) for key, value in options.items()}
            for kind, options in (("infer", inference), ("train", training))
        }
        command = [sys.executable, "-c", PROPERTIES, str(self.folder), json.dumps(overrides)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def train_in_two_processes(
        self, options: Mapping[str, Any], cwd: Path, configs: str = "train.json multi_gpu_train.json"
    ) -> None:
        """Train under torchrun with gloo, started in an empty folder, which stays empty."""
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2")
        done = self.run(configs, options, cwd=cwd, launcher=launcher)
        assert done.returncode == 0, done.stderr
        assert not list(cwd.iterdir())


def environment() -> dict[str, str]:
    """Variables of the commands: no paths to packages, no network, and the CPU, where equal runs are equal bitwise."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "no_network"), "CUDA_VISIBLE_DEVICES": ""}


def tumours_and_healthy(folder: Path, sequences: Sequence[str], spacing: float) -> dict[str, list[dict[str, str]]]:
    """Write phantoms, one with a tumour and one without in each section, and list them: training and validation."""
    sections: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
    for seed, lesion in enumerate(("tumour", None, "tumour", None)):
        section = "training" if seed < 2 else "validation"
        phantom = make_phantom(seed, lesion, sequences, spacing=spacing)
        sections[section].append(write_phantom(phantom, folder, f"{section}{seed}"))
    return sections


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
