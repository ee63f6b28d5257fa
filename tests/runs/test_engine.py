"""What handlers read of a batch, from a real SupervisedEvaluator."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Lambdad

from shared.runs.engine import end_if_interrupted, finished_cases, log_failure


def test_each_case_with_what_was_read_and_what_was_made_of_it():
    given = [{"case_id": name, "image": torch.full((1, 2, 2, 2), value)} for name, value in (("a", 1.0), ("b", 2.0))]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(given), batch_size=2),
        network=torch.nn.Identity(),
        postprocessing=Lambdad("pred", lambda x: 10 * x),
    )
    seen: list[dict[str, Any]] = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.extend(finished_cases(engine)))
    evaluator.run()
    assert [case["case_id"] for case in seen] == ["a", "b"]
    for case, value in zip(seen, (1.0, 2.0), strict=True):
        assert (case["image"] == value).all() and (case["pred"] == 10 * value).all()
        assert case.get("label") is None


class Hungry(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(int(x.max()), 1024) if x.max() > 1 else x


def test_the_case_that_needed_too_much_memory_is_named_with_a_remedy(caplog):
    given = [{"case_id": name, "image": torch.full((1, 2), value)} for name, value in (("small", 1.0), ("large", 1e14))]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=DataLoader(Dataset(given), batch_size=1), network=Hungry()
    )
    evaluator.add_event_handler(Events.EXCEPTION_RAISED, log_failure)
    with caplog.at_level(logging.ERROR):
        evaluator.run()
    assert "stopped in or after case large: " in caplog.text and "small" not in caplog.text
    assert "memory ran out: fewer slices or samples at a time (--batch_size)" in caplog.text


def test_other_errors_pass(caplog: pytest.LogCaptureFixture):
    end_if_interrupted(ValueError("no"), "nothing")
    assert not caplog.records
