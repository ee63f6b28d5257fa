"""How MaC-DM draws samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...diffusion.learned_variance import sample_learned_variance
from ...diffusion.samplers import SAMPLERS

ALL_SAMPLERS: dict[str, Callable[..., Tensor]] = {**SAMPLERS, "learned_variance": sample_learned_variance}


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn; the paper's way but for the number of steps.

    Attributes:
        steps: noise levels of the sampler, evenly spaced from the highest timestep down.
        sampler: name in :data:`ALL_SAMPLERS`; "learned_variance" is the paper's.
        guidance: g; 0 draws from all classes.
        level: Z, share of the schedule in (0, 1]: 1 starts from noise alone, less from the input, noised to timestep
            round(Z T) - 1.
        inversion: the noise is not random but that which deterministic DDIM, run backwards without guidance, finds in
            the input, at level 1 too. It doubles the evaluations.
        seed: of the noise, which is keyed by sample: others change nothing.

    Raises:
        ValueError: no such sampler, a guidance that is not finite, or a level outside (0, 1].
    """

    steps: int = 250
    sampler: str = "learned_variance"
    guidance: float = 1.0
    level: float = 1.0
    inversion: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in ALL_SAMPLERS:
            raise ValueError(f"the sampler is one of {', '.join(ALL_SAMPLERS)}, got '{self.sampler}'")
        if not math.isfinite(self.guidance):
            raise ValueError(f"guidance is {self.guidance}; choose a number, 0 leads nowhere")
        if not 0 < self.level <= 1:
            raise ValueError(f"level is {self.level}; choose a share of the noise schedule, above 0 and at most 1")
