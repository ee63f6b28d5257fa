"""Every training that has a config for several GPUs, in two processes on the CPU, started in another folder."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.helpers.run_outputs import differences, load
from tests.helpers.tiny_trainings import TRAININGS
from tests.helpers.whole_trainings import WholeTrainings

TOGETHER = 2  # epochs


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, training in TRAININGS.items() if training.together])
def test_two_processes_train_together_from_another_folder(whole: WholeTrainings, name, tmp_path):
    """Each writes its parameters at the end (batch statistics are its own); all else comes from the first alone.

    With batches of half the size both take as many steps as one process would.
    """
    training, out, elsewhere = TRAININGS[name], tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = tmp_path / "report.json"
    written = f"$torch.save(dict(@network.named_parameters()), '{tmp_path}/%d.pt' % @rank)"
    report.write_text(json.dumps({"+finalize": [written]}))
    options = whole(name).options(out, max_epochs=TOGETHER)
    batch = "cases_per_batch" if "cases_per_batch" in options else "batch_size"
    options[batch] //= 2
    training.checkout.train_in_two_processes(options, elsewhere, f"{training.configs} {training.together} {report}")

    states, last = [load(tmp_path / f"{rank}.pt") for rank in (0, 1)], load(out / "checkpoint.pt")
    assert states[0] and not differences(*states)
    assert not differences(states[0], {key: last["network"][key] for key in states[0]})
    assert last["trainer"]["iteration"] == TOGETHER * training.steps
    network = whole(name).out / "model.pt"
    assert load(out / "model.pt").keys() == load(network).keys()
    names = Counter(file.name.split(".tfevents.")[0] for file in out.iterdir())
    extra = {file.name: 1 for file in whole(name).out.iterdir() if file.name.startswith("samples")}
    events = 2 if training.metric else 1  # of training and validation
    assert names == {"checkpoint.pt": 1, "model.pt": 1, "events.out": events, **extra}
    assert {len(list(folder.iterdir())) for folder in out.iterdir() if folder.is_dir()} <= {TOGETHER}, "a log an epoch"
