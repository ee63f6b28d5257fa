"""The pool exchanges every second image, evenly, and continues exactly where a run stopped."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch

from shared.methods.tsgm.image_pool import ImagePool


def numbered(first: int, count: int) -> torch.Tensor:
    """Images ``count 1 2 3`` whose pixels are all their number."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 3)


def returned(pool: ImagePool, first: int, count: int, batch: int = 1) -> list[int]:
    """Numbers of the images that come back for images ``first ... first + count - 1``."""
    out = torch.cat([numbered(0, 0), *(pool(numbered(n, batch)) for n in range(first, first + count, batch))])
    assert out.shape == (count, 1, 2, 3) and torch.equal(out, out[:, :, :1, :1].expand_as(out))
    return [int(image[0, 0, 0]) for image in out]


def test_images_come_back_as_they_are_until_the_pool_is_full():
    assert returned(ImagePool(50), 0, 50) == list(range(50))


def test_a_pool_of_size_0_does_nothing():
    assert returned(ImagePool(0), 0, 100) == list(range(100))


def test_half_of_the_images_are_exchanged_then():
    count = 4000
    numbers = returned(ImagePool(50), 0, 50 + count)[50:]
    new = sum(number == n for n, number in enumerate(numbers, 50))
    assert abs(new - count / 2) < 4 * math.sqrt(count) / 2  # four standard deviations of the binomial distribution


def test_each_place_of_the_pool_is_equally_likely():
    """An image stays for a geometric number of exchanges: mean size, standard deviation sqrt(size (size - 1))."""
    size, count = 10, 8000
    numbers = returned(ImagePool(size), 0, count)
    exchanges = [n for n, number in enumerate(numbers) if number != n]
    rank = {n: i for i, n in enumerate(exchanges)}  # an exchanged image enters the pool when another leaves it
    stays = [rank[n] - rank[numbers[n]] for n in exchanges if numbers[n] >= size]
    assert min(stays) == 1
    deviation = math.sqrt(size * (size - 1))
    assert sum(stays) / len(stays) == pytest.approx(size, abs=4 * deviation / math.sqrt(len(stays)))
    assert torch.tensor(stays).float().std().item() == pytest.approx(deviation, rel=0.1)


def test_no_image_is_lost_or_doubled():
    pool = ImagePool(5)
    numbers = returned(pool, 0, 200)
    kept = [int(image[0, 0, 0]) for image in pool.images]
    never_kept = {n for n in range(5, 200) if numbers[n] == n}
    assert len(kept) == 5 and not never_kept & set(kept)
    exchanged = [number for n, number in enumerate(numbers) if number != n]
    assert sorted(exchanged + kept) == sorted(set(range(200)) - never_kept)


def test_draws_depend_on_the_seed_and_not_on_the_batch_or_on_torch():
    one_by_one = returned(ImagePool(5, seed=1), 0, 120)
    torch.manual_seed(3)
    assert returned(ImagePool(5, seed=1), 0, 120, batch=8) == one_by_one
    assert returned(ImagePool(5, seed=2), 0, 120) != one_by_one
    state = torch.get_rng_state()
    returned(ImagePool(5), 0, 20)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_gradient_passes_and_the_pool_keeps_copies():
    pool, images = ImagePool(2), torch.ones(4, 1, 2, 3, requires_grad=True)
    assert not pool(images).requires_grad and not any(image.requires_grad for image in pool.images)
    images.data.zero_()
    assert all(image.all() for image in pool.images)


@pytest.mark.parametrize("stop", [0, 3, 60])
def test_a_resumed_run_continues_exactly(stop):
    whole = ImagePool(5, seed=7)
    returned(whole, 0, stop)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed = ImagePool(5, seed=7)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert returned(resumed, stop, 100) == returned(whole, stop, 100)
    assert all(torch.equal(a, b) for a, b in zip(resumed.images, whole.images, strict=True))


def test_a_state_is_a_snapshot():
    pool = ImagePool(5)
    returned(pool, 0, 30)
    state = pool.state_dict()
    before = copy.deepcopy(state)
    resumed = ImagePool(5)
    resumed.load_state_dict(state)
    returned(pool, 30, 50)
    returned(resumed, 30, 50)
    assert all(torch.equal(state[key], before[key]) for key in before)


@pytest.mark.parametrize("size", [0, 4, 6])
def test_a_state_of_another_size_is_refused(size):
    pool = ImagePool(5)
    returned(pool, 0, 10)
    with pytest.raises(ValueError, match=f"keeps 5 of 10 images, a pool of size {size}"):
        ImagePool(size).load_state_dict(pool.state_dict())
