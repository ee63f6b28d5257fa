"""devices: what cannot be computed on is told before anything is read."""

from __future__ import annotations

import pytest
import torch

from shared.runs.devices import check_device


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_one_that_is_there_passes(device: str | torch.device):
    check_device(device)


@pytest.mark.parametrize("device", ["cuda:77", 77, "gpu", "", "cuda:seven"])
def test_others_are_named_in_one_line_with_a_remedy(device: str | int):
    with pytest.raises(ValueError) as refused:
        check_device(device)
    said = str(refused.value)
    assert said.startswith(f"device '{device}' cannot be used") and "\n" not in said and "--device cpu" in said
