"""verify_bundle: a line for each check, the exit code, and zips that are no bundles."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from monai.apps.utils import extractall

from tools.package_bundle import BUNDLES, ROOT, package
from tools.verify_bundle import main

ITERMASK3D = ROOT / "bundles" / "brain_mri_anomaly_itermask3d"


def copied(tmp_path: Path) -> Path:
    return shutil.copytree(ITERMASK3D, tmp_path / ITERMASK3D.name, ignore=shutil.ignore_patterns("eval", "*.pyc"))


def test_a_package_is_well(tmp_path, capsys):
    assert main([str(package(ITERMASK3D, tmp_path))]) == 0
    said = capsys.readouterr().out
    assert said.count("  ok ") == 5 and "WRONG" not in said
    assert said.rstrip().endswith("1 of 1 bundles are well")


def test_a_network_unlike_its_description_is_found(tmp_path, capsys):
    bundle = Path(shutil.copytree(ITERMASK3D.parents[1] / "shared", tmp_path / "shared")).parent / "bundles"
    bundle.mkdir()
    copy = copied(bundle)
    file = copy / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] = 3
    file.write_text(json.dumps(metadata))
    assert main([str(copy)]) == 1
    said = capsys.readouterr().out
    assert "WRONG   input and output of the network" in said and "0 of 1 bundles are well" in said
    assert "output channel number `1` doesn't match: `3`" in said


def test_without_its_files_a_bundle_is_not_run(tmp_path, capsys):
    copy = copied(tmp_path)
    (copy / "models" / "model.pt").unlink()
    assert main([str(copy), "--run"]) == 1
    said = capsys.readouterr().out
    assert "models/model.pt is missing" in said
    assert "skipped input and output of the network" in said and "skipped example case" in said


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["../escaped.txt"], "an entry leads out of the folder"),
        (["a/configs/x.json", "b/y.json"], "does not have one top folder"),
    ],
)
def test_a_zip_that_is_no_bundle_is_not_unpacked(tmp_path, capsys, entries: list[str], said: str):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as package:
        for entry in entries:
            package.writestr(entry, "x")
    assert main([str(tmp_path / "in.zip")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path.parent / "escaped.txt").exists()


@pytest.mark.parametrize("target", ["../../victim", "/victim"])
def test_a_zip_with_a_link_is_not_unpacked(tmp_path, capsys, target: str):
    """Of the standard library, ``extractall`` would write the target as a text; other programs would follow it."""
    link = zipfile.ZipInfo("a/models")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as package:
        package.writestr(link, target)
        package.writestr("a/configs/x.json", "{}")
    assert main([str(tmp_path / "in.zip")]) == 1
    assert "an entry is a link" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["../escaped.txt", "/escaped.txt"])
def test_download_of_monai_does_not_unpack_what_leads_out_of_the_folder(tmp_path, entry: str):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as package:
        package.writestr("a/configs/x.json", "{}")
        package.writestr(entry, "x")
    (tmp_path / "deep" / "out").mkdir(parents=True)
    with pytest.raises(ValueError, match="[Uu]nsafe|[Ii]llegal|outside"):
        extractall(tmp_path / "in.zip", tmp_path / "deep" / "out", has_base=False)
    assert not list(tmp_path.rglob("escaped.txt")) and not Path("/escaped.txt").exists()


def test_what_is_no_bundle_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "nothing")]) == 1
    assert "nothing is no bundle" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_package_finds_in_its_example_what_it_should(bundle: Path, tmp_path, capsys):
    assert main([str(package(bundle, tmp_path)), "--run"]) == 0, capsys.readouterr().out
