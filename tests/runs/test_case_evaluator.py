"""An error of one case, wherever it comes from, costs no other case its result, alone and in batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Lambdad

from shared.runs.case_evaluator import CaseEvaluator, CaseLoader, leaving_out
from shared.runs.engine import finished_cases
from shared.runs.errors import WeightsError
from shared.runs.remaining_cases import RemainingCases

NAMES = ("a", "b", "c", "d")


class FailsAt:
    """Passes on what it is given, but fails at one value."""

    def __init__(self, value: float, error: Exception | None = None) -> None:
        self.value, self.error = value, error or KeyError("no such thing")

    def __call__(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        if (x == self.value).any():
            raise self.error
        return x


class FailingInferer(SimpleInferer):
    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        return FailsAt(2)(inputs)


def run(where: str, batch_size: int = 1, workers: int = 0) -> tuple[RemainingCases, list[str], list[str]]:
    """Cases of which the third fails; the remaining ones, names that a handler saw, those it has finished."""
    given = [{"case_id": name, "image": torch.full((1, 2, 2), float(n))} for n, name in enumerate(NAMES)]
    cases = RemainingCases(given)
    before = FailsAt(2 if where == "preprocessing" else -1)
    after = FailsAt(2 if where == "postprocessing" else -1)
    seen: list[str] = []
    finished: list[str] = []

    def handle(engine: Engine) -> None:
        for case in finished_cases(engine):
            seen.append(case["case_id"])
            with leaving_out(engine, case):
                FailsAt(2 if where == "handler" else -1)(case["pred"])
                finished.append(case["case_id"])

    loader = CaseLoader(Dataset(given, Lambdad("image", before)), batch_size=batch_size, num_workers=workers)
    evaluator = CaseEvaluator(
        cases=cases,
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=torch.nn.Identity(),
        inferer=FailingInferer() if where == "inference" else None,
        postprocessing=Lambdad("pred", after),
    )
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, handle)
    evaluator.run()
    return cases, seen, finished


@pytest.mark.parametrize("where", ["preprocessing", "inference", "postprocessing", "handler"])
def test_the_others_are_finished_and_the_one_is_named(where: str):
    cases, seen, finished = run(where)
    assert finished == ["a", "b", "d"] and seen == ["a", "b", *["c"] * (where == "handler"), "d"]
    (failure,) = cases.failures
    assert failure["case_id"] == "c" and failure["error"] == "was stopped by KeyError: 'no such thing'"


@pytest.mark.parametrize(
    ("where", "lost"), [("preprocessing", "c"), ("handler", "c"), ("inference", "cd"), ("postprocessing", "cd")]
)
def test_of_a_batch_of_several(where: str, lost: str):
    cases, _, finished = run(where, batch_size=2)
    assert finished == [name for name in NAMES if name not in lost]
    assert [failure["case_id"] for failure in cases.failures] == list(lost)


@pytest.mark.slow
def test_an_error_in_a_worker():
    cases, _, finished = run("preprocessing", batch_size=2, workers=1)
    assert finished == ["a", "b", "d"] and [failure["case_id"] for failure in cases.failures] == ["c"]


def test_cases_that_do_not_fit_in_one_batch_are_left_out():
    given = [{"case_id": name, "image": torch.zeros(1, size, 2)} for name, size in (("a", 2), ("b", 3))]
    (batch,) = CaseLoader(Dataset(given), batch_size=2)
    assert [name for name, _ in batch["errors"]] == ["a", "b"] and "image" not in batch


def test_what_is_not_of_one_case_ends_the_run():
    given = [{"case_id": name, "image": torch.zeros(1, 2)} for name in NAMES]
    loader = CaseLoader(Dataset(given, Lambdad("image", FailsAt(0, WeightsError("model.pt: no weights")))))
    options = {"device": torch.device("cpu"), "val_data_loader": loader, "network": torch.nn.Identity()}
    with pytest.raises(RuntimeError, match="applying transform") as caught:
        CaseEvaluator(cases=RemainingCases(given), **options).run()
    assert isinstance(caught.value.__cause__, WeightsError)


def test_in_any_other_evaluator_errors_of_a_handler_end_the_run():
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([{"case_id": "a", "image": torch.zeros(1, 2)}])),
        network=torch.nn.Identity(),
    )

    def fail(engine: Engine) -> None:
        with leaving_out(engine, {"case_id": "a"}):
            raise KeyError("no such thing")

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, fail)
    with pytest.raises(KeyError):
        evaluator.run()
