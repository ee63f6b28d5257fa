"""What tests of several modules of this room begin with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Path of a file of weights."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return str(path)
