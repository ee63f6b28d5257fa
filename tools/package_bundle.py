"""Pack bundles for release: ``python -m tools.package_bundle NAME [NAME ...] --output_dir DIR``, or ``--all``.

Each becomes ``<name>_v<version>.zip`` with the one top folder ``<name>``, which runs without this repository: the code
of ``shared`` lies in its ``scripts``, the weights in its ``models``, and in ``example`` a simulated case to try it on.
Equal files give equal bytes. ``model_info.json`` beside the zips is what the model zoo keeps of them, the sha1 as
``checksum``, with the sha256 in addition.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from shared.runs.files import replacing
from shared.runs.tables import write_json
from tools.example_case import write_example

ROOT = Path(__file__).resolve().parents[1]

BUNDLES = sorted(folder for folder in (ROOT / "bundles").iterdir() if (folder / "configs").is_dir())
CONTENT = (
    *("LICENSE", "configs/*.json", "configs/*.conf", "docs/*"),
    *("models/SHA256SUMS", "models/**/model.pt", "models/**/*.json", "models/**/*.nii.gz"),
)
LISTS_OF_LARGE_FILES = "large_files.yml", "large_files.yaml"
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: no file tells when it was packed
_READABLE = 0o644 << 16


class PackagingError(RuntimeError):
    """A bundle cannot be packed; the message names it and the remedy."""


def contents(bundle: Path) -> Iterator[tuple[str, Path]]:
    """What goes into the package, as its name there and the file, example and large files aside."""
    for pattern in CONTENT:
        yield from ((file.relative_to(bundle).as_posix(), file) for file in bundle.glob(pattern) if file.is_file())
    yield "scripts/__init__.py", bundle / "scripts" / "__init__.py"
    for file in (ROOT / "shared").rglob("*.py"):
        yield f"scripts/shared/{file.relative_to(ROOT / 'shared').as_posix()}", file


def stage(bundle: Path, folder: Path) -> str:
    """Copy what belongs to a bundle into ``folder`` and fetch its large files; return the version.

    Raises:
        PackagingError: a version without an entry in the changelog, no weights, or a large file that cannot be had.
    """
    for name, file in contents(bundle):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    version = metadata["version"]
    if version not in metadata["changelog"]:
        raise PackagingError(f"{bundle.name}: version {version} has no entry in the changelog of configs/metadata.json")
    if large := [file for name in LISTS_OF_LARGE_FILES if (file := bundle / name).is_file()]:
        from monai.bundle import download_large_files  # late: --help answers at once

        listed = Path(shutil.copy(large[0], folder))
        try:
            download_large_files(bundle_path=str(folder))  # MONAI 1.6.1 fails where the list is named to it
        except Exception as error:  # of the network, of the hash, of a path that leads out of the bundle
            raise PackagingError(f"{bundle.name}: a file of {listed.name} cannot be had ({error})") from error
        listed.unlink()  # its files are in the package
    if not (folder / "models" / "model.pt").is_file():
        raise PackagingError(f"{bundle.name}: models/model.pt is missing. Train it, or list it in large_files.yml")
    return version


def write_zip(folder: Path, name: str, path: Path) -> None:
    """Zip a folder as ``<name>/...``: equal files, by content and relative path, give equal bytes."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as package:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{file.relative_to(folder).as_posix()}", _FIRST_DATE)
            entry.create_system, entry.external_attr = 3, _READABLE  # as from Linux, on every system
            package.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


def package(bundle: Path, output_dir: Path, source: str = "") -> Path:
    """Write the zip of one bundle and its entry in ``model_info.json``; return the path of the zip.

    Args:
        bundle: its folder in this repository.
        output_dir: where the zip goes.
        source: address of the folder from which the zip will be downloaded.

    Raises:
        PackagingError: see :func:`stage`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / bundle.name
        title = f"{bundle.name}_v{stage(bundle, folder)}"
        write_example(folder)
        path = output_dir / f"{title}.zip"
        write_zip(folder, bundle.name, path)
    content, info_file = path.read_bytes(), output_dir / "model_info.json"
    known = json.loads(info_file.read_text(encoding="utf-8")) if info_file.is_file() else {}
    address = f"{source.rstrip('/')}/{path.name}" if source else path.name
    known[title] = {"checksum": hashlib.sha1(content).hexdigest(), "source": address}
    known[title]["sha256"] = hashlib.sha256(content).hexdigest()
    write_json(info_file, dict(sorted(known.items())))
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with the problem on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a folder in bundles")
    parser.add_argument("--all", action="store_true", help="all bundles")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--source", default="", metavar="URL", help="of the release, for model_info.json")
    given = parser.parse_args(arguments)
    known = {bundle.name: bundle for bundle in BUNDLES}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no bundle {', '.join(unknown)}; choose among {', '.join(known)}")
    if not given.names and not given.all:
        parser.error("name the bundles to pack, or say --all")
    try:
        for bundle in tqdm(list(known.values()) if given.all else [known[name] for name in given.names], unit="bundle"):
            path = package(bundle, given.output_dir, given.source)
            tqdm.write(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    except PackagingError as problem:
        print(f"package_bundle: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
