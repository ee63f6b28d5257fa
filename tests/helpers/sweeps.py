"""Property-based tests: how many inputs are drawn, and always the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

EXAMPLES = pytest.mark.parametrize("examples", [25, pytest.param(500, marks=pytest.mark.slow)])
"""Marks a test with the argument ``examples``: few by default, many in ``python -m tools.run_tests --all``."""


def for_all(examples: int, holds: Callable[..., None], **drawn: SearchStrategy[Any]) -> None:
    """Call ``holds`` with as many inputs; of those that fail it shows the simplest that it finds.

    They are drawn from the name of ``holds`` and its code, not from chance or from what failed before, so that a test
    gives the same answer everywhere.
    """
    every = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    every(given(**drawn)(holds))()
