"""Workers of a DataLoader that are spawned, as on Windows and macOS, get the data set as a pickle."""

from __future__ import annotations

import pickle

import pytest

from tests.helpers.tiny_trainings import TRAININGS

DATASETS = ("train::dataset", "validate::dataset")
PARTS = {  # where it is not the data sets that are sent
    "tsgm": ("read", "train::preprocessing", "validate::preprocessing"),  # its data sets read files at once
    "tsgm cyclegan": ("read", "augment"),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_data_of_every_training_can_be_sent_to_a_spawned_worker(name):
    parser = TRAININGS[name].parsed
    for key in PARTS.get(name, DATASETS):
        if key in DATASETS:
            parser[f"{key}::data"] = []
        part = parser.get_parsed_content(key)
        assert type(pickle.loads(pickle.dumps(part))) is type(part)
