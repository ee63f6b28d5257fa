"""Verify bundles as the model zoo does, without a network: ``python -m tools.verify_bundle NAME ... [--run]``.

NAME is a folder in ``bundles``, another folder, or a zip of ``python -m tools.package_bundle``. Checked are files, name
and sizes, sums of the weights, metadata and changelog, the properties of MONAI's workflows, and what the network takes
and gives. With ``--run`` the network is exported to TorchScript and ONNX and compared with PyTorch, the example case is
run, and its numbers are compared with those expected. The exit code is 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tools.example_case import FOLDER, ExampleFailure, described, differences, run_example, write_example

ROOT = Path(__file__).resolve().parents[1]

NEED_ALL_FILES = ("input and output of the network", "exports", "example case")
# In a process of its own, started outside the repository: the package of every bundle is called scripts.
NETWORK = """
import json, sys
import torch
from monai.bundle import verify_net_in_out
from monai.bundle.scripts import _get_fake_spatial_shape
root = sys.argv[1]
sys.path.insert(0, root)
inputs = json.load(open(f"{root}/configs/metadata.json"))["network_data_format"]["inputs"]
def example(tensor):
    shape = _get_fake_spatial_shape(tensor["spatial_shape"])
    channels = [tensor["num_channels"]] if shape or tensor["num_channels"] > 1 else []
    return torch.full([1, *channels, *shape], float(tensor["value_range"][-1]))
verify_net_in_out(
    net_id="network_def", meta_file=f"{root}/configs/metadata.json", config_file=f"{root}/configs/inference.json",
    device="cpu", n=1, extra_forward_args={k: example(v) for k, v in inputs.items() if k != "image"}, bundle_root=root,
)
"""


class BundleNotFound(RuntimeError):
    """There is no bundle of a name; the message names it."""


def opened(name: str, temporary: Path) -> Path:
    """The folder of a bundle, extracted into ``temporary`` from a zip.

    Raises:
        BundleNotFound: no such folder or zip; a zip that leads out of its folder, holds a link, or not one top folder.
    """
    for folder in (Path(name), ROOT / "bundles" / name):
        if (folder / "configs").is_dir():
            return folder.resolve()
    if not Path(name).is_file() or not zipfile.is_zipfile(name):
        raise BundleNotFound(f"{name} is no bundle: neither a folder with configs, nor one in bundles, nor a zip")
    with zipfile.ZipFile(name) as package:
        names = package.namelist()
        if any(Path(entry).is_absolute() or ".." in Path(entry).parts for entry in names):
            raise BundleNotFound(f"{name}: an entry leads out of the folder. Do not unpack it")
        if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in package.infolist()):
            raise BundleNotFound(f"{name}: an entry is a link. Do not unpack it")
        if len({Path(entry).parts[0] for entry in names}) != 1:
            raise BundleNotFound(f"{name} does not have one top folder")
        package.extractall(temporary)
    return temporary / Path(names[0]).parts[0]


def wrong_network(bundle: Path) -> list[str]:
    """Whether the network of inference.json takes and gives what the metadata say."""
    with tempfile.TemporaryDirectory() as elsewhere:
        command = [sys.executable, "-W", "ignore", "-c", NETWORK, str(bundle)]
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1:] if done.returncode else []


def wrong_exports(bundle: Path, temporary: Path) -> list[str]:
    """What `python -m tools.export_bundle` says of the formats whose export fails or differs from PyTorch."""
    wrong = []
    for form in ("torchscript", "onnx"):
        command = [sys.executable, "-W", "ignore", "-m", "tools.export_bundle", str(bundle)]
        command += ["--format", form, "--output_dir", str(temporary / "exports")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            wrong.append(f"{form}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return wrong


def wrong_example(bundle: Path, temporary: Path) -> list[str]:
    """Whether the example case comes out as expected; that of an unpacked bundle is simulated first."""
    if not (bundle / FOLDER).is_dir() and described(bundle)["phantom"]:
        copy = temporary / bundle.name
        shutil.copytree(bundle, copy / bundle.parent.name / bundle.name, ignore=shutil.ignore_patterns("eval"))
        bundle = copy / bundle.parent.name / bundle.name
        (copy / "shared").symlink_to(ROOT / "shared")
        write_example(bundle)
    try:
        return differences(run_example(bundle, temporary / "example_output"), described(bundle)["expected"])
    except ExampleFailure as failure:
        return [str(failure)]


def verify(name: str, run: bool) -> bool:
    """Print a line for each check of a bundle, and what is wrong; return whether all is well."""
    from tools.bundle_checks import wrong_bundle  # late: --help answers at once

    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        bundle = opened(name, temporary)
        print(f"\n{bundle.name}", flush=True)
        found = wrong_bundle(bundle)
        found["input and output of the network"] = [] if found["files"] else wrong_network(bundle)
        if run:
            found["exports"] = [] if found["files"] else wrong_exports(bundle, temporary)
            found["example case"] = [] if found["files"] else wrong_example(bundle, temporary)
    for check, problems in found.items():
        skipped = found["files"] and check in NEED_ALL_FILES
        print(f"  {'skipped' if skipped else 'WRONG' if problems else 'ok':8}{check}")
        for problem in problems:
            print(f"            {problem}")
    return not any(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--run", action="store_true", help="run the example case too")
    given = parser.parse_args(arguments)
    try:
        well = [verify(name, given.run) for name in given.names]
    except BundleNotFound as problem:
        print(f"verify_bundle: {problem}", file=sys.stderr)
        return 1
    print(f"\n{sum(well)} of {len(well)} bundles are well")
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
