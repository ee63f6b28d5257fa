"""What an Inferer says of each item of its batch, beside the result, travels with the result to the item's case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor

_KEY = "facts"


def with_facts(results: torch.Tensor, facts: Sequence[Mapping[str, Any]]) -> MetaTensor:
    """Results ``B C *S`` that carry facts, one mapping of plain values by name for each item of the batch.

    They are kept as text, since MONAI takes nested metadata of a batch apart wrongly; and each item has an affine of
    its own, the unit matrix, or the rows of one would be dealt to the items.

    Raises:
        ValueError: there are not as many facts as results.
    """
    if len(results) != len(facts):
        raise ValueError(f"{len(results)} results with {len(facts)} facts: give one for each")
    affines = torch.eye(4, dtype=torch.float64).repeat(len(results), 1, 1)
    return MetaTensor(results, affine=affines, meta={_KEY: [json.dumps(fact) for fact in facts]})


def facts_of(result: torch.Tensor) -> dict[str, Any]:
    """Facts that came with the result of one case, ``C *S``, or a batch of one; none where it carries none.

    Raises:
        ValueError: the results of several cases, which MONAI's engines take apart first.
    """
    text = getattr(result, "meta", {}).get(_KEY, "{}")
    (one,) = [text] if isinstance(text, str) else text
    return json.loads(one)
