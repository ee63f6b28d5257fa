"""Whether there is the device that a run is asked to compute on."""

from __future__ import annotations

import torch


def check_device(device: torch.device | str | int) -> None:
    """Try a device out, as torch does not before the first tensor goes there.

    Args:
        device: as ``torch.device`` takes it; a number is that of a GPU.

    Raises:
        ValueError: torch does not know it, or this machine does not have it.
    """
    try:
        torch.empty(1, device=device).cpu()
    except Exception as error:  # torch raises many kinds, some of them with a long text
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(
            f"device '{device}' cannot be used ({reason}). Write --device cpu, or one that is there"
        ) from None
