"""Stripes and gaps: where they are, what is in them, and that all else is untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.simulation.image_artefacts import MissingChunk, Zipper

SHAPE = (20, 64, 48)


def brain() -> torch.Tensor:
    """Values of 1 to 3 in a box from slice 8 to slice 39, 0 around it."""
    volume = torch.zeros(1, *SHAPE)
    values = np.random.default_rng(0).uniform(1, 3, (12, 50, 32))
    volume[0, 4:16, 7:57, 8:40] = torch.from_numpy(values.astype(np.float32))
    return volume


class TestZipper:
    def test_noise_fills_the_stripes_in_the_range_of_each_slice(self):
        image = brain()
        found = Zipper((0.25, 0.5), 5 / 64, seed=1)(image)
        stripes = [*range(16, 21), *range(32, 37)]
        others = [y for y in range(64) if y not in stripes]
        assert torch.equal(found[:, :, others], image[:, :, others])
        noise = found[0, :, stripes, 8:40]
        low, high = image[0].amin(dim=(0, 1))[8:40], image[0].amax(dim=(0, 1))[8:40]
        assert (noise >= low).all() and (noise <= high).all()
        share = (noise - low) / (high - low)
        assert share.mean() == pytest.approx(0.5, abs=0.02)
        assert share.std() == pytest.approx(np.sqrt(1 / 12), rel=0.05)
        assert not found[..., :8].any() and not found[..., 40:].any()  # slices without a range

    def test_a_stripe_has_at_least_one_voxel_and_the_same_noise_beside_others(self):
        one = Zipper((0.5,), 0.001, seed=1)(brain())
        assert (one != brain()).any(dim=3).any(dim=1)[0].nonzero()[:, 0].tolist() == [32]
        assert torch.equal(Zipper((0.2, 0.5), 0.001, seed=1)(brain())[:, :, 32], one[:, :, 32])
        assert not torch.equal(Zipper((0.5,), 0.001, seed=2)(brain())[:, :, 32], one[:, :, 32])


class TestMissingChunk:
    @pytest.mark.parametrize(
        ("top", "thickness", "gap"),
        [
            (True, 10 / 48, range(30, 40)),
            (True, 0.001, range(39, 40)),
            (True, 1.0, range(0, 48)),
            (False, 10 / 48, range(19, 29)),  # centred at 95/192 of 48, 23.75
        ],
    )
    def test_slices_of_the_gap_are_empty_and_others_untouched(self, top: bool, thickness: float, gap: range):
        image = brain()
        found = MissingChunk(thickness, top)(image)
        others = [z for z in range(48) if z not in gap]
        assert not found[..., list(gap)].any()
        assert torch.equal(found[..., others], image[..., others])
        assert torch.equal(image, brain())  # the input is not written to
