"""What a training step of MMCCD is given: the noise of its timestep, and a stripe of the brain hidden."""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.noise_levels import linear_alphas_cumprod
from shared.methods.mmccd.training import CyclePrepareBatch


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """64 slices of three sequences, a brain of 40 x 30 pixels."""
    torch.manual_seed(0)
    brain = torch.zeros(64, 1, 48, 48)
    brain[:, :, 4:44, 9:39] = 1
    image = torch.where(brain > 0, torch.rand(64, 3, 48, 48), -3.0)
    return {"image": image, "brain_mask": brain, "lesion_free": brain * (torch.rand_like(brain) > 0.1)}


@pytest.fixture(scope="module")
def prepared(batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    prepare = CyclePrepareBatch(["t2", "flair", "t1"], [["flair", "t1"], ["t1", "flair"]], stripe_width=6)
    inputs, targets, (timesteps,), keywords = prepare(batch, torch.device("cpu"))
    assert keywords == {}
    return inputs, targets, timesteps


def test_layout(batch, prepared):
    (_, flair, t1), (inputs, targets, timesteps) = batch["image"].unbind(dim=1), prepared
    assert inputs.shape == (64, 6, 48, 48) and timesteps.shape == (64, 2)
    assert torch.equal(inputs[:, [2, 5]], torch.stack([flair, t1], dim=1))
    assert torch.equal(targets, torch.stack([t1, flair, batch["lesion_free"][:, 0]], dim=1))
    assert timesteps.min() >= 0 and timesteps.max() <= 999 and timesteps.float().std() > 200


@pytest.mark.parametrize("pair", [0, 1])
def test_noise_has_the_power_of_its_timestep(prepared, pair: int):
    inputs, targets, timesteps = prepared
    kept = linear_alphas_cumprod()[timesteps[:, pair]].float()
    noise = inputs[:, 3 * pair] - kept.sqrt()[:, None, None] * targets[:, pair]
    scaled = noise / (1 - kept).sqrt()[:, None, None]
    pixels = 48 * 48
    assert scaled.mean(dim=(1, 2)).abs().max() < 5 / math.sqrt(pixels)
    assert (scaled.var(dim=(1, 2)) - 1).abs().max() < 5 * math.sqrt(2 / pixels)


@pytest.mark.parametrize("pair", [0, 1])
def test_noise_hides_the_brain_under_one_stripe_and_leaves_the_outline(batch, prepared, pair: int):
    inputs, brain = prepared[0], batch["brain_mask"][0, 0] > 0
    noisy, masked, source = inputs[:, 3 * pair : 3 * pair + 3].unbind(dim=1)
    values, places = [], set()
    for m, s in zip(masked, source, strict=True):
        hidden = m != s
        rows, columns = hidden.any(dim=1), hidden.any(dim=0)
        across = rows if rows.sum() <= 6 else columns
        assert 1 <= across.sum() <= 6
        assert torch.equal(hidden, brain & (rows[:, None] & columns))
        assert (columns if across is rows else rows).sum() == (30 if across is rows else 40)
        values.append(m[hidden])
        places.add((across is rows, int(across.nonzero()[0])))
    shown = torch.cat(values)
    assert abs(shown.mean()) < 5 / math.sqrt(len(shown)) and abs(shown.var() - 1) < 5 * math.sqrt(2 / len(shown))
    assert len(places) > 20, "a stripe of its own for each slice"
    assert not torch.equal(masked, noisy)
