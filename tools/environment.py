"""The collection's own virtual environments, made from a bare Python: ``python -m tools.environment`` makes ``.venv``.

It prints the interpreter in it, and does nothing else where the environment is complete. The files of requirements say
what is installed; pyproject.toml reads them too. Needs the standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 10)
_INSTALLING = "installing"  # content of the stamp until the packages are in
_NO_SPACE = ("no space left", "errno 28", "disk quota")
_NO_NETWORK = (
    "temporary failure in name resolution",
    "failed to establish a new connection",
    "newconnectionerror",
    "connecttimeouterror",
    "proxyerror",
    "getaddrinfo failed",
    "network is unreachable",
)


@dataclass(frozen=True)
class Wanted:
    """An environment: its folder, files of requirements, and packages that are installed without what they need."""

    folder: str
    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()


_DEEPBET = "deepbet==1.0.2"
COLLECTION = Wanted(".venv", ("requirements.txt", "requirements-extract.txt", "requirements-test.txt"), (_DEEPBET,))
MONAI_LABEL = Wanted(
    ".venv-monailabel",
    ("requirements.txt", "requirements-extract.txt", "requirements-monailabel.txt"),
    (_DEEPBET, "monailabel==0.8.5", "pydicom-seg==0.4.1"),
)
FLARE = Wanted(".venv-flare", ("requirements.txt", "requirements-flare.txt"))


class EnvironmentFailure(RuntimeError):
    """The environment cannot be made; the message says why and what to do."""


def python_of(folder: Path) -> Path:
    """Path of the interpreter of the virtual environment in ``folder``."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def is_complete(root: Path = ROOT, wanted: Wanted = COLLECTION) -> bool:
    """Whether an environment below ``root`` holds what its files of requirements say."""
    folder = root / wanted.folder
    return python_of(folder).exists() and _read(_stamp(folder)) == _digest(root, wanted)


def environment_python(root: Path = ROOT, wanted: Wanted = COLLECTION) -> Path:
    """Return the interpreter of an environment, which is made, mended or brought up to date where needed.

    A half-made environment is made anew. One that was made by hand is kept, and the requirements installed into it.

    Raises:
        EnvironmentFailure: Python is too old or lacks venv, no network, no space, or no write permission.
    """
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise EnvironmentFailure(
            f"Python {oldest} or newer is needed, and {sys.executable} is {sys.version.split()[0]}. "
            "Install Python 3.11 and run the command with it."
        )
    folder = root / wanted.folder
    python, stamp = python_of(folder), _stamp(folder)
    if is_complete(root, wanted):
        return python
    started, names = time.monotonic(), " and ".join(wanted.requirements)
    _say(f"Installing {names} into {folder}: once, 1 to 10 minutes and 3 GB of disk (more with CUDA) ...")
    try:
        if not python.exists() or _read(stamp) == _INSTALLING:
            _make(folder)
        elif stamp.exists():
            stamp.write_text(_INSTALLING)
        files = [root / name for name in wanted.requirements]
        _install(python, [word for file in files for word in ("--requirement", str(file))], files[-1])
        if wanted.alone:
            _install(python, ["--no-deps", *wanted.alone], files[-1])
        stamp.write_text(_digest(root, wanted))
    except OSError as error:
        raise EnvironmentFailure(f"{folder} cannot be made: {_with_remedy(str(error), root)}") from error
    _say(f"Installed in {time.monotonic() - started:.0f} s.")
    return python


def _make(folder: Path) -> None:
    """Make a fresh environment with pip, stamped as unfinished."""
    if importlib.util.find_spec("ensurepip") is None:
        version = "{}.{}".format(*sys.version_info)
        raise EnvironmentFailure(
            f"{sys.executable} cannot make virtual environments with pip. "
            f"Install the rest of Python first (Debian and Ubuntu: apt install python{version}-venv)."
        )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    _stamp(folder).write_text(_INSTALLING)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
    except subprocess.CalledProcessError as error:
        detail = (error.output or b"").decode(errors="replace")
        raise EnvironmentFailure(f"venv failed in {folder}: {_with_remedy(detail, folder)}") from error


def _install(python: Path, what: Sequence[str], requirements: Path) -> None:
    """Install ``what``, options and names as pip takes them; its output is shown only when it fails."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    pip = subprocess.run(
        [*command, "--progress-bar", "off", *what],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if pip.returncode:
        _say(pip.stdout)
        raise EnvironmentFailure(
            f"pip could not install {requirements} (its output is above): {_with_remedy(pip.stdout, requirements)}"
        )


def _with_remedy(output: str, place: Path) -> str:
    """Return the last line of a failure with what can be done about it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    lower = output.lower()
    if any(sign in lower for sign in _NO_SPACE):
        remedy = f"The disk is full. Free 3 GB (8 GB with CUDA) where {place} lies, and in the temporary folder"
    elif any(sign in lower for sign in _NO_NETWORK):
        remedy = "The package index cannot be reached. Check the network, or pip's proxy and index settings"
    elif "permission denied" in lower or "read-only file system" in lower:
        remedy = "Run it in a copy of the collection that you may write to"
    else:
        remedy = "Mend what it names and run the command again; it starts where a fresh one would"
    return f"{last}\n{remedy}."


def _stamp(folder: Path) -> Path:
    return folder / "requirements.sha256"


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _digest(root: Path, wanted: Wanted) -> str:
    contents = [(root / name).read_bytes() for name in wanted.requirements]
    return hashlib.sha256(b"".join([*contents, *map(str.encode, wanted.alone)])).hexdigest()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the interpreter of ``.venv``; exit code 1 with the problem on stderr."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args(arguments)
    try:
        print(environment_python())
    except EnvironmentFailure as failure:
        print(f"environment: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
