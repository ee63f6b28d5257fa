"""metadata.json of every bundle."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT

BUNDLES = sorted((ROOT / "bundles").iterdir())


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_metadata_follows_the_schema(bundle):
    """The rules of MONAI's meta_schema_20240725; the schema itself is not ours to carry."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    texts = ("schema", "version", "monai_version", "pytorch_version", "numpy_version")
    texts += ("task", "description", "authors", "copyright")
    assert all(isinstance(metadata[key], str) and metadata[key] for key in texts)
    assert metadata["version"] in metadata["changelog"]
    packages = metadata["required_packages_version"]
    assert packages and all(isinstance(version, str) for version in packages.values())
    assert all(isinstance(reference, str) for reference in metadata["references"])
    inputs, outputs = (metadata["network_data_format"][name] for name in ("inputs", "outputs"))
    assert list(inputs)[0] == "image" and list(outputs)[0] == "pred"
    for tensor in (*inputs.values(), *outputs.values()):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= set(tensor)
        assert isinstance(tensor["num_channels"], int)
    assert len(inputs["image"]["spatial_shape"]) == len(outputs["pred"]["spatial_shape"]) in (2, 3)
    if "anomaly" in bundle.name:
        assert outputs["pred"]["channel_def"] == {"0": "background", "1": "anomaly"}  # read by MONAI Label
