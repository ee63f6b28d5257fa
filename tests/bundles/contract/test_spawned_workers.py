"""Workers of a DataLoader that are spawned, as on Windows and macOS, get the data set as a pickle."""

from __future__ import annotations

import pickle

import pytest

DATASETS = ("train::dataset", "validate::dataset")
PARTS = {
    ("itermask3d", "train"): DATASETS,
    ("mmccd", "train"): DATASETS,
    ("tsgm", "train"): ("read", "train::preprocessing", "validate::preprocessing"),  # its data sets read files at once
    ("tsgm", "train_cyclegan"): ("read", "augment"),
    ("macdm", "train"): DATASETS,
    ("macdm", "train_resnet34"): DATASETS,
}


@pytest.mark.parametrize(("name", "config"), PARTS)
def test_the_data_of_every_training_can_be_sent_to_a_spawned_worker(request, name, config):
    parser = request.getfixturevalue(name).parsed(config)
    for key in PARTS[name, config]:
        if key in DATASETS:
            parser[f"{key}::data"] = []
        part = parser.get_parsed_content(key)
        assert type(pickle.loads(pickle.dumps(part))) is type(part)
