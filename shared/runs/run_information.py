"""What a report says of the run itself."""

from __future__ import annotations

import platform
import shlex
import sys

import monai
import numpy as np
import torch


def run_information() -> dict[str, str]:
    """Versions, machine type and command line of this process."""
    return {
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }
