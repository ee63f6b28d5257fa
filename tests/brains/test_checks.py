"""What a volume shows: values and litres on either side of their limits, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shared.brains.checks import (
    check_brain,
    check_companion,
    check_cover,
    check_extracted,
    check_mask,
    check_values,
)
from shared.brains.volume import Volume
from shared.runs.errors import InputError
from tests.helpers.ellipsoid_brain import BRAIN, head, volume

INSIDE = BRAIN != 0
LITRES = 2.5**3 * 1e-6  # of a voxel


def in_brain(values: list[float], shares: list[float]) -> Volume:
    """The brain with some values, each in a share of it."""
    counts = np.round(np.array(shares) * INSIDE.sum()).astype(int)
    counts[-1] += INSIDE.sum() - counts.sum()
    data = np.zeros(BRAIN.shape)
    data[INSIDE] = np.repeat(values, counts)
    return volume(data)


@pytest.mark.parametrize(
    ("values", "shares", "problem"),
    [
        ([0.0], [1.0], "is 0 in the brain"),
        ([5.0, 7.0, 9.0], [0.009, 0.982, 0.009], r"is constant in the brain \(7\)"),
        (
            [-3.0, 4.0],
            [0.21, 0.79],
            "is negative in 21 % of the brain: standardised, and what was 0 before is not known",
        ),
        ([-3.0, 4.0], [0.91, 0.09], "is below its background in over 90 % of the brain"),
    ],
)
def test_values_that_cannot_be_normalised_are_refused(values, shares, problem):
    with pytest.raises(InputError, match=problem):
        check_values(in_brain(values, shares), INSIDE)


@pytest.mark.parametrize(("values", "shares"), [([5.0, 7.0], [0.02, 0.98]), ([-3.0, 4.0], [0.19, 0.81])])
def test_values_beyond_the_limits_pass(values, shares):
    check_values(in_brain(values, shares), INSIDE)


def test_a_constant_volume_is_refused_and_one_voxel_makes_it_none():
    everywhere = np.ones(BRAIN.shape, bool)
    with pytest.raises(InputError, match=r"is constant everywhere \(7\)"):
        check_values(volume(everywhere * 7), everywhere)
    check_values(volume(np.where(np.arange(BRAIN.size).reshape(BRAIN.shape) == 5, 8, 7)), everywhere)


def test_a_whole_head_is_refused_with_the_commands_that_extract_its_brain():
    assert check_extracted(volume(BRAIN), None) == []
    with pytest.raises(InputError, match="it is a head") as caught:
        check_extracted(volume(head()), "it is a head")
    hd_bet, synthstrip = "hd-bet -i t1.nii.gz -o t1_brain.nii.gz", "mri_synthstrip -i t1.nii.gz"
    assert f"(python -m tools.extract_brain FOLDER OUT, {hd_bet}, or {synthstrip}" in caught.value.remedy
    assert "correct its shading too (such as by N4)" in caught.value.remedy  # half of a healthy brain was marked
    with pytest.raises(InputError) as caught:
        check_extracted(volume(head()), "it is a head", offer="pip install NAME")
    assert caught.value.remedy.startswith(
        "To have the brain extracted here: pip install NAME. Or extract it first (python -m "
    )


def test_of_few_slices_it_is_said_that_they_may_not_show_it():
    (note,) = check_extracted(volume(BRAIN[:, :, 30:34]), None, slices=True)
    assert "so few slices do not always show whether the brain was extracted" in note
    assert check_extracted(volume(BRAIN), None, slices=True) == []


@pytest.mark.parametrize(("shift", "noted"), [(0, False), (1, False), (5, True), (30, True)])
def test_what_of_a_mask_lies_beside_the_brain_is_left_out_and_noted(shift, noted):
    """Of the ellipsoid with 60 mm to either side, moved by so many voxels along it, computed from the mask itself."""
    mask = np.roll(INSIDE, shift, axis=0)
    beside = 100 * np.mean(~INSIDE[mask])
    brain, notes = check_mask(volume(mask, "brain_mask"), volume(BRAIN))
    assert np.array_equal(brain, mask & INSIDE)
    said = f"{beside:.0f} % of the brain mask is 0 in the image and outside the brain, and was left out: "
    assert notes == [said + "is the mask that of this scan?"] * noted


def test_brain_that_a_mask_leaves_out_and_what_it_holds_beside_the_brain_are_noted():
    moved = np.roll(INSIDE, 5, axis=0)
    share = 100 * np.mean(~INSIDE[moved])
    outside, wide = check_cover(moved, INSIDE, " that a tool finds")
    assert outside.startswith(
        f"{share:.0f} % of the brain that a tool finds is outside the brain mask and not looked at"
    )
    assert wide.startswith(f"{share:.0f} % of the brain mask is outside the brain that a tool finds")
    assert check_cover(np.roll(INSIDE, 1, axis=0), INSIDE) == []


def test_masks_that_are_empty_or_larger_than_a_brain_are_refused():
    with pytest.raises(InputError, match="is empty: no voxel above 0"):
        check_mask(volume(0 * BRAIN, "brain_mask"), volume(BRAIN))
    litres = BRAIN.size * LITRES
    with pytest.raises(InputError, match=f"covers {litres:.1f} l, more than a brain"):
        check_mask(volume(0 * BRAIN + 1, "brain_mask"), volume(BRAIN))


@pytest.mark.parametrize(("litres", "said"), [(0.65, None), (0.55, "only 0.55 l of brain"), (0.12, "only 0.12 l")])
def test_little_brain_is_noted(litres, said):
    brain = np.zeros(BRAIN.shape, bool)
    brain.flat[: round(litres / LITRES)] = True
    notes = check_brain(volume(BRAIN), brain)
    assert [note.startswith(said) for note in notes] == [True] if said else notes == []


def test_too_little_brain_is_refused():
    brain = np.zeros(BRAIN.shape, bool)
    brain.flat[: round(0.09 / LITRES)] = True
    with pytest.raises(InputError, match="holds 90 ml of brain, too little for one"):
        check_brain(volume(BRAIN), brain)


def test_notes_on_a_companion_bear_its_key():
    absent = BRAIN.copy()
    absent[:26] = 0
    share = 100 * np.mean(absent[INSIDE] == 0)
    notes = check_companion(volume(absent, "t2"), volume(BRAIN), INSIDE)
    assert share > 20 and f"t2: {share:.0f} % of the brain is 0 in it" in notes
    with pytest.raises(InputError, match="t2.nii.gz .*is 0 in the brain"):
        check_companion(volume(0 * BRAIN + ~INSIDE, "t2"), volume(BRAIN), INSIDE)
