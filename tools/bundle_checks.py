"""What a bundle must be for MONAI, the model zoo and MONAI Label: each check names what is wrong with a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.properties import InferProperties, TrainProperties
from monai.bundle.utils import ID_SEP_KEY
from monai.utils import BundleProperty, BundlePropertyConfig

from shared.runs.weights import sha256

REQUIRED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt")
CUSTOMARY = (
    *("configs/train.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"),
    "scripts/__init__.py",
)
LARGEST = 25_000_000  # bytes: what the model zoo takes as a file
# MONAI Label takes a bundle with one of these in its name for another kind of model; MONAI's catalogue cuts it at _v.
WORDS_WITH_A_MEANING = ("detection", "classification", "deepgrow", "deepedit", "_v")
TEXTS = (
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version"),
    *("task", "description", "authors", "copyright"),
)
TENSOR = {"type": str, "format": str, "num_channels": int, "spatial_shape": list, "dtype": str, "value_range": list}


def wrong_files(bundle: Path) -> Iterator[str]:
    """Names, missing and too large files, and links, which a zip does not hold."""
    for word in WORDS_WITH_A_MEANING:
        if word in bundle.name:
            yield f"the name {bundle.name} holds '{word}'"
    yield from (f"{name} is missing" for name in REQUIRED + CUSTOMARY if not (bundle / name).is_file())
    for file in bundle.rglob("*"):
        if file.is_symlink():
            yield f"{file.relative_to(bundle)} is a link"
        elif file.is_file() and file.stat().st_size > LARGEST:
            yield f"{file.relative_to(bundle)} has {file.stat().st_size / 1e6:.0f} MB, the model zoo takes 25"


def wrong_sums(bundle: Path) -> Iterator[str]:
    """Weights and statistics that ``models/SHA256SUMS`` lacks, or lists with another sum: made anew, or damaged."""
    file = bundle / "models" / "SHA256SUMS"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    listed = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    models = bundle / "models"
    for weights in sorted([*models.rglob("model.pt"), *models.rglob("*.nii.gz")]):
        name = weights.relative_to(models).as_posix()
        if listed.get(name) != sha256(weights):
            yield f"models/{name} is not the file whose sha256 stands in models/SHA256SUMS"


def wrong_metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    """The rules of MONAI's ``meta_schema_20240725``, and the version in the changelog."""
    for key in TEXTS:
        if not isinstance(metadata.get(key), str) or not metadata[key]:
            yield f"{key} is no text"
    if metadata.get("version") not in metadata.get("changelog", {}):
        yield f"version {metadata.get('version')} has no entry in the changelog"
    if not re.fullmatch(r"\d+\.\d+\.\d+", str(metadata.get("version"))):
        yield f"version {metadata.get('version')} is not of the form 1.2.3"
    for table in ("changelog", "required_packages_version", "eval_metrics", "supported_apps"):
        if not isinstance(metadata.get(table, {}), dict):
            yield f"{table} is no table"
    for name, version in metadata.get("required_packages_version", {"": ""}).items():
        if not re.fullmatch(r"\d[\w.]*", str(version)):
            yield f"required_packages_version: '{name}' has no exact version"
    if not all(isinstance(reference, str) for reference in metadata.get("references", [])):
        yield "references holds what is no text"
    if "network_data_format" not in metadata:
        yield "network_data_format is missing"
    for name, described in metadata.items():
        if name.endswith("_data_format"):
            yield from (f"{name}: {problem}" for problem in _wrong_data_format(described))


def _wrong_data_format(described: Mapping[str, Any]) -> Iterator[str]:
    for side, first in (("inputs", "image"), ("outputs", "pred")):
        tensors = described.get(side, {})
        if next(iter(tensors), None) != first:
            yield f"the first of {side} is not '{first}'"
        for tensor_name, tensor in tensors.items():
            for key, kind in TENSOR.items():
                if not isinstance(tensor.get(key), kind):
                    yield f"{tensor_name} has no {key}"
            if not all(isinstance(size, (int, str)) for size in tensor.get("spatial_shape", [])):
                yield f"spatial_shape of {tensor_name} holds what is neither a number nor a text"


def wrong_properties(configs: Path) -> Iterator[str]:
    """What MONAI's workflows look for in inference.json and train.json, by name and by reference."""
    for name, properties in (("inference", InferProperties), ("train", TrainProperties)):
        if not (configs / f"{name}.json").is_file():
            continue
        parser = ConfigParser(ConfigParser.load_config_file(str(configs / f"{name}.json")))
        for described in properties.values():
            key = str(described[BundlePropertyConfig.ID])
            refers = described.get(BundlePropertyConfig.REF_ID)
            if described[BundleProperty.REQUIRED]:
                if parser.get(key) is None and not _within_a_reference(parser, key):
                    yield f"{name}.json: {key} is missing"
            elif isinstance(refers, str) and ID_SEP_KEY in refers and None not in (parser.get(key), parser.get(refers)):
                if f"@{key.replace(ID_SEP_KEY, '#')}" not in str(parser.get(refers)):
                    yield f"{name}.json: {refers} does not refer to {key}"


def _within_a_reference(parser: ConfigParser, key: str) -> bool:
    """Whether part of the way to a key is a reference or an expression, which only a run resolves."""
    parts = key.split(ID_SEP_KEY)
    above = (parser.get(ID_SEP_KEY.join(parts[:n])) for n in range(1, len(parts)))
    return any(isinstance(value, str) and value.startswith(("@", "$")) for value in above)


def wrong_bundle(bundle: Path) -> dict[str, list[str]]:
    """All checks that need no network to be built, by name; a list of problems for each, empty where all is well."""
    file = bundle / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {
        "files": list(wrong_files(bundle)),
        "sums of the weights": list(wrong_sums(bundle)),
        "metadata": list(wrong_metadata(metadata)),
        "properties of the workflows": list(wrong_properties(bundle / "configs")),
    }
