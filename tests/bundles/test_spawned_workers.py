"""Workers of a DataLoader that are spawned, as on Windows and macOS, get the data set as a pickle."""

from __future__ import annotations

import pickle

import pytest

TRAININGS = [("itermask3d", "train"), ("mmccd", "train"), ("tsgm", "train"), ("tsgm", "train_cyclegan")]
TRAININGS += [("macdm", "train"), ("macdm", "train_resnet34")]


@pytest.mark.parametrize(("name", "config"), TRAININGS)
def test_the_data_of_every_training_can_be_sent_to_a_spawned_worker(request, name, config):
    parser = request.getfixturevalue(name).parsed(config)
    for part in ("train", "validate"):
        parser[f"{part}::dataset::data"] = []
        dataset = parser.get_parsed_content(f"{part}::dataset")
        assert type(pickle.loads(pickle.dumps(dataset))) is type(dataset)
