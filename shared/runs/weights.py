"""Weights and training states as files: written atomically, read with ``weights_only``, known by their sha256."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch

from .errors import WeightsError
from .files import replacing

NO_WEIGHTS = "Train with configs/train.json, or copy a released model.pt there."


def sha256(path: str | Path) -> str:
    """Hexadecimal sha256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save_atomically(content: Any, path: str | Path) -> None:
    """``torch.save`` to a temporary file beside ``path``, then move it there: a reader sees the old or the new file."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_weights(network: torch.nn.Module, path: str | Path) -> torch.nn.Module:
    """Fill a network from a file that holds its state dict, of any float precision, and return it in eval mode.

    Raises:
        WeightsError: the file is missing, no file of weights, or of another architecture.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: weights missing. {NO_WEIGHTS}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        wanted, found = network.state_dict(), {k: torch.as_tensor(v) for k, v in state.items()}
    except Exception as error:  # torch raises many kinds for broken, foreign and unsafe files
        raise WeightsError(f"{path}: not a file of weights ({type(error).__name__}). Download it again.") from error
    shape = {k: tuple(v.shape) for k, v in wanted.items()}
    wrong = sorted(k for k in {*shape, *found} if k not in shape or k not in found or shape[k] != tuple(found[k].shape))
    if wrong:
        raise WeightsError(
            f"{path}: weights of another network; {len(wrong)} entries differ, such as {', '.join(wrong[:5])}. "
            "Use the network_def they were trained with."
        )
    network.load_state_dict(found)
    return network.eval()


def save_half(network: torch.nn.Module, path: str | Path) -> None:
    """Write a network's state dict in half precision, atomically."""
    state = network.state_dict()
    save_atomically({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
