"""Transplanted and simulated lesions: what moves, by how much, and that nothing else does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.ndimage import label, uniform_filter

from shared.methods.tsgm import pseudo_lesions
from shared.methods.tsgm.pseudo_lesions import blobs, simulated_lesions, transplant, uniform

SEQUENCES = ["t1", "t1ce", "flair"]
SIZE = (64, 72)
X, Y = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in SIZE), indexing="ij")
BRAIN = ((((X - 32) / 26) ** 2 + ((Y - 36) / 30) ** 2) < 1).float()[None]  # 1 X Y


def brains(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Slices ``count 3 X Y`` of random tissue about 0.5, and their mask."""
    tissue = 0.4 + 0.2 * torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(5))
    mask = BRAIN.expand(count, 1, *SIZE)
    return tissue * mask, mask


def everywhere(count: int, value: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Even slices that are all brain."""
    return torch.full((count, 3, *SIZE), value), torch.ones(count, 1, *SIZE)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_uniform_draws_fill_their_range():
    draws = uniform(-1.0, 3.0, 1000)
    assert draws.shape == (1000,) and -1 <= draws.min() < -0.98 and 2.98 < draws.max() < 3


class TestTransplant:
    CHANGE = torch.zeros(3, *SIZE)  # asymmetric, so that a mirrored one is told apart; another in each sequence
    CHANGE[0, 28:37, 30:39] = -0.12
    CHANGE[2, 28:37, 30:39] = 0.2
    CHANGE[2, 37:44, 30:34] = 0.1

    def transplanted(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, mask = everywhere(count)
        donors = torch.rand(count, 3, *SIZE)
        return images, transplant(images, mask, donors, donors - self.CHANGE)

    def test_adds_the_change_smoothed_moved_mirrored_and_scaled(self):
        images, result = self.transplanted(40)
        smooth = torch.from_numpy(uniform_filter(self.CHANGE.numpy(), (1, 3, 3), mode="constant"))
        smooth = smooth * (smooth.abs() > 0.02)
        found = []
        for change in result - images:
            scale = float(change[2].sum() / smooth[2].sum())
            for mirrored, one in enumerate((smooth, smooth.flip(1))):
                # where the change starts in both, in rows and in columns
                rows, columns = (
                    int((change[2] > 1e-3).any(dim=d).nonzero()[0] - (one[2] > 1e-3).any(dim=d).nonzero()[0])
                    for d in (1, 0)
                )
                if torch.allclose(change, scale * one.roll((rows, columns), (1, 2)), atol=1e-5):
                    found.append((mirrored, -rows if mirrored else rows, columns, scale))
        assert len(found) == 40
        mirrored, rows, columns, scales = zip(*found, strict=True)
        assert 8 < sum(mirrored) < 32
        assert rows != columns
        for shifts in (rows, columns):
            assert -10 <= min(shifts) < -7 and 7 < max(shifts) <= 10
        assert 0.5 <= min(scales) < 0.65 and 1.8 < max(scales) <= 2.0

    def test_the_same_again_with_the_same_seed_only(self):
        first = self.transplanted(4)[1]
        other = self.transplanted(4)[1]
        torch.manual_seed(0)
        assert torch.equal(self.transplanted(4)[1], first)
        assert not torch.equal(other, first)

    def test_no_change_leaves_the_image(self):
        images, mask = brains(4)
        donors = torch.rand(4, 3, *SIZE)
        assert torch.equal(transplant(images, mask, donors, donors), images)

    def test_small_changes_and_fingerprints_are_no_lesion(self):
        images, mask = everywhere(4)
        donors = torch.rand(4, 3, *SIZE)
        chequers = 0.15 * (-1) ** (X + Y)  # of 3 x 3 pixels all but one cancel: 0.0167
        for freed in (donors - 0.019, donors + 0.019, donors - chequers):
            assert torch.equal(transplant(images, mask, donors, freed), images)
        assert not torch.equal(transplant(images, mask, donors, donors - 0.021), images)

    def test_only_the_brain_changes_and_nothing_falls_below_zero(self):
        images, mask = brains(8)
        donors = torch.rand(8, 3, *SIZE)
        for change in (2.0, -2.0):
            result = transplant(images, mask, donors, donors - change)
            outside = mask.expand_as(result) == 0
            assert not result[outside].any() and (result >= 0).all()
            assert (result != images)[~outside].all()


class TestBlobs:
    @pytest.mark.parametrize("radius", [4.0, 7.0, 11.0])
    def test_area_is_that_of_a_circle_of_the_radius(self, radius: float):
        _, mask = everywhere(150)
        middle = torch.zeros_like(mask)
        middle[:, :, 32, 36] = 1
        area = blobs(mask, (radius, radius), within=middle).sum(dim=(1, 2, 3))
        assert float(area.mean()) == pytest.approx(math.pi * radius**2, rel=0.2)
        assert area.std() > 0.05 * area.mean(), "no two alike"

    def test_weights_are_shares_and_lie_in_the_brain(self):
        _, mask = brains(50)
        weights = blobs(mask, (3.0, 18.0))
        assert weights.shape == mask.shape and weights.min() >= 0 and 0.95 < weights.max() <= 1
        assert not weights[mask == 0].any()
        assert (weights[mask > 0] > 0.5).float().mean() < 0.5
        assert ((weights > 0.05) & (weights < 0.95)).any(dim=3).any(dim=2).all(), "soft edges"

    def test_centres_lie_anywhere_within(self):
        _, mask = everywhere(300)
        within = torch.zeros_like(mask)
        within[:, :, 20:41, 30:51] = 1
        weights = blobs(mask, (4.0, 4.0), within=within)[:, 0]
        centres = [(weights * axis).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)) for axis in (X, Y)]
        for centre, low in zip(centres, (20, 30), strict=True):
            assert low - 2 < centre.min() < low + 3 and low + 17 < centre.max() < low + 22
            assert float(centre.std()) == pytest.approx(20 / math.sqrt(12), rel=0.15)

    def test_radii_are_even_on_a_logarithmic_scale(self):
        _, mask = everywhere(400)
        middle = torch.zeros_like(mask)
        middle[:, :, 32, 36] = 1
        radius = (blobs(mask, (4.0, 16.0), within=middle).sum(dim=(1, 2, 3)) / math.pi).sqrt()
        assert float(radius.log().mean()) == pytest.approx(math.log(8), abs=0.08)
        assert radius.min() < 4.5 and radius.max() > 14

    def test_are_long_and_ragged(self):
        """Axes have a ratio of 0.6 to 1, 0.8 in the mean; ragged edges make it less, alone they leave 0.8."""
        _, mask = everywhere(200)
        middle = torch.zeros_like(mask)
        middle[:, :, 32, 36] = 1
        weights = blobs(mask, (8.0, 8.0), within=middle)[:, 0]
        weights = weights / weights.sum(dim=(1, 2), keepdim=True)
        offsets = torch.stack([axis - (weights * axis).sum(dim=(1, 2), keepdim=True) for axis in (X, Y)], dim=1)
        moments = torch.einsum("nxy,nixy,njxy->nij", weights, offsets, offsets)
        low, high = torch.linalg.eigvalsh(moments).sqrt().unbind(dim=1)
        assert 0.68 < float((low / high).mean()) < 0.76

    def test_a_place_without_a_centre_takes_the_middle(self):
        _, mask = everywhere(1)
        weights = blobs(mask, (4.0, 4.0), within=torch.zeros_like(mask))[0, 0]
        assert weights[32, 36] > 0.5 and weights[:10].max() < 0.01


class TestSimulated:
    def test_only_the_brain_changes_and_nothing_falls_below_zero(self):
        images, mask = brains(60)
        result = simulated_lesions(images, mask, SEQUENCES)
        assert not result[mask.expand_as(result) == 0].any() and (result >= 0).all()
        assert ((result - images).abs() > 0.02).flatten(2).any(dim=2).all(), "a lesion in each"

    def test_each_differs_and_comes_back_with_its_seed(self):
        images, mask = everywhere(3)
        first = simulated_lesions(images, mask, SEQUENCES)
        other = simulated_lesions(images, mask, SEQUENCES)
        torch.manual_seed(0)
        assert torch.equal(simulated_lesions(images, mask, SEQUENCES), first)
        assert not torch.equal(other, first)
        assert not torch.equal(first[0], first[1])

    def test_lesions_are_dark_on_t1_and_bright_on_flair_whatever_the_order(self):
        images, mask = everywhere(200)
        for order in (SEQUENCES, ["t2", "flair", "t1"]):
            change = simulated_lesions(images, mask, order) - images
            typical = dict(zip(order, change.mean(dim=(0, 2, 3)).tolist(), strict=True))
            assert typical["t1"] < 0 < typical["flair"]
            assert typical.get("t2", 1.0) > 0

    def test_a_lesion_lies_at_one_place_in_all_sequences(self):
        images, mask = everywhere(100)
        change = (simulated_lesions(images, mask, SEQUENCES) - images).abs()
        strong = change > 0.3 * change.amax(dim=(2, 3), keepdim=True)
        centres = [(strong * axis).sum(dim=(2, 3)) / strong.sum(dim=(2, 3)) for axis in (X, Y)]
        apart = torch.stack([centre - centre[:, :1] for centre in centres]).norm(dim=0)[:, 1:]
        spread = torch.stack([centre[:, 0].std() for centre in centres]).norm()
        assert apart.median() < 3 and spread > 15

    def test_tissue_below_a_lesion_is_partly_lost(self, monkeypatch):
        """Two brains a little apart are, below the same lesion, less so by its opacity."""
        monkeypatch.setattr(pseudo_lesions, "_coins", lambda probability, count: torch.zeros(count, 1, 1, 1))

        def lesion_in(value: float) -> torch.Tensor:
            torch.manual_seed(0)
            return simulated_lesions(*everywhere(200, value), ["flair"] * 3)

        kept = (lesion_in(1.0) - lesion_in(0.9)) / 0.1
        assert kept.min() > -1e-4 and kept.max() < 1 + 1e-4
        least = kept.flatten(2).amin(dim=2)
        assert least.min() < 0.05 and least.max() > 0.55
        assert float(least.mean()) == pytest.approx(1 - 0.7, abs=0.06)  # of the mean opacity; tiny ones are faint

    def test_a_rim_is_a_ring_at_the_edge_of_its_core(self, monkeypatch):
        """T1 with contrast alone, changed by the rim only, around a round core of 8 pixels."""
        for table in (pseudo_lesions.CHANGES, pseudo_lesions.CORES):
            monkeypatch.setitem(table, "t1ce", (0.0, 0.0))
        monkeypatch.setitem(pseudo_lesions.RIMS, "t1ce", (0.6, 0.6))
        monkeypatch.setattr(pseudo_lesions, "_coins", lambda probability, count: torch.ones(count, 1, 1, 1))
        distance = ((X - 32) ** 2 + (Y - 36) ** 2).sqrt()
        monkeypatch.setattr(pseudo_lesions, "blobs", lambda mask, *args, **kwargs: (distance < 8).float() * mask)
        images, mask = everywhere(20, 0.5)
        change = simulated_lesions(images, mask, ["t1ce"])[:, 0] - 0.5
        ring = (distance < 8) & (distance > 6)
        assert change[:, ring].min() > 0.05
        assert change[:, (distance >= 8) | (distance < 4.5)].abs().max() < 1e-6

    def test_some_have_a_second_lesion_elsewhere(self):
        images, mask = everywhere(300)
        change = (simulated_lesions(images, mask, ["flair"])[:, 0] - images[:, 0]).abs()
        several = [label(one > 0.1 * one.max())[1] > 1 for one in change.numpy()]
        assert 0.1 < sum(several) / 300 < 0.5

    def test_a_core_lies_in_its_lesion_and_nothing_is_darker_than_nothing(self, monkeypatch):
        monkeypatch.setitem(pseudo_lesions.CHANGES, "flair", (0.0, 0.0))
        monkeypatch.setitem(pseudo_lesions.CORES, "flair", (-9.0, -9.0))
        drawn = []

        def remembered(*arguments: Any, **options: Any) -> torch.Tensor:
            drawn.append(blobs(*arguments, **options))
            return drawn[-1]

        monkeypatch.setattr(pseudo_lesions, "blobs", remembered)
        images, mask = everywhere(50)
        result = simulated_lesions(images, mask, ["flair"] * 3)
        assert result.min() == 0
        outside = (drawn[0] < 1e-4).expand_as(result)
        torch.testing.assert_close(result[outside], images[outside], atol=1e-2, rtol=0)
