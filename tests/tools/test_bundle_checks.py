"""bundle_checks: the collection's bundles pass, and each fault is named."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tools.bundle_checks import wrong_bundle, wrong_files, wrong_metadata, wrong_properties, wrong_sums
from tools.package_bundle import BUNDLES

ITERMASK3D = next(bundle for bundle in BUNDLES if bundle.name == "brain_mri_anomaly_itermask3d")


@pytest.fixture
def metadata() -> dict[str, Any]:
    return json.loads((ITERMASK3D / "configs" / "metadata.json").read_text(encoding="utf-8"))


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A copy, to spoil."""
    return shutil.copytree(ITERMASK3D, tmp_path / ITERMASK3D.name, ignore=shutil.ignore_patterns("eval", "*.pyc"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_bundle_of_the_collection_is_well(bundle: Path):
    assert not any(wrong_bundle(bundle).values()), wrong_bundle(bundle)


@pytest.mark.parametrize("bundle", [b for b in BUNDLES if "anomaly" in b.name], ids=lambda bundle: bundle.name)
def test_monai_label_reads_the_names_of_the_labels(bundle: Path):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert channels == {"0": "background", "1": "anomaly"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": None}, "task is no text"),
        ({"version": "9.9.9"}, "version 9.9.9 has no entry in the changelog"),
        ({"version": "1.0", "changelog": {"1.0": "x"}}, "version 1.0 is not of the form 1.2.3"),
        (
            {"required_packages_version": {"nibabel": ">=5"}},
            "required_packages_version: 'nibabel' has no exact version",
        ),
        ({"references": [1]}, "references holds what is no text"),
        ({"supported_apps": []}, "supported_apps is no table"),
    ],
)
def test_faults_of_the_metadata_are_named(metadata, change: dict[str, Any], said: str):
    assert list(wrong_metadata(metadata)) == []
    assert list(wrong_metadata({**metadata, **change})) == [said]


def test_the_data_format_begins_with_image_and_pred_and_describes_them(metadata):
    described = metadata["network_data_format"]
    renamed = copy.deepcopy(metadata)
    renamed["network_data_format"]["inputs"] = {"latent": described["inputs"]["image"], **described["inputs"]}
    assert list(wrong_metadata(renamed)) == ["network_data_format: the first of inputs is not 'image'"]
    lacking = copy.deepcopy(metadata)
    del lacking["network_data_format"]["outputs"]["pred"]["num_channels"]
    assert list(wrong_metadata(lacking)) == ["network_data_format: pred has no num_channels"]
    del lacking["network_data_format"]
    assert list(wrong_metadata(lacking)) == ["network_data_format is missing"]


def test_missing_large_and_linked_files_are_named(bundle: Path):
    (bundle / "LICENSE").unlink()
    (bundle / "docs" / "README.md").unlink()
    (bundle / "models" / "large.pt").write_bytes(bytes(25_000_001))
    (bundle / "docs" / "link.md").symlink_to(bundle / "docs" / "data_license.txt")
    found = list(wrong_files(bundle))
    assert found[:2] == ["LICENSE is missing", "docs/README.md is missing"]
    assert sorted(found[2:]) == ["docs/link.md is a link", "models/large.pt has 25 MB, the model zoo takes 25"]


def test_weights_that_are_not_those_delivered_are_named(bundle: Path):
    assert list(wrong_sums(bundle)) == []
    (bundle / "models" / "model.pt").write_bytes(b"<html>please log in</html>")
    (bundle / "models" / "other").mkdir()
    (bundle / "models" / "other" / "model.pt").write_bytes(b"unlisted")
    (bundle / "models" / "healthy.nii.gz").write_bytes(b"unlisted statistics")
    said = "is not the file whose sha256 stands in models/SHA256SUMS"
    names = ("healthy.nii.gz", "model.pt", "other/model.pt")
    assert list(wrong_sums(bundle)) == [f"models/{name} {said}" for name in names]


@pytest.mark.parametrize("name", ["brain_anomaly_detection", "t1_volume_x"])
def test_names_with_a_meaning_elsewhere_are_refused(bundle: Path, name: str):
    found = list(wrong_files(bundle.rename(bundle.with_name(name))))
    assert found == [f"the name {name} holds '{'detection' if 'detection' in name else '_v'}'"]


def test_a_property_that_is_missing_or_not_referred_to_is_named(bundle: Path):
    file = bundle / "configs" / "inference.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    evaluator = {**config["evaluator"], "postprocessing": "@another"}
    changed = {key: value for key, value in config.items() if key != "inferer"} | {"evaluator": evaluator}
    file.write_text(json.dumps(changed))
    assert sorted(wrong_properties(bundle / "configs")) == [
        "inference.json: evaluator::postprocessing does not refer to postprocessing",
        "inference.json: inferer is missing",
    ]
