"""Lay out the app of MONAI Label: ``python -m tools.monai_label_app APP_DIR BUNDLE ...``, in its environment.

Beside MONAI Label's own app ``monaibundle``, with a copy of each bundle in ``model``, the folder gets ``stand_in``, a
torchvision with the two functions that MONAI Label imports and does not use, where there is none. A copy that is there
already is kept: it may have been trained.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.package_bundle import ROOT, stage

STAND_IN = '''"""In place of torchvision, whose compiled part needs CUDA: what monailabel.transform.post imports."""


def make_grid(*arguments, **options):
    raise NotImplementedError("install torchvision for this")


save_image = make_grid
'''


def write_stand_in(folder: Path) -> None:
    """A torchvision for MONAI Label's imports, in processes that it starts too, unless a real one can be imported."""
    shutil.rmtree(folder, ignore_errors=True)
    if importlib.util.find_spec("torchvision") is None:
        (folder / "torchvision").mkdir(parents=True)
        (folder / "torchvision" / "__init__.py").write_text('"""See utils."""\n')
        (folder / "torchvision" / "utils.py").write_text(STAND_IN)


def copy_app(folder: Path) -> None:
    """MONAI Label's app for bundles, as its own command copies it."""
    if not folder.is_dir():
        shutil.copytree(Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle", folder)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    app_dir, *bundles = arguments
    write_stand_in(Path(app_dir) / "stand_in")
    copy_app(Path(app_dir) / "monaibundle")
    for name in bundles:
        folder = Path(app_dir) / "monaibundle" / "model" / name
        if not folder.is_dir():
            print(f"copying {name} to {folder}", flush=True)
            stage(ROOT / "bundles" / name, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
