"""The environment is made once, remade when half-made, and says what to do when it cannot be made."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools import environment
from tools.environment import EnvironmentFailure, environment_python, is_complete, python_of

WANTED = replace(environment.COLLECTION, alone=())  # packages would be fetched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A collection that requires nothing, so that pip succeeds at once and offline; its path holds a space."""
    folder = tmp_path / "a collection"
    folder.mkdir()
    for name in environment.COLLECTION.requirements:
        (folder / name).write_text("# nothing\n")
    return folder


def pip_that(monkeypatch: pytest.MonkeyPatch, returncode: int, output: str) -> list[list[str]]:
    """Replace the making and pip; return the list that pip's commands are put in."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode, stdout=output)

    def make(folder: Path) -> None:
        python_of(folder).parent.mkdir(parents=True, exist_ok=True)
        python_of(folder).touch()
        (folder / "requirements.sha256").write_text("installing")

    monkeypatch.setattr(environment.subprocess, "run", run)
    monkeypatch.setattr(environment, "_make", make)
    return commands


def test_a_real_environment_is_made_used_again_and_remade_when_half_made(root, capfd):
    python = environment_python(root, WANTED)
    where = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert Path(where.stdout.strip()) == root / ".venv"
    said = capfd.readouterr()
    assert len(said.err.splitlines()) == 2 and said.out == ""  # what happens, and how long it took

    marker = root / ".venv" / "marker"
    marker.touch()
    assert environment_python(root, WANTED) == python and marker.exists()
    assert capfd.readouterr().err == ""

    (root / ".venv" / "requirements.sha256").write_text("installing")  # as a killed run leaves it
    assert not is_complete(root, WANTED)
    assert environment_python(root, WANTED) == python and is_complete(root, WANTED)
    assert not marker.exists()


def test_new_requirements_are_installed_into_the_environment_in_place(root, monkeypatch):
    commands = pip_that(monkeypatch, 0, "")
    environment_python(root, WANTED)
    environment_python(root, WANTED)
    assert len(commands) == 1
    assert commands[0][:4] == [str(python_of(root / ".venv")), "-m", "pip", "install"]
    assert commands[0][-5::2] == [str(root / name) for name in environment.COLLECTION.requirements]
    (root / ".venv" / "kept").touch()
    (root / "requirements.txt").write_text("# something else\n")
    environment_python(root, WANTED)
    assert len(commands) == 2 and (root / ".venv" / "kept").exists()


def test_what_asks_for_too_much_is_installed_after_the_others_and_alone(root, monkeypatch):
    commands = pip_that(monkeypatch, 0, "")
    environment_python(root)
    assert [command[-2:] for command in commands][1:] == [["--no-deps", "deepbet==1.0.2"]]


def test_an_environment_made_by_hand_is_not_deleted(root, monkeypatch):
    pip_that(monkeypatch, 1, "ERROR: something")
    python = python_of(root / ".venv")
    python.parent.mkdir(parents=True)
    python.touch()
    (root / ".venv" / "own_work").touch()
    for _ in range(2):
        with pytest.raises(EnvironmentFailure):
            environment_python(root, WANTED)
    assert (root / ".venv" / "own_work").exists()


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("Retrying after NewConnectionError: ...\nERROR: No matching distribution found for torch", "network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: something else", "run the command again"),
    ],
)
def test_a_failure_of_pip_shows_its_output_and_a_remedy(root, monkeypatch, capfd, output, remedy):
    pip_that(monkeypatch, 1, output)
    with pytest.raises(EnvironmentFailure, match=remedy) as failure:
        environment_python(root, WANTED)
    assert output in capfd.readouterr().err
    assert output.splitlines()[-1] in str(failure.value)
    assert not is_complete(root, WANTED)


def test_an_old_python_is_refused_before_anything_is_made(root, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(EnvironmentFailure, match=r"Python 3\.10 or newer.*Install Python 3\.11"):
        environment_python(root, WANTED)
    assert not (root / ".venv").exists()


def test_a_python_without_ensurepip_names_the_missing_package(root, monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailure, match="apt install python3[.0-9]*-venv"):
        environment_python(root, WANTED)


def test_the_disk_or_a_permission_refusing_the_folder_is_explained(root, monkeypatch):
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(environment, "_make", refuse)
    with pytest.raises(EnvironmentFailure, match="may write to"):
        environment_python(root, WANTED)


@pytest.mark.parametrize("name", ["environment", "run_tests", "quickstart", "quickstart_steps"])
def test_what_a_bare_python_runs_needs_the_standard_library_only(name):
    tree = ast.parse((environment.ROOT / "tools" / f"{name}.py").read_text(encoding="utf-8"))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "tools"}
