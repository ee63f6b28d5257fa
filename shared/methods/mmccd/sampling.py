"""How MMCCD draws the other sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...diffusion.samplers import SAMPLERS


@dataclass(frozen=True)
class StripeSampling:
    """How the other sequence is drawn under a stripe; as in the paper, which takes DDIM.

    Attributes:
        timesteps: of the diffusion, descending.
        sampler: name in :data:`~...diffusion.samplers.SAMPLERS`; "euler" is DDIM.
        seed: of the noise, which is one fixed field for each slice and stripe.

    Raises:
        ValueError: no such sampler.
    """

    timesteps: Sequence[int] = tuple(range(990, -1, -10))
    sampler: str = "euler"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"the sampler is one of {', '.join(SAMPLERS)}, got '{self.sampler}'")
