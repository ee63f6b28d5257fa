"""What an evaluator hands to its handlers."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine


def finished_cases(engine: Engine) -> list[dict[str, Any]]:
    """The cases of the batch that has just been finished: what was read, updated by what was made of it.

    A case that came without a label may hold ``label: None``, which SupervisedEvaluator adds.
    """
    return [{**batch, **output} for batch, output in zip(engine.state.batch, engine.state.output)]
