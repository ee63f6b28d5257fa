"""An evaluator, and what loads for it, in which an error stops one case and not the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ignite.engine import Engine
from monai.data import DataLoader, list_data_collate
from monai.engines import SupervisedEvaluator
from torch.utils.data import Dataset

from .remaining_cases import RemainingCases

_ERRORS = "errors"  # of a batch: case id and error of each case whose preprocessing failed


class CaseLoader(DataLoader):
    """MONAI's loader for :class:`CaseEvaluator`: a case whose preprocessing fails comes as its error.

    Args:
        dataset: of cases, each with a ``case_id``; its ``data`` are the cases before preprocessing.
        options: of MONAI's loader.
    """

    def __init__(self, dataset: Dataset, **options: Any) -> None:
        super().__init__(_Guarded(dataset), collate_fn=_collated, **options)


class CaseEvaluator(SupervisedEvaluator):
    """MONAI's evaluator that leaves out a case whose preprocessing, inference or postprocessing fails.

    Of a larger batch all cases are left out where inference or postprocessing fails. Handlers then find no batch and no
    output; what they do for a case belongs within :func:`leaving_out`.

    Args:
        cases: of the run, such as its door; those that fail are left out there.
        options: of MONAI's evaluator; its loader must be a :class:`CaseLoader`.
    """

    def __init__(self, cases: RemainingCases, **options: Any) -> None:
        self.cases = cases
        super().__init__(**options)

    def _iteration(self, engine: CaseEvaluator, batchdata: dict[str, Any]) -> dict[str, Any]:
        for case_id, error in batchdata.pop(_ERRORS, ()):
            self.cases.leave_out(case_id, error)
        names = [str(name) for name in batchdata.get("case_id", ())]
        try:
            if names:
                return super()._iteration(engine, batchdata)
        except Exception as error:
            for name in names:
                self.cases.leave_out(name, error)
        engine.state.batch, engine.state.output = [], []
        return engine.state.output


@contextmanager
def leaving_out(engine: Engine, case: Mapping[str, Any]) -> Iterator[None]:
    """What a handler does for one case: where it fails, a :class:`CaseEvaluator` leaves the case out and goes on."""
    try:
        yield
    except Exception as error:
        if not isinstance(engine, CaseEvaluator):
            raise
        engine.cases.leave_out(str(case["case_id"]), error)


class _Guarded(Dataset):
    """Cases as a data set gives them, or the case id and the error where it fails."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            return str(self.dataset.data[index]["case_id"]), error


def _collated(items: Sequence[Any]) -> dict[str, Any]:
    errors = [item for item in items if isinstance(item, tuple)]
    cases = [item for item in items if not isinstance(item, tuple)]
    try:
        return {**(list_data_collate(cases) if cases else {}), _ERRORS: errors}
    except Exception as error:
        return {_ERRORS: [*errors, *((str(case["case_id"]), error) for case in cases)]}
