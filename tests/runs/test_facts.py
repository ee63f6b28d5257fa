"""Facts of an Inferer reach the case they are about, through a real SupervisedEvaluator and as MONAI Label slices."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer
from monai.transforms import Lambdad, SaveImage

from shared.runs.engine import finished_cases
from shared.runs.facts import facts_of, with_facts
from tests.helpers.facts import facts_of_batch

VALUES = (1.0, 2.0, 3.0)


def facts_about(value: float) -> dict[str, Any]:
    """Of every type there is, with lists of another length for each case."""
    return {
        "value": value,
        "count": int(value),
        "rule": f"größer than {value:g}",
        "shares": [1.0, 0.5, 0.25][: int(value)],
        "probability": None,
        "found": value > 1,
    }


class Tells(Inferer):
    """Returns ten times the image and says what it is."""

    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        return with_facts(10 * inputs, [facts_about(float(image.max())) for image in inputs])


def evaluated(batch_size: int, postprocessing: Any = None) -> list[dict[str, Any]]:
    given = [{"case_id": str(v), "image": MetaTensor(torch.full((1, 2, 2, 2), v), meta={"name": v})} for v in VALUES]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(given), batch_size=batch_size),
        network=torch.nn.Identity(),
        inferer=Tells(),
        postprocessing=postprocessing,
    )
    seen: list[dict[str, Any]] = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.extend(finished_cases(engine)))
    evaluator.run()
    return seen


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_every_case_has_its_own_facts_and_result(batch_size: int):
    cases = evaluated(batch_size)
    assert [case["case_id"] for case in cases] == [str(value) for value in VALUES]
    for case, value in zip(cases, VALUES, strict=True):
        assert case["pred"].shape == (1, 2, 2, 2) and (case["pred"] == 10 * value).all()
        assert facts_of(case["pred"]) == facts_about(value)
        assert facts_of(case["image"]) == {}, "they do not reach what was read"


@pytest.mark.parametrize("batch_size", [1, 2])
def test_postprocessing_sees_them(batch_size: int):
    seen: list[dict[str, Any]] = []
    evaluated(batch_size, Lambdad("pred", lambda pred: seen.append(facts_of(pred)) or pred))
    assert seen == [facts_about(value) for value in VALUES]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_survive(number: float):
    found = facts_of(with_facts(torch.zeros(1, 2), [{"threshold": number, "shares": [number, 0.1]}])[0])
    assert [repr(x) for x in (found["threshold"], *found["shares"])] == [repr(number)] * 2 + ["0.1"]


def test_numbers_come_back_to_the_last_digit():
    number = 0.1 + 0.2
    assert facts_of(with_facts(torch.zeros(1, 2), [{"x": number}])[0])["x"] == number


def test_a_batch_of_one_gives_them_sliced_or_whole_as_monai_label_does():
    result = with_facts(torch.arange(8.0).reshape(1, 2, 2, 2), [facts_about(2.0)])
    assert facts_of(result) == facts_of(result[0]) == facts_of(result[0].cpu().float()) == facts_about(2.0)
    assert torch.equal(result[0].as_tensor(), torch.arange(8.0).reshape(2, 2, 2))


def test_results_stay_as_they_are():
    plain = torch.rand(2, 1, 3, 3)
    result = with_facts(plain, [{"n": 1}, {"n": 2}])
    assert torch.equal(result, plain) and result.dtype == plain.dtype
    assert facts_of_batch(result) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("plain", [torch.zeros(1, 2, 2), MetaTensor(torch.zeros(1, 2, 2), meta={"name": "a"})])
def test_a_result_without_facts_has_none(plain: torch.Tensor):
    assert facts_of(plain) == {}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_one_for_each_result(count: int):
    with pytest.raises(ValueError, match=f"2 results with {count} facts: give one for each"):
        with_facts(torch.zeros(2, 1, 2), [{}] * count)


@pytest.mark.parametrize("count", [1, 6])
def test_each_item_of_a_batch_that_was_taken_apart_can_be_saved(count, tmp_path):
    """The rows of one affine would be dealt to the items, and none be left from the fifth on."""
    batch = with_facts(torch.ones(count, 1, 2, 3, 4), [{"number": n} for n in range(count)])
    items = [item["pred"] for item in decollate_batch({"pred": batch})]
    assert [facts_of(item)["number"] for item in items] == list(range(count))
    for item in items:
        assert torch.equal(item.affine, torch.eye(4, dtype=torch.float64))
        SaveImage(tmp_path, print_log=False)(item)


def test_the_facts_of_several_are_not_those_of_one():
    with pytest.raises(ValueError):
        facts_of(with_facts(torch.ones(2, 1), [{}, {}]))
