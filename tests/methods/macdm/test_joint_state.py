"""Packing of a radiograph and its masks, in both meanings of the weights and with the masks noised or given."""

from __future__ import annotations

import math

import pytest
import torch

from shared.diffusion.guidance import clamped
from shared.methods.macdm.joint_state import JointState

WEIGHTS = [(1.0, 1.0, 1.0), (1.0, 0.25, 0.1), (0.5, 0.75, 1.0)]
VARIANTS = [("data", False), ("data", True), ("input", False), ("input", True)]


def sample(*size: int, empty: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = size or (4, 5)
    radiograph, tibia, lesion = 2 * torch.rand(3, 2, 1, *size, generator=generator) - 1
    return radiograph, (tibia > 0).float(), (lesion > 0.5).float() * (not empty)


@pytest.mark.parametrize("size", [(7,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize(("mode", "given"), VARIANTS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_unpacking_undoes_packing(weights, mode: str, given: bool, size: tuple[int, ...]):
    joint, parts = JointState(weights, mode, given), sample(*size)
    state, condition = joint.pack(*parts)
    assert state.shape == (2, 1 if given else 3, *size) and condition.shape == (2, 2 if given else 0, *size)
    assert joint.channels == state.shape[1]
    radiograph, tibia, lesion = joint.unpack(state, condition)
    torch.testing.assert_close(radiograph, parts[0], rtol=3e-7, atol=0)
    assert torch.equal(tibia, parts[1]) and torch.equal(lesion, parts[2])


@pytest.mark.parametrize(("mode", "given"), VARIANTS)
def test_a_radiograph_without_lesion_has_an_empty_mask_of_it(mode: str, given: bool):
    joint = JointState((1.0, 0.25, 0.1), mode, given)
    packed = joint.pack(*sample(empty=True))
    assert joint.unpack(*packed)[2].max() == 0
    assert torch.cat(packed, dim=1)[:, 2].unique().tolist() == pytest.approx([-0.1 if mode == "data" else -1.0])


@pytest.mark.parametrize(("mode", "given"), VARIANTS)
def test_the_network_sees_weighted_channels_in_the_order_of_the_paper(mode: str, given: bool):
    """concat(w1 x, w2 b, w3 c), whatever is noised and wherever the weights are applied."""
    radiograph, tibia, lesion = sample()
    joint = JointState((0.5, 0.25, 0.1), mode, given)
    expected = torch.cat([0.5 * radiograph, 0.25 * (2 * tibia - 1), 0.1 * (2 * lesion - 1)], dim=1)
    torch.testing.assert_close(joint.network_input(*joint.pack(radiograph, tibia, lesion)), expected)


def test_where_the_weights_are_applied():
    parts = sample()
    weighted, plain = (JointState((0.5, 0.25, 0.1), mode).pack(*parts)[0] for mode in ("data", "input"))
    assert weighted.abs().amax(dim=(0, 2, 3))[1:].tolist() == pytest.approx([0.25, 0.1])
    assert plain.abs().amax(dim=(0, 2, 3))[1:].tolist() == [1.0, 1.0]
    assert torch.equal(plain[:, :1], parts[0]) and torch.equal(weighted[:, :1], 0.5 * parts[0])


@pytest.mark.parametrize(
    ("mode", "given", "expected"),
    [("data", False, [0.5, 0.25, 0.1]), ("data", True, [0.5]), ("input", False, [1.0] * 3), ("input", True, [1.0])],
)
def test_the_limits_follow_the_weights_and_clamp_no_clean_state(mode: str, given: bool, expected: list[float]):
    joint = JointState((0.5, 0.25, 0.1), mode, given)
    assert joint.limits == [(-high, high) for high in expected]
    state, _ = joint.pack(*sample())
    assert torch.equal(clamped(lambda x, sigma: x, joint.limits)(state, 1.0), state)
    over = clamped(lambda x, sigma: x, joint.limits)(10 * state, 1.0)
    torch.testing.assert_close(over.amax(dim=(0, 2, 3)), torch.tensor(expected))


@pytest.mark.parametrize("mode", ["data", "input"])
def test_a_generated_mask_is_cut_at_0_whatever_its_weight(mode: str):
    state = torch.tensor([0.3, 0.01, -0.01]).reshape(1, 3, 1)
    found = JointState((1.0, 0.25, 0.1), mode).unpack(state, state[:, :0])
    assert [float(each) for each in found] == pytest.approx([0.3, 1.0, 0.0])
    undecided = JointState((1.0, 0.25, 0.1), mode).unpack(torch.zeros(1, 3, 2), torch.zeros(1, 0, 2))
    assert all(mask.tolist() == [[[0.0, 0.0]]] for mask in undecided[1:])


def test_masks_may_be_boolean_or_integer():
    radiograph, tibia, lesion = sample()
    joint = JointState((1.0, 0.25, 0.1))
    for dtype in (torch.bool, torch.uint8):
        assert torch.equal(joint.pack(radiograph, tibia.to(dtype), lesion.to(dtype))[0], joint.pack(*sample())[0])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.0, 0.5), (1.0, -0.5, 0.5), (1.0, math.nan, 1.0)])
def test_weights_that_cannot_be_divided_by_are_refused(weights):
    with pytest.raises(ValueError, match="give three above 0"):
        JointState(weights)


def test_an_unknown_meaning_of_the_weights_is_refused():
    with pytest.raises(ValueError, match="'data' or 'input'"):
        JointState((1.0, 1.0, 1.0), "loss")


@pytest.mark.parametrize("mode", ["data", "input"])
@pytest.mark.parametrize("masks_given", [False, True])
def test_the_input_begins_with_the_state_times_its_weights(mode, masks_given):
    joint = JointState((1.0, 0.25, 0.1), mode, masks_given)
    state, condition = joint.pack(*sample())
    weights = torch.tensor(joint.input_weights).reshape(-1, *(1,) * (state.dim() - 2))
    torch.testing.assert_close(joint.network_input(state, condition)[:, : joint.channels], state * weights)
