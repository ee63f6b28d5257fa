"""Pairs of slices: of one height, of the two domains, the same whenever they are drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from monai.data import CacheDataset
from monai.transforms import Compose, RandFlipd
from torch.utils.data import DataLoader

from shared.brains.height_matched import HeightMatchedPairs
from shared.runs.errors import DataListError
from shared.training.seeding import EpochKeyedSampler

FLIP = Compose(RandFlipd(["image", "brain_mask", "lesion_free"], prob=0.5, spatial_axis=0))
DOMAINS = ("healthy", "tumor")


def make_case(number: int, slices: int, lesions: Mapping[int, int], value: int = 1) -> dict[str, Any]:
    """A brain of so many slices ``10 8``, above and below which is one more that holds less than a quarter of it.

    Args:
        number: of the case; the pixels of ``slice`` are 100 times it plus the position of the slice, from 0 up.
        slices: of the brain; the pixels of ``height`` are 0 in the lowest one and 1 in the highest.
        lesions: pixels of the lesion by position; it starts at one side.
        value: of the lesion in the label.
    """
    position = torch.arange(-1, slices + 1)
    brain = torch.ones(slices + 2, 10, 8)
    brain[[0, -1], 2:] = 0  # 16 of 80 pixels
    label = torch.zeros_like(brain)
    for z, pixels in lesions.items():
        label[z + 1].view(-1)[:pixels] = value
    return {
        "case_id": f"case{number}",
        "slice": (100 * number + position)[:, None, None] * torch.ones_like(brain),
        "height": (position / (slices - 1))[:, None, None] * torch.ones_like(brain),
        "brain_mask": brain,
        "label": label,
        "lesion_free": brain * (label == 0),
    }


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    """With lesions at heights of 0.25 to 0.35 and 0.5 to 0.8, and with small ones at 0.4 and 1/3."""
    return [
        make_case(1, 21, {5: 30, 6: 50, 7: 31}),
        make_case(2, 11, {4: 29, 5: 40, 6: 60, 7: 60, 8: 40}),
        make_case(3, 31, {10: 29}),
    ]


def pairs_of(cases: Any, length: int = 400, transform: Compose | None = None, **options: Any) -> HeightMatchedPairs:
    return HeightMatchedPairs(cases, ["slice", "height"], transform or Compose(), length, **options)


def numbers(pairs: HeightMatchedPairs, domain: str, epoch: int = 0) -> list[int]:
    """100 times the case plus the position of the slices of a domain that an epoch draws."""
    return [int(pairs[epoch, n][domain][0, 0, 0]) for n in range(len(pairs))]


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    names = [name for name in one if name.endswith("case_id")]
    images = all(torch.equal(one[key], other[key]) for key in one if key not in names)
    return list(one) == list(other) and images and all(one[name] == other[name] for name in names)


def test_both_slices_are_of_the_same_tenth_and_all_tenths_with_both_are_drawn_alike(cases):
    drawn = Counter()
    pairs = pairs_of(cases, length=2000)
    for n in range(2000):
        tenths = {min(9, math.floor(10 * float(pairs[n][domain][1, 0, 0]) + 1e-4)) for domain in DOMAINS}
        assert len(tenths) == 1
        drawn += Counter(tenths)
    assert sorted(drawn) == [2, 3, 5, 6, 7, 8]  # tenth 4 has a small lesion only
    deviation = math.sqrt(2000 * 1 / 6 * 5 / 6)
    assert all(abs(count - 2000 / 6) < 4 * deviation for count in drawn.values())


def test_domains_are_slices_without_a_lesion_and_with_a_large_one(cases):
    pairs = pairs_of(cases)
    with_lesion, small = {105, 106, 107, 205, 206, 207, 208}, {204, 310}
    assert set(numbers(pairs, "tumor")) == with_lesion
    for domain in DOMAINS:
        names = [pairs[n][f"{domain}_case_id"] for n in range(len(pairs))]
        assert names == [f"case{number // 100}" for number in numbers(pairs, domain)]
    healthy = set(numbers(pairs, "healthy"))
    assert not healthy & (with_lesion | small)
    assert {number // 100 for number in healthy} == {1, 2, 3}


def test_slices_with_a_lesion_can_stand_for_healthy_ones_without_their_lesion(cases):
    pairs = pairs_of(cases, length=1000, lesion_slices_too=True)
    size = {105: 30, 106: 50, 107: 31, 205: 40, 206: 60, 207: 60, 208: 40, 310: 29}
    assert set(numbers(pairs, "tumor")) == set(size) - {310} and set(size) < set(numbers(pairs, "healthy"))
    for pair in (pairs[n] for n in range(1000)):
        lesion = size.get(int(pair["healthy"][0, 0, 0]), 0)
        assert pair["healthy_lesion_free"].sum() == 80 - lesion and pair["healthy_brain_mask"].sum() == 80


def test_a_lesion_is_measured_in_pixels_whatever_the_values_of_its_label():
    pairs = pairs_of([make_case(1, 11, {5: 40, 7: 29}, value=4), make_case(2, 11, {})])
    assert set(numbers(pairs, "tumor")) == {105}
    smaller = pairs_of([make_case(1, 11, {5: 40, 7: 29}, value=4), make_case(2, 11, {})], min_lesion=29)
    assert set(numbers(smaller, "tumor")) == {105, 107}


def test_slices_with_little_brain_are_left_out_and_do_not_count_as_height(cases):
    assert {number % 100 for number in numbers(pairs_of(cases), "healthy")} <= set(range(31))
    below = pairs_of([make_case(1, 11, {-1: 40, 5: 40}), make_case(2, 11, {})])
    assert set(numbers(below, "tumor")) == {105}
    more = pairs_of([make_case(1, 11, {-1: 40, 5: 40}), make_case(2, 11, {})], min_share=0.2)
    assert set(numbers(more, "tumor")) == {99, 105}


def test_a_pair_depends_on_seed_epoch_and_index_alone(cases):
    pairs, again = (pairs_of(cases, transform=FLIP, seed=3) for _ in range(2))
    in_order = [pairs[2, n] for n in range(50)]
    torch.manual_seed(5)
    for n in reversed(range(50)):
        again[1, n]
        assert equal(again[2, n], in_order[n])
    assert all(equal(pairs[0, n], pairs[n]) for n in range(20)), "a plain index is of epoch 0"


def test_epochs_and_seeds_differ(cases):
    first = numbers(pairs_of(cases), "healthy", epoch=1)
    for other in (numbers(pairs_of(cases), "healthy", epoch=2), numbers(pairs_of(cases, seed=1), "healthy", epoch=1)):
        assert sum(a == b for a, b in zip(first, other)) < 100  # of 400; about one in eight of equal tenth


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_loop_sees_the_pairs_of_its_epoch(cases, workers):
    pairs = pairs_of(cases, length=8, transform=FLIP)
    sampler = EpochKeyedSampler(pairs)
    sampler.set_epoch(4)
    batches = list(DataLoader(pairs, sampler=sampler, batch_size=4, num_workers=workers))
    order = [index for _, index in sampler]
    assert sorted(order) == list(range(8))
    for key in ("healthy", "tumor_lesion_free"):
        expected = torch.stack([pairs[4, n][key] for n in order])
        assert torch.equal(torch.cat([batch[key] for batch in batches]), expected)


def test_masks_follow_the_augmentation_which_each_slice_has_of_its_own():
    """The image is its lesion-free mask, with the lesion at one side: flipped or not, they are equal."""
    cases = [make_case(1, 11, {5: 40}), make_case(2, 11, {5: 20})]
    for case in cases:
        case["slice"] = case["lesion_free"]
    pairs = pairs_of(cases, length=100, transform=FLIP, lesion_slices_too=True)
    flips = Counter()
    for n in range(100):
        pair = pairs[n]
        for domain in DOMAINS:
            assert torch.equal(pair[domain][:1], pair[f"{domain}_lesion_free"])
            assert pair[f"{domain}_brain_mask"].all()
        flips[tuple(float(pair[domain][0, 0, 0]) for domain in DOMAINS)] += 1
    assert len(flips) == 4 and min(flips.values()) > 10, "four combinations of flips"


def test_sequences_are_stacked_in_the_order_of_the_keys(cases):
    pairs = HeightMatchedPairs(cases, ["height", "slice"], Compose(), 5)
    for pair in (pairs[n] for n in range(5)):
        assert list(pair) == [f"{d}{mask}" for d in DOMAINS for mask in ("", "_case_id", "_brain_mask", "_lesion_free")]
        for domain in DOMAINS:
            assert type(pair[domain]) is torch.Tensor and pair[domain].shape == (2, 10, 8)
            assert pair[f"{domain}_brain_mask"].shape == pair[f"{domain}_lesion_free"].shape == (1, 10, 8)
            assert (pair[domain][0] <= 1).all() and (pair[domain][1] >= 100).all()


def test_cases_are_read_from_a_dataset_once(cases):
    read = []
    dataset = CacheDataset(cases, Compose(lambda case: read.append(case) or case), progress=False)
    pairs = pairs_of(dataset)
    before = len(read)
    assert equal(pairs[7], pairs_of(cases)[7]) and len(pairs) == 400
    assert len(read) == before <= 2 * len(cases)


@pytest.mark.parametrize(
    "lesions",
    [({}, {}), ({2: 29}, {}), ({5: 40}, {5: 40})],
    ids=["no lesion", "a small lesion", "lesions at the same height in all"],
)
def test_no_height_with_both_domains_is_an_error(lesions):
    with pytest.raises(DataListError, match="no height of the brain has slices with a lesion and slices without"):
        pairs_of([make_case(n, 11, lesion) for n, lesion in enumerate(lesions)])


def test_no_case_is_an_error():
    with pytest.raises(DataListError, match="add labelled cases to the datalist"):
        pairs_of([])
