"""Lay out the app of MONAI Label: ``python -m tools.monai_label_app APP_DIR BUNDLE ...``, in its environment.

Beside ``monaibundle``, the app (:mod:`.bundle_app`) with a copy of each bundle in ``model``, the folder gets
``stand_in``, a torchvision with the two functions that MONAI Label imports and does not use, where there is none. A
copy that is there already is kept: it may have been trained. MaC-DM's segmenter is made a bundle of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from shared.runs.tables import write_json
from tools.package_bundle import ROOT, contents, stage
from tools.serve_monai_label import BUNDLES, SEGMENTER

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


def write_app(folder: Path) -> None:
    """The file in which MONAI Label looks for the app."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text("from tools.bundle_app import BundleApp\n")


def stage_segmenter(folder: Path) -> None:
    """Make a bundle of MaC-DM's segmenter alone: the server reads one config, ``inference.json``, and ``model.pt``."""
    parts = dict(contents(ROOT / "bundles" / "tibia_radiograph_synthesis_macdm"))
    copied = {name: file for name, file in parts.items() if name.startswith("scripts/")}
    for name, file in {**copied, "models/model.pt": parts["models/segmenter/model.pt"]}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    config, metadata, its_own = (
        json.loads(parts[f"configs/{name}.json"].read_text(encoding="utf-8"))
        for name in ("segment", "metadata", "segment_metadata")
    )
    (folder / "configs").mkdir()
    own_weights = {"weights": "$os.path.join(@bundle_root, 'models', 'model.pt')"}
    write_json(folder / "configs" / "inference.json", config | own_weights)
    write_json(folder / "configs" / "metadata.json", metadata | its_own)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app_dir", type=Path, metavar="APP_DIR", help="is made where there is none")
    parser.add_argument("bundles", nargs="*", choices=[*BUNDLES, SEGMENTER], metavar="BUNDLE")
    given = parser.parse_args(arguments)
    write_stand_in(given.app_dir / "stand_in")
    write_app(given.app_dir / "monaibundle")
    for name in given.bundles:
        folder = given.app_dir / "monaibundle" / "model" / name
        if not folder.is_dir():
            print(f"copying {name} to {folder}", flush=True)
            unfinished = folder.with_name(f".{name}")  # a start that is interrupted leaves no half of a bundle
            shutil.rmtree(unfinished, ignore_errors=True)
            if name == SEGMENTER:
                stage_segmenter(unfinished)
            else:
                stage(ROOT / "bundles" / name, unfinished)
            unfinished.rename(folder)


if __name__ == "__main__":
    main()
