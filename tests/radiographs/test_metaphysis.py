"""The crop at the metaphysis: where it lies on a bone drawn by hand, what its pixels are, and that it is drawn once."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from shared.radiographs.metaphysis import ABOVE, SIDE, MetaphysisCropd, metaphysis_square
from shared.radiographs.random_affines import RandomAffines
from shared.simulation.phantom_tibia import make_radiograph

MASKS = ("tibia_mask", "lesion_mask")


def bone(scale: int = 1) -> torch.Tensor:
    """A shaft 20 wide down to row 60, a metaphysis 40 wide and 20 high about column 50; ``120 100`` bool, scaled."""
    mask = torch.zeros(120, 100, dtype=torch.bool)
    mask[:60, 40:60], mask[60:80, 30:70] = True, True
    return mask.repeat_interleave(scale, 0).repeat_interleave(scale, 1)


def case(radiograph: torch.Tensor, tibia: torch.Tensor, lesion: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    masks = tibia.float()[None], (torch.zeros_like(tibia) if lesion is None else lesion).float()[None]
    return {"image": MetaTensor(radiograph[None]), **dict(zip(MASKS, masks, strict=True))}


@pytest.mark.parametrize("scale", [1, 3])
def test_the_square_is_around_the_end_and_as_large_as_the_metaphysis_says(scale: int) -> None:
    row, column, side = metaphysis_square(bone(scale))
    assert side == pytest.approx(SIDE * 40 * scale) and column == 50 * scale
    assert row - side / 2 == pytest.approx((80 - ABOVE * 40) * scale)


def test_specks_are_no_tibia_and_an_empty_mask_is_an_error() -> None:
    specks = bone()
    specks[115, 5] = True
    assert metaphysis_square(specks) == metaphysis_square(bone())
    with pytest.raises(ValueError, match="the mask of the tibia is empty"):
        metaphysis_square(torch.zeros(8, 8, dtype=torch.bool))


@pytest.mark.parametrize("size", [28, 56, 80])
def test_a_ramp_is_sampled_at_the_middle_of_each_pixel(size: int) -> None:
    ramp = torch.arange(120.0)[:, None] + 1000 * torch.arange(100.0)
    d = MetaphysisCropd("image", size)(case(ramp, bone()))
    row, column, side = metaphysis_square(bone())
    at = (torch.arange(size) + 0.5) / size * side - side / 2 - 0.5
    expected = (row + at)[:, None] + 1000 * (column + at)
    torch.testing.assert_close(d["image"][0], expected, atol=0.5, rtol=1e-5)


def test_pixels_are_means_so_that_noise_falls_with_the_area() -> None:
    torch.manual_seed(0)
    noise = torch.randn(1200, 1000)
    d = MetaphysisCropd("image", 56)(case(noise, bone(10)))
    assert float(d["image"].std()) == pytest.approx(0.1, rel=0.1)


def test_masks_stay_masks_and_keep_their_area() -> None:
    lesion = torch.zeros(120, 100, dtype=torch.bool)
    lesion[70:78, 32:48] = True
    d = MetaphysisCropd("image", 112)(case(torch.zeros(120, 100), bone(), lesion))
    assert set(d["tibia_mask"].unique().tolist()) == {0.0, 1.0}
    assert float(d["lesion_mask"].sum()) == pytest.approx(4 * 8 * 16, abs=4 * 2 * 24)
    assert float(d["tibia_mask"].sum()) == pytest.approx(4 * (20 * 40 + 20 * 20), rel=0.03)


def test_a_crop_stays_as_it_is_unless_it_is_changed_at_random() -> None:
    crop = torch.rand(56, 56)
    given = case(crop, bone()[30:86, 22:78])
    torch.testing.assert_close(MetaphysisCropd("image", 56)(given)["image"][0], crop, atol=1e-5, rtol=0)
    mirrored = RandomAffines(flip=1.0, moved=0.0)
    found = MetaphysisCropd("image", 56, augment=mirrored)(given)
    torch.testing.assert_close(found["image"][0], crop.flip(-1), atol=1e-5, rtol=0)


def test_random_changes_come_from_the_state_and_move_all_maps_alike() -> None:
    change = MetaphysisCropd("image", 56, augment=RandomAffines())
    given = case(bone().float(), bone())
    drawn = [change.set_random_state(seed)(given) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0]["image"], drawn[1]["image"]) and not torch.equal(drawn[0]["image"], drawn[2]["image"])
    assert torch.equal((drawn[0]["image"] > 0.5).float(), drawn[0]["tibia_mask"])


@pytest.mark.parametrize("seed", [0, 7])
def test_it_holds_the_lesion_of_a_simulated_ankle(seed: int) -> None:
    made = make_radiograph(seed, "bucket_handle", 192)
    maps = [torch.from_numpy(part.T.copy()) for part in (made.image, made.tibia_mask > 0, made.lesion_mask > 0)]
    d = MetaphysisCropd("image", 80)(case(*maps))
    whole, cut = maps[2].sum(), d["lesion_mask"].sum()
    side = metaphysis_square(maps[1])[2]
    assert float(cut) * (side / 80) ** 2 == pytest.approx(float(whole), rel=0.1)
    assert 0.3 < float(d["tibia_mask"].mean()) < 0.6
