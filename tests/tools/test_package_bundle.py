"""package_bundle: what a zip holds, that equal files give equal bytes, and that a downloaded bundle runs alone."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.simulation.phantom_brain import write_dataset
from tools.example_case import described, differences, run_example
from tools.package_bundle import BUNDLES, ROOT, PackagingError, main, package, write_zip

ITERMASK3D = next(bundle for bundle in BUNDLES if bundle.name == "brain_mri_anomaly_itermask3d")


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    assert main([ITERMASK3D.name, "--output_dir", str(folder), "--source", "https://example.org/release/"]) == 0
    return folder / f"{ITERMASK3D.name}_v{version(ITERMASK3D)}.zip"


def version(bundle: Path) -> str:
    return json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"]


def copied(tmp_path: Path) -> Path:
    return shutil.copytree(ITERMASK3D, tmp_path / ITERMASK3D.name, ignore=shutil.ignore_patterns("eval", "*.pyc"))


def test_a_package_has_one_top_folder_with_code_weights_and_example_and_no_clutter(packed: Path, tmp_path):
    names = zipfile.ZipFile(packed).namelist()
    assert {name.split("/")[0] for name in names} == {ITERMASK3D.name}
    inside = {name.split("/", 1)[1] for name in names}
    shared = {f"scripts/shared/{f.relative_to(ROOT / 'shared').as_posix()}" for f in (ROOT / "shared").rglob("*.py")}
    assert shared | {"LICENSE", "models/model.pt", "scripts/__init__.py", "docs/README.md"} <= inside
    assert {name for name in inside if name.startswith("example/")} >= {"example/datalist.json"}

    clutter = copied(tmp_path)
    for name in ("eval/report.html", "models/checkpoint.pt", "models/model.ts", "scripts/__pycache__/x.pyc", ".hidden"):
        (clutter / name).parent.mkdir(exist_ok=True)
        (clutter / name).write_text("clutter")
    again = package(clutter, tmp_path / "again")
    assert set(zipfile.ZipFile(again).namelist()) == set(names)
    assert again.read_bytes() == packed.read_bytes(), "equal files, on another day and in another folder"


def test_model_info_tells_the_sums_and_the_address(packed: Path):
    info = json.loads((packed.parent / "model_info.json").read_text())
    assert info == {
        packed.stem: {
            "checksum": hashlib.sha1(packed.read_bytes()).hexdigest(),
            "source": f"https://example.org/release/{packed.name}",
            "sha256": hashlib.sha256(packed.read_bytes()).hexdigest(),
        }
    }


def test_a_second_bundle_joins_model_info(packed: Path, tmp_path):
    shutil.copy(packed.parent / "model_info.json", tmp_path)
    package(BUNDLES[-1], tmp_path)
    assert len(json.loads((tmp_path / "model_info.json").read_text())) == 2


def test_a_zip_does_not_depend_on_the_order_or_the_time_of_its_files(tmp_path):
    for folder, order in (("a", (1, 2)), ("b", (2, 1))):
        (tmp_path / folder).mkdir()
        for number in order:
            (tmp_path / folder / f"{number}.txt").write_text(str(number))
    os.utime(tmp_path / "a" / "1.txt", (1e9, 1e9))
    for folder in "ab":
        write_zip(tmp_path / folder, "top", tmp_path / f"{folder}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_faults_are_named_with_a_remedy(tmp_path, capsys):
    bundle = copied(tmp_path)
    weights = (bundle / "models" / "model.pt").rename(tmp_path / "weights.pt")
    with pytest.raises(PackagingError, match="models/model.pt is missing. Train it, or list it in large_files.yml"):
        package(bundle, tmp_path)
    shutil.copy(weights, bundle / "models" / "model.pt")
    metadata = bundle / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace(f'"version": "{version(bundle)}"', '"version": "7.0.0"'))
    with pytest.raises(PackagingError, match="version 7.0.0 has no entry in the changelog"):
        package(bundle, tmp_path)
    assert not list(tmp_path.glob("*.zip"))
    with pytest.raises(SystemExit):
        main(["no_such_bundle", "--output_dir", str(tmp_path)])
    assert f"choose among {ITERMASK3D.name}" in capsys.readouterr().err


@pytest.fixture
def served(tmp_path) -> Iterator[SimpleNamespace]:
    """A folder whose files an HTTP server gives out, on the loopback interface alone."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(folder=folder, url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.parametrize("damaged", [False, True])
def test_large_files_are_fetched_and_their_sum_is_checked(served, tmp_path, damaged: bool):
    bundle = copied(tmp_path)
    weights = bundle / "models" / "model.pt"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    shutil.move(weights, served.folder / "weights.pt")
    if damaged:
        (served.folder / "weights.pt").write_bytes(b"<html>please log in</html>")
    listed = {"path": "models/model.pt", "url": f"{served.url}/weights.pt", "hash_val": digest, "hash_type": "sha256"}
    (bundle / "large_files.yml").write_text(json.dumps({"large_files": [listed]}))  # JSON is YAML
    if damaged:
        with pytest.raises(PackagingError, match="a file of large_files.yml cannot be had"):
            package(bundle, tmp_path)
        return
    path = package(bundle, tmp_path)
    with zipfile.ZipFile(path) as opened:
        assert hashlib.sha256(opened.read(f"{bundle.name}/models/model.pt")).hexdigest() == digest
        assert not [name for name in opened.namelist() if "large_files" in name]


@pytest.mark.slow
def test_a_downloaded_bundle_finds_what_it_should_and_trains_without_this_repository(packed: Path, served, tmp_path):
    shutil.copy(packed, served.folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words: object) -> None:
        command = [sys.executable, "-m", "monai.bundle", *map(str, words)]
        done = subprocess.run(command, cwd=elsewhere, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run("download", "--name", ITERMASK3D.name, "--url", f"{served.url}/{packed.name}", "--bundle_dir", tmp_path / "got")
    [fetched] = (tmp_path / "got").glob("*.zip")
    info = json.loads((packed.parent / "model_info.json").read_text())[packed.stem]
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() == info["sha256"]
    bundle = tmp_path / "got" / ITERMASK3D.name
    assert not differences(run_example(bundle, tmp_path / "found"), described(bundle)["expected"])

    write_dataset(tmp_path / "healthy", 8, [None], ["t1"], 4.0, seed=0)
    tiny = ("--spacing", "[4,4,4]", "--box", "[48,48,48]", "--network_def#width", 2, "--max_epochs", 1)
    folders = ("--dataset_dir", tmp_path / "healthy", "--ckpt_dir", tmp_path / "out", "--output_dir", tmp_path / "out")
    config = bundle / "configs" / "train.json"
    run("run", "--config_file", config, "--bundle_root", bundle, *tiny, *folders, "--val_interval", 1)
    assert (tmp_path / "out" / "model.pt").is_file()
    assert not list(elsewhere.iterdir())
