"""What a CycleGAN makes of slices it was not trained on, beside what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...brains.units import from_signed_units, to_signed_units
from .cyclegan import DOMAINS, CycleGAN


class PairGrid:
    """Draw pairs of slices and their fakes: one row per pair and sequence.

    Columns are a slice without a lesion, its fake with one, the change; a slice with a lesion, its fake without, the
    change. No change is mid-grey.

    Args:
        network: its generators draw.
        pairs: items with ``healthy`` and ``tumor``, ``C X Y`` from 0 to about 1.
        count: of pairs, the first ones.
    """

    def __init__(self, network: CycleGAN, pairs: Sequence[Mapping[str, Any]], count: int) -> None:
        self.network, self.pairs, self.count = network, pairs, count

    @torch.no_grad()
    def __call__(self) -> list[list[torch.Tensor]]:
        device = next(self.network.parameters()).device
        reals = {d: torch.stack([self.pairs[n][d] for n in range(self.count)]).to(device) for d in DOMAINS}
        drawn = {d: self.network.generators[d](to_signed_units(reals[source])) for d, source in DOMAINS.items()}
        fakes = {d: from_signed_units(image) for d, image in drawn.items()}
        rows = []
        for n in range(self.count):
            for channel in range(reals["healthy"].shape[1]):
                row: list[torch.Tensor] = []
                for source, target in (("healthy", "tumor"), ("tumor", "healthy")):
                    real, fake = reals[source][n, channel], fakes[target][n, channel]
                    row += [real, fake, 0.5 + fake - real]
                rows.append(row)
        return rows
