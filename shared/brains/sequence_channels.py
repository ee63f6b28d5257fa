"""From the files of a case to one image with a channel for each sequence."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from ..cases.sequence_cases import NAME_VOLUMES, check_channels, primary_of


class SequenceChannelsd(Transform):
    """Stack the sequences of a case in their fixed order; an absent one is a channel of NaN.

    Args:
        sequences: in their fixed order.
        sequence: that an ``image`` of one channel holds, where the case does not say it.
        channels: that an ``image`` of several channels (a 4D file) holds; empty: ``sequences``, all of them.
        used_sequences: those of the ``sequences`` that are taken, the others count as absent; None: all of them.

    Reads ``image`` (``1 X Y Z`` or ``C X Y Z``), the name of its sequence in ``sequence``, if there, and those of the
    ``sequences``, ``1 X Y Z``, that are there, which it removes. Adds ``image``, ``S X Y Z``, and ``native_image``,
    ``1 X Y Z``, the primary sequence (:func:`~..cases.sequence_cases.primary_of`), whose metadata both have; and to
    ``intensity_zero``, where :class:`~.intensity_zero.IntensityZerod` has left it, those of the used sequences.

    Raises:
        ValueError: an ``image`` of another number of channels, or of a sequence that is not one of ``sequences``;
            wrong ``channels``; ``used_sequences`` of one that is not of ``sequences``.
    """

    def __init__(
        self,
        sequences: Sequence[str],
        sequence: str = "flair",
        channels: Sequence[str] = (),
        used_sequences: Sequence[str] | None = None,
    ) -> None:
        self.used_sequences = [name for name in sequences if used_sequences is None or name in used_sequences]
        if unknown := set(used_sequences or ()) - set(sequences):
            raise ValueError(f"the weights do not know {', '.join(unknown)}, only {', '.join(sequences)}")
        if channels:
            check_channels(channels, self.used_sequences)
        self.sequences, self.sequence, self.channels = list(sequences), sequence, list(channels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d.pop("image")
        names = self._names(len(image), d.get("sequence", "image"))
        found = {name: image[n : n + 1] for n, name in enumerate(names)}
        found.update({name: d.pop(name) for name in self.sequences if name in d})
        native = found[primary_of(found, self.used_sequences)]
        absent = torch.full_like(native, torch.nan)
        used = {name: found[name] for name in self.used_sequences if name in found}
        stacked = torch.cat([torch.as_tensor(used.get(name, absent)) for name in self.sequences])
        if zeros := d.get("intensity_zero"):
            by_name = dict(zip(names, zeros["image"])) | {
                name: zero[0] for name, zero in zeros.items() if name != "image"
            }
            d["intensity_zero"] = {"image": np.stack([by_name[name] for name in self.sequences if name in used])}
        return {**d, "image": MetaTensor(stacked, meta=dict(native.meta)), "native_image": native}

    def _names(self, count: int, named: str) -> Sequence[str]:
        """Sequences of the channels of ``image``, which the case calls ``named``."""
        names = self.channels or self.sequences
        if count == 1 and (named != "image" or len(names) > 1):
            return [self.sequence if named == "image" else named]
        if count != len(names):
            raise ValueError(f"the image has {count} volumes, not {len(names)} ({', '.join(names)}). {NAME_VOLUMES}")
        return names
