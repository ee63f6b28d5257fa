"""Stripes against counts worked out by hand."""

from __future__ import annotations

import pytest
import torch

from shared.methods.mmccd.stripes import StripeGrid, hide_stripe, random_stripes, stripes


class TestStripes:
    def test_paper_grid(self):
        grid = StripeGrid()
        masks = stripes((128, 128), grid.width, grid.stride)
        assert (grid.width, grid.stride) == (16, 2)
        assert masks.shape == (128, 128, 128) and masks.dtype == torch.bool
        covered = masks.sum(dim=0)
        assert (covered[15:, 15:] == 16).all(), "eight times in each direction"
        # The first start is 0, so that of the four corners only the first is under a single stripe each way.
        assert covered[0, 0] == 2
        assert covered[0, 127] == covered[127, 0] == 1 + 8

    @pytest.mark.parametrize("width", [1, 4, 5])
    def test_stride_of_the_width_covers_every_pixel_once_in_each_direction(self, width: int):
        masks = stripes((12, 8), width, stride=width)
        first = -(-12 // width)
        assert (masks[:first].sum(dim=0) == 1).all() and (masks[first:].sum(dim=0) == 1).all()

    def test_first_axis_comes_first(self):
        masks = stripes((4, 6), width=3, stride=2)
        expected = torch.zeros(5, 4, 6, dtype=torch.bool)
        expected[0, 0:3] = expected[1, 2:4] = True
        expected[2, :, 0:3] = expected[3, :, 2:5] = expected[4, :, 4:6] = True
        assert torch.equal(masks, expected)

    @pytest.mark.parametrize(("width", "stride"), [(4, 5), (4, 0), (0, 0), (0, 1), (4, -1)])
    def test_gaps_and_nothing_are_refused(self, width: int, stride: int):
        with pytest.raises(ValueError, match="stride"):
            stripes((8, 8), width, stride)


class TestRandomStripes:
    @pytest.fixture
    def brain(self) -> torch.Tensor:
        """A rectangle of 7 x 3 pixels, small and off the centre, in many slices."""
        mask = torch.zeros(200, 1, 20, 24)
        mask[:, :, 2:9, 18:21] = 1
        return mask

    def test_every_stripe_meets_the_brain_and_both_axes_occur(self, brain: torch.Tensor):
        torch.manual_seed(0)
        masks = random_stripes(brain, width=4)
        assert masks.shape == brain.shape and masks.dtype == torch.bool
        assert (masks & (brain > 0)).flatten(1).any(dim=1).all()
        across_first = masks[:, 0].all(dim=2).any(dim=1)
        across_second = masks[:, 0].all(dim=1).any(dim=1)
        assert (across_first ^ across_second).all()
        assert 60 < across_first.sum() < 140

    def test_width_and_centres(self, brain: torch.Tensor):
        torch.manual_seed(0)
        centres: dict[bool, set[int]] = {True: set(), False: set()}
        for mask in random_stripes(brain, width=4)[:, 0]:
            across_first = bool(mask.all(dim=1).any())
            hidden = mask.any(dim=1 if across_first else 0).nonzero()[:, 0].tolist()
            assert hidden == list(range(hidden[0], hidden[0] + 4))
            centres[across_first].add(hidden[2])
        assert centres[True] == set(range(2, 9)), "every row of the brain is a centre"
        assert centres[False] == {18, 19, 20}

    def test_stripes_are_cut_at_the_border(self):
        torch.manual_seed(0)
        masks = random_stripes(torch.ones(100, 1, 6, 6), width=4)[:, 0]
        assert {int(mask.sum()) for mask in masks} == {6 * 2, 6 * 3, 6 * 4}

    def test_seeded_by_torch(self, brain: torch.Tensor):
        drawn = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            drawn.append(random_stripes(brain, width=4))
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])

    def test_slice_without_brain_still_gets_a_stripe(self):
        assert random_stripes(torch.zeros(5, 1, 12, 12), width=4).flatten(1).any(dim=1).all()


def test_only_the_brain_under_the_stripe_is_replaced_by_noise():
    """Of 3 rows of 4 pixels the first two are brain, but for a pixel, and the last two under the stripe."""
    brain, stripe = torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4, dtype=torch.bool)
    brain[:, :, :2, 1:], stripe[:, :, 1:] = 1, True
    image, noise = torch.arange(12.0).reshape(1, 1, 3, 4), torch.full((1, 1, 3, 4), -9.0)
    expected = [[0, 1, 2, 3], [4, -9, -9, -9], [8, 9, 10, 11]]
    assert hide_stripe(image, stripe, brain, noise)[0, 0].tolist() == expected


@pytest.mark.parametrize(("width", "stride"), [(16, 0), (16, 17), (0, 0)])
def test_a_grid_with_gaps_is_refused_when_it_is_asked_for(width, stride):
    with pytest.raises(ValueError, match="stride must lie between 1"):
        StripeGrid(width, stride)
