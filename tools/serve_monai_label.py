"""Serve the bundles to MONAI Label, and to 3D Slicer behind it: ``python -m tools.serve_monai_label --studies DIR``.

DIR holds scans of the head as NIfTI files, or radiographs as PNG or NIfTI; the server writes labels below it. The
first start makes an environment, ``.venv-monailabel``, and in ``--app_dir`` a copy of each bundle, which training on
the server changes, and of MaC-DM the segmenter alone, as a bundle of its own; the repository stays as it is. Nothing is
fetched after the installation. Stop with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.environment import MONAI_LABEL, ROOT, EnvironmentFailure, environment_python

BUNDLES = sorted(folder.name for folder in (ROOT / "bundles").iterdir() if folder.name.startswith("brain_mri"))
SEGMENTER = "tibia_radiograph_fracture_segmentation"  # of tibia_radiograph_synthesis_macdm


def command(python: Path, given: argparse.Namespace) -> list[str]:
    """The command that starts the server on what ``prepare`` has laid out."""
    return [
        *(str(python), "-m", "monailabel.main", "start_server"),
        *("--app", str(given.app_dir / "monaibundle"), "--studies", str(given.studies)),
        *("--conf", "models", ",".join(given.bundles)),
        *("--conf", "zoo_source", "local"),  # anything but a name of MONAI's: its list of bundles would be fetched
        *("--conf", "sam2", "false"),
        *("--host", given.host, "--port", str(given.port)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with the problem on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder: dict[str, Any] = {"type": lambda path: Path(path).resolve(), "metavar": "DIR"}
    parser.add_argument("--studies", required=True, **folder)
    models = [*BUNDLES, SEGMENTER]
    parser.add_argument("--bundles", nargs="+", choices=models, default=models)
    parser.add_argument("--app_dir", default=ROOT / ".monailabel", **folder)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args(arguments)
    if not given.studies.is_dir():
        print(f"serve_monai_label: {given.studies} is no folder. Make it and put scans into it", file=sys.stderr)
        return 1
    try:
        python = environment_python(wanted=MONAI_LABEL)
    except EnvironmentFailure as failure:
        print(f"serve_monai_label: {failure}", file=sys.stderr)
        return 1
    prepared = subprocess.run([python, "-m", "tools.monai_label_app", given.app_dir, *given.bundles], cwd=ROOT)
    if prepared.returncode:
        return 1
    print(f"MONAI Label: http://{given.host}:{given.port} (Slicer: module MONAI Label, this address)", flush=True)
    path = os.pathsep.join([str(given.app_dir / "stand_in"), str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    variables = {**os.environ, "PYTHONPATH": path, "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        return subprocess.run(command(python, given), env=variables).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
