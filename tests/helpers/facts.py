"""What an Inferer said of each item of a batch, read without taking the batch apart."""

from __future__ import annotations

import json
from typing import Any

from monai.data import MetaTensor


def facts_of_batch(result: MetaTensor) -> list[dict[str, Any]]:
    """Facts of ``B C *S``, one mapping for each item."""
    return [json.loads(text) for text in result.meta["facts"]]
