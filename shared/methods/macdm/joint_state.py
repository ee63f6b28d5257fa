"""The joint state of MaC-DM (arXiv 2311.13688): a radiograph and its masks diffused together, as I_t of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class JointState:
    """Packs a radiograph and the masks of tibia and lesion, weighted by w1, w2, w3, into channels, and unpacks them.

    The state is what is noised; the condition what the network is given clean. A channel of weight w in the state has
    w^2 the signal-to-noise ratio, so that masks of small weight take shape after the radiograph.

    Args:
        state_weights: (w1, w2, w3) of radiograph, tibia and lesion, above 0.
        weight_mode: "data": the channels of the state are weighted; "input": the state is not, and the network is
            given concat(w1 x_t, w2 b_t, w3 c_t), as the formula of the paper has it.
        masks_given: False, as in the paper, noises all three; True noises the radiograph alone and gives the masks as
            a condition.

    Raises:
        ValueError: not three weights above 0, or an unknown ``weight_mode``.
    """

    state_weights: tuple[float, float, float]
    weight_mode: Literal["data", "input"] = "data"
    masks_given: bool = False

    def __post_init__(self) -> None:
        if len(self.state_weights) != 3 or not all(0 < weight < math.inf for weight in self.state_weights):
            raise ValueError(
                f"state_weights are {self.state_weights}; give three above 0: of radiograph, tibia and lesion."
            )
        if self.weight_mode not in ("data", "input"):
            raise ValueError(f"weight_mode is '{self.weight_mode}'; choose 'data' or 'input'.")

    @property
    def channels(self) -> int:
        """Number of channels of the state; the condition has the others of the three."""
        return 1 if self.masks_given else 3

    @property
    def limits(self) -> list[tuple[float, float]]:
        """Lowest and highest clean value of each channel of the state."""
        return [(-scale, scale) for scale in self._data_weights()[: self.channels]]

    @property
    def input_weights(self) -> list[float]:
        """Factor of each channel of the state in the network's input."""
        return [1.0 if self.weight_mode == "data" else weight for weight in self.state_weights[: self.channels]]

    def pack(self, radiograph: Tensor, tibia: Tensor, lesion: Tensor) -> tuple[Tensor, Tensor]:
        """Radiograph in [-1, 1] and masks of 0 and 1, each ``B 1 *S``, to state ``B channels *S`` and condition.

        The condition is ``B 3-channels *S``, hence empty when all is noised. A radiograph without lesion has an empty
        mask of it.
        """
        masks = [2 * mask.to(radiograph) - 1 for mask in (tibia, lesion)]
        joint = torch.cat([radiograph, *masks], dim=1)
        joint = joint * self._per_channel(self._data_weights(), joint)
        return joint[:, : self.channels], joint[:, self.channels :]

    def unpack(self, state: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The inverse of :meth:`pack`; a generated mask, whatever its weight, is 1 where its channel is above 0."""
        joint = torch.cat([state, condition], dim=1)
        radiograph, tibia, lesion = (joint / self._per_channel(self._data_weights(), joint)).split(1, dim=1)
        return radiograph, (tibia > 0).to(state), (lesion > 0).to(state)

    def network_input(self, state: Tensor, condition: Tensor) -> Tensor:
        """What network and classifier are given, ``B 3 *S``: a noisy state, variance-preserving, and the condition."""
        joint = torch.cat([state, condition], dim=1)
        return joint if self.weight_mode == "data" else joint * self._per_channel(self.state_weights, joint)

    def _data_weights(self) -> tuple[float, ...]:
        return self.state_weights if self.weight_mode == "data" else (1.0, 1.0, 1.0)

    @staticmethod
    def _per_channel(weights: tuple[float, ...], joint: Tensor) -> Tensor:
        return torch.tensor(weights, dtype=joint.dtype, device=joint.device).reshape(-1, *(1,) * (joint.dim() - 2))
