"""What a report says of the run: its command as it can be typed again, and versions."""

from __future__ import annotations

import shlex
import sys

import numpy as np

from shared.runs.run_information import run_information


def test_run_information(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run", "--image", "a b.nii"])
    facts = run_information()
    assert shlex.split(facts["command"]) == sys.argv
    assert facts["numpy"] == np.__version__ and {"python", "torch", "monai", "platform"} <= set(facts)
